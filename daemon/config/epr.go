package config

import (
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/knadh/koanf/v2"

	"github.com/poundlock/poundlock/internal/mirror"
)

const embeddedKey = "registries." + LocalRegistry + ".embedded.listen"

// Bounds of how often a server of channels looks at the registry.
const leastRefresh, mostRefresh = time.Second, time.Hour

// channelName is set/channel, as internal/epr reads it.
var channelName = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*/[a-z0-9][a-z0-9._-]{0,59}$`)

// LoadOutlet reads the configuration of `poundlock epr`, in the layers of Load. It serves what the local registry holds, so of
// the configuration only that registry, tls, limits and epr have to be right: the same file as the daemon's will do, and so
// will one of ten lines, with a login that may only read.
func LoadOutlet(file string, environ []string, overrides map[string]any) (Config, error) {
	r := &reader{k: koanf.New(keySeparator), settings: newSettings(), check: Config.validateOutlet}
	if err := r.files(file); err != nil {
		return Config{}, err
	}
	r.environment(environ)
	r.flags(overrides)
	c, err := r.config(file)
	if err == nil {
		// Secrets of others, such as Git's, are not there where only channels are served.
		only := c
		only.Git, only.Forge, only.Trust, only.Sealing, only.Packages = GitConfig{}, ForgeConfig{}, Trust{}, Sealing{}, Packages{}
		only.Webhooks, only.Notify, only.Calls = Webhooks{}, nil, nil
		only.Registries = map[string]Registry{LocalRegistry: c.Registries[LocalRegistry]}
		err = only.CheckSecrets().Err()
	}
	return c, err
}

func (c Config) validateOutlet(where func(path ...string) mirror.Position) mirror.Problems {
	k := &checker{where: where, written: c.settings.written}
	local := map[string]Registry{}
	if r, ok := c.Registries[LocalRegistry]; ok {
		local[LocalRegistry] = r
	}
	k.registries(local)
	k.tls(c.TLS, keyPath{"tls"})
	if c.Limits.Stop <= 0 {
		k.add(keyPath{"limits", "stop"}, "CFG006", "write a duration such as 30s", "limits.stop must be above zero, have %s", c.Limits.Stop)
	}
	k.epr(c, nil)
	return k.ps
}

// epr checks where channels are served; others are the addresses of the same process that serve something else, by key.
func (k *checker) epr(c Config, others map[string]string) {
	at := keyPath{"epr"}
	type listener struct {
		path    keyPath
		address string
	}
	var all []listener
	if c.EPR.Listen != "" {
		all = append(all, listener{at.to("listen"), c.EPR.Listen})
	}
	for _, name := range sortedKeys(c.EPR.Ports) {
		path := at.to("ports", name)
		if !channelName.MatchString(name) {
			k.add(path, "CFG135", "write it as in elastic/production: the name of a set, and of one of its stages or frozen channels", "epr.ports: %q names no channel", name)
		}
		all = append(all, listener{path, c.EPR.Ports[name]})
	}
	taken := map[string]string{}
	for key, address := range others {
		if port := portOf(address); port != "" {
			taken[port] = key
		}
	}
	for _, l := range all {
		k.listen(l.address, l.path, "write host:port, such as 0.0.0.0:8080")
		port := portOf(l.address)
		if other := taken[port]; other != "" && port != "" {
			k.add(l.path, "CFG136", "choose another port", "%s has the port of %s, %s", l.path, other, port)
		}
		if port != "" {
			taken[port] = l.path.String()
		}
	}
	k.eprTLS(c.EPR.TLS, at.to("tls"), len(all) > 0)
	if r := c.EPR.Refresh; r < leastRefresh || r > mostRefresh {
		k.add(at.to("refresh"), "CFG137", "write a duration between 1s and 1h, or delete the key for 10s", "epr.refresh is out of range, have %s", r)
	}
}

// eprTLS checks what the servers of channels show.
func (k *checker) eprTLS(t ServerTLS, at keyPath, listens bool) {
	if inClear(t.CertFile) {
		k.add(at.to("certFile"), "CFG022", "put it into a file and write the file's name here", "%s holds a certificate itself, want the name of a file", at.to("certFile"))
	}
	if inClear(t.KeyFile) {
		k.add(at.to("keyFile"), "DOC012", "put it into a file of its own and write the file's name here", "%s holds a key itself, want the name of a file", at.to("keyFile"))
	}
	switch {
	case t == ServerTLS{}:
	case t.CertFile == "":
		k.missing(at.to("certFile"), "add certFile: a server shows a certificate, its key alone is of no use")
	case t.KeyFile == "":
		k.missing(at.to("keyFile"), "add keyFile: with the private key of the certificate")
	case !listens:
		k.add(at, "CFG138", "add epr.listen, or delete epr.tls", "epr.tls is there and epr.listen is not: nothing shows the certificate")
	}
}

// portOf gives the port of an address to listen on; "" for one that the system chooses, and for what is no address.
func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil || strings.Trim(port, "0") == "" {
		return ""
	}
	return strings.TrimLeft(port, "0")
}
