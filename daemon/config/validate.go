package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// checker gathers the mistakes of a configuration, each by the path of its key.
type checker struct {
	where   func(path ...string) mirror.Position
	written func(path string) (mirror.Position, bool) // whether a key stands there at all
	ps      mirror.Problems
}

type keyPath []string

func (p keyPath) String() string { return strings.Join(p, ".") }

func (p keyPath) to(keys ...string) keyPath { return append(slices.Clone(p), keys...) }

// add tells of a mistake in the value of a key.
func (k *checker) add(path keyPath, code, fix, format string, args ...any) {
	k.ps.AddAt(path.String(), code, k.where(path...), fix, format, args...)
}

// need tells of a key that has no value.
func (k *checker) need(value, fix string, path ...string) {
	if value == "" {
		k.missing(path, fix)
	}
}

func (k *checker) missing(path keyPath, fix string) {
	at := k.where(path...)
	if len(path) == 1 {
		at = mirror.Position{File: at.File} // it belongs to no line
	}
	k.ps.AddAt(path.String(), "CFG001", at, fix, "%s is missing", path)
}

// validate reports every mistake that types alone do not catch. where gives the place of a key path. Nothing that
// it says repeats a value that may be a secret.
func (c Config) validate(where func(path ...string) mirror.Position) mirror.Problems {
	k := &checker{where: where, written: c.settings.written}
	k.need(c.Site, "name this site, such as site: berlin", "site")
	if _, err := mirror.ParseStage(c.Site); err != nil && c.Site != "" {
		k.add(keyPath{"site"}, "CFG002", "use lower-case letters and digits, joined by single dashes", "site %q cannot be the name of a folder", c.Site)
	}
	k.need(c.Git.URL, "add url: https://host/path/fleet.git", "git", "url")
	k.need(c.StateDir, "name a folder that the daemon may write", "stateDir")
	k.git(c.Git)
	k.registries(c.Registries)
	k.times(c)
	k.listen(c.Listen, keyPath{"listen"}, "write host:port, such as 127.0.0.1:8686")
	k.tls(c.TLS, keyPath{"tls"})
	k.socket(c)
	k.trust(c.Trust)
	k.sealing(c.Sealing, c.Registries[LocalRegistry])
	k.packages(c)
	k.packageSigning(c.Packages.Signing)
	k.packagesExport(c.Packages.Export, c.StateDir)
	k.epr(c, map[string]string{"listen": c.Listen, "webhooks.listen": c.Webhooks.Listen, embeddedKey: c.Registries[LocalRegistry].Embedded.Listen})
	k.proposals(c.Forge.Proposals, keyPath{"forge", "proposals"})
	k.ownBranches(c)
	k.webhooks(c.Webhooks, c.Listen)
	k.notifiers(c.Notify)
	k.calls(c.Calls)
	k.forge(c)
	return k.ps
}

// MaxSocketPath is the longest path of a Unix socket, in bytes: what Linux takes, and macOS nearly.
const MaxSocketPath = 103

func (k *checker) socket(c Config) {
	if path := c.SocketPath(); len(path) > MaxSocketPath {
		at := keyPath{"socket"}
		if c.Socket == "" {
			at = keyPath{"stateDir"}
		}
		k.add(at, "CFG040", "set socket to a shorter path, such as /run/poundlock/poundlock.sock",
			"the path of the socket has %d bytes, the system allows %d: %s", len(path), MaxSocketPath, path)
	}
}

// leastPoll is the shortest time between two questions to Git; a shorter one is a slip, and would flood the server.
const leastPoll = 10 * time.Millisecond

func (k *checker) times(c Config) {
	if _, err := time.LoadLocation(c.TimeZone); err != nil {
		k.add(keyPath{"timeZone"}, "CFG004", "use a name of the IANA database, such as Europe/Berlin or UTC", "unknown time zone %q", c.TimeZone)
		c.TimeZone = ""
	}
	k.schedules(c)
	for _, d := range []struct {
		path        keyPath
		span, least time.Duration
	}{
		{keyPath{"git", "poll"}, c.Git.Poll, leastPoll}, {keyPath{"audit"}, c.Audit, time.Second},
		{keyPath{"limits", "cycle"}, c.Limits.Cycle, 0}, {keyPath{"limits", "stop"}, c.Limits.Stop, 0},
	} {
		if d.span <= 0 {
			k.add(d.path, "CFG006", "write a duration such as 30s", "%s must be above zero, have %s", d.path, d.span)
		} else if d.span < d.least {
			k.add(d.path, "CFG006", "write a duration such as 30s", "%s must be at least %s, have %s", d.path, d.least, d.span)
		}
	}
	if c.Jitter < 0 {
		k.add(keyPath{"jitter"}, "CFG006", "write a duration such as 30s, or 0s for none", "jitter must not be below zero, have %s", c.Jitter)
	}
}

func (k *checker) listen(address string, path keyPath, fix string) {
	_, port, err := net.SplitHostPort(address)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil && port != "" || n > 65535 {
		k.add(path, "CFG007", fix, "%s: %q is no address to listen on", path, address)
	}
}

func (k *checker) git(g GitConfig) {
	at := keyPath{"git"}
	if g.URL != "" {
		k.remote(g, at)
	}
	if !mirror.IsBranch(g.Branch) {
		k.add(at.to("branch"), "CFG027", "write the name of a branch, such as main", "git.branch %q is no name that Git takes for a branch", g.Branch)
	}
	if s := g.State(); s != "" && !mirror.IsBranch(s) {
		k.add(at.to("stateBranch"), "CFG080", "write the name of a branch, such as poundlock-state", "git.stateBranch %q is no name that Git takes for a branch", s)
	} else if s != "" && (strings.HasPrefix(s, g.Branch+"/") || strings.HasPrefix(g.Branch, s+"/")) {
		k.add(at.to("stateBranch"), "CFG080", "write another name, such as poundlock-state", "git.stateBranch %q and git.branch %q cannot both be there: Git keeps branches like files in folders", s, g.Branch)
	}
	if !slices.Contains([]string{"", "ssh", "openpgp"}, g.Signing.Format) {
		k.add(at.to("signing", "format"), "CFG011", "write ssh or openpgp", "git.signing.format is neither ssh nor openpgp")
	} else if g.Signing.Format != "" && g.Signing.Key.IsZero() {
		k.missing(at.to("signing", "key"), "add key: and one of "+Secret{}.SecretForm())
	}
	if filepath.IsAbs(g.Path) || slices.Contains(strings.Split(g.Path, "/"), "..") {
		k.add(at.to("path"), "CFG012", "name a folder inside the repository, such as sites/berlin", "git.path %q leaves the repository", g.Path)
	}
	k.secret(g.Auth.Password, at.to("auth", "password"))
	k.secret(g.Auth.Token, at.to("auth", "token"))
	k.secret(g.Auth.SSHKey, at.to("auth", "sshKey"))
	k.secret(g.Signing.Key, at.to("signing", "key"))
	k.tls(g.TLS, at.to("tls"))
}

// remote checks how the fleet repository is reached.
func (k *checker) remote(g GitConfig, at keyPath) {
	scheme, err := mirror.RemoteScheme(g.URL)
	var wrong *mirror.RemoteError
	switch errors.As(err, &wrong); {
	case err == nil && scheme == "http" && !g.Insecure:
		k.add(at.to("url"), "CFG009", "use https, or set git.insecure: true", "git.url is plain http")
	case err == nil && scheme == "ssh":
		if g.Auth.SSHKey.IsZero() {
			k.missing(at.to("auth", "sshKey"), "add sshKey: and one of "+Secret{}.SecretForm()+", or use https")
		}
		if g.Auth.KnownHosts == "" {
			k.missing(at.to("auth", "knownHosts"), "add knownHosts: and a file with the host keys of the server, as `ssh-keyscan` gives them")
		}
	case err == nil:
	case wrong.Secret:
		k.add(at.to("url"), "CFG008", "take it out, and use git.auth.username and git.auth.password with a reference", "git.url %v", err)
	case wrong.Scheme != "":
		k.add(at.to("url"), "CFG010", mirror.Suggest(wrong.Scheme, []string{"https", "ssh", "file"}), "git.url %v", err)
	default:
		k.add(at.to("url"), "CFG010", "write https://host/path, ssh://user@host/path, user@host:path or an absolute path", "git.url %v", err)
	}
}

func (k *checker) registries(all map[string]Registry) {
	if _, ok := all[LocalRegistry]; !ok {
		fix := "add registries.local with the host of the registry that is to be filled"
		if near := mirror.Nearest(LocalRegistry, sortedKeys(all)); near != "" {
			fix = fmt.Sprintf("rename registries.%s to registries.%s", near, LocalRegistry)
		}
		k.ps.AddAt("registries.local", "CFG001", k.where("registries"), fix, "registries.local is missing")
	}
	hosts := map[string]string{}
	for _, name := range sortedKeys(all) {
		r, at := all[name], keyPath{"registries", name}
		k.registry(name, r, at)
		if other, dup := hosts[r.Host]; dup && r.Host != "" {
			k.add(at.to("host"), "CFG003", "keep one of them", "registries.%s and registries.%s have the same host", other, name)
		}
		hosts[r.Host] = name
	}
}

func (k *checker) registry(name string, r Registry, at keyPath) {
	if r.Host == "" {
		k.missing(at.to("host"), "write the host as references name it, such as docker.io")
	} else if ref, err := mirror.ParseReference(r.Host + "/x/y"); err != nil || ref.Host != r.Host {
		k.add(at.to("host"), "CFG013", suggestHost(r.Host), "%s: %q is no host of a registry", at.to("host"), r.Host)
	}
	if r.Prefix != "" {
		if _, err := mirror.ParseReference("x.example/" + r.Prefix); err != nil || strings.ContainsAny(r.Prefix, ":@") {
			k.add(at.to("prefix"), "CFG014", "write lower-case words, joined by /", "%s: %q is no path of a repository", at.to("prefix"), r.Prefix)
		}
	}
	if r.Host != "" || r.Endpoint != "" {
		if u, err := url.Parse(r.URL()); r.Endpoint != "" && (err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !slices.Contains([]string{"http", "https"}, u.Scheme)) {
			k.add(at.to("endpoint"), "CFG015", "write https://host[:port], without user, password and query", "%s is not the address of a registry", at.to("endpoint"))
		} else if err == nil && u.Scheme == "http" && !r.Insecure {
			k.add(at.to("endpoint"), "CFG009", "use https, or set insecure: true beside it", "%s is plain http", at.to("endpoint"))
		}
	}
	if r.Auth.Username != "" && r.Auth.Password.IsZero() && r.Auth.Token.IsZero() {
		k.missing(at.to("auth", "password"), "add password: and one of "+Secret{}.SecretForm())
	}
	k.secret(r.Auth.Password, at.to("auth", "password"))
	k.secret(r.Auth.Token, at.to("auth", "token"))
	for i, host := range r.Auth.Realms {
		k.host(host, at.to("auth", "realms"), i, "write host or host:port, without scheme and path")
	}
	for i, host := range r.Auth.Redirects {
		k.host(strings.TrimPrefix(host, "*."), at.to("auth", "redirects"), i, "write host, host:port or *.host, without scheme and path")
	}
	if r.AnonymousPull && name != LocalRegistry {
		k.add(at.to("anonymousPull"), "CFG016", "move it to registries.local, or delete it", "%s: only registries.local is pulled from by others", at.to("anonymousPull"))
	}
	if r.Embedded != (Embedded{}) {
		switch {
		case name != LocalRegistry:
			k.add(at.to("embedded"), "CFG016", "move it to registries.local, or delete it", "%s: only registries.local can be embedded", at.to("embedded"))
		case r.Embedded.Dir == "":
			k.missing(at.to("embedded", "dir"), "name a folder for what the registry holds")
		case r.Embedded.Listen == "":
			k.missing(at.to("embedded", "listen"), "write host:port, such as 127.0.0.1:5000")
		default:
			k.listen(r.Embedded.Listen, at.to("embedded", "listen"), "write host:port, such as 127.0.0.1:5000")
		}
	}
	for key, n := range map[string]int{"concurrent": r.Limits.Concurrent, "requestsPerSecond": r.Limits.RequestsPerSecond} {
		if n < 0 {
			k.add(at.to("limits", key), "CFG018", "write a number above zero, or delete the key for the default", "%s must not be below zero, have %d", at.to("limits", key), n)
		}
	}
	k.tls(r.TLS, at.to("tls"))
}

// hostPort is host[:port], of a name or an address.
var hostPort = regexp.MustCompile(`^(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$`)

// host checks one of the other hosts of a registry. It is not repeated: an address with a password may stand there.
func (k *checker) host(host string, list keyPath, i int, fix string) {
	if !hostPort.MatchString(host) {
		k.add(list.to(strconv.Itoa(i)), "CFG028", fix, "%s: an item is no host", list)
	}
}

// suggestHost takes off what does not belong to a host.
func suggestHost(host string) string {
	bare := host
	if _, rest, ok := strings.Cut(bare, "://"); ok {
		bare = rest
	}
	bare, _, _ = strings.Cut(strings.ToLower(bare), "/")
	if ref, err := mirror.ParseReference(bare + "/x/y"); err == nil && ref.Host != "" && ref.Host != host && !strings.Contains(host, "@") {
		return fmt.Sprintf("did you mean %q? write host or host:port, without scheme and path", ref.Host)
	}
	return "write host or host:port, without scheme and path"
}

// secret finds references that are none: the secret itself, written where the name of its place belongs.
func (k *checker) secret(s Secret, at keyPath) {
	if inClear(s.File) {
		k.add(at.to("file"), "DOC012", "put it into a file of its own and write the file's name here", "%s holds a key itself, want the name of a file", at.to("file"))
	}
	if s.Env != "" && !variableName.MatchString(s.Env) {
		k.add(at.to("env"), "DOC012", "write the name of the variable, such as REGISTRY_PASSWORD; the secret itself belongs into the variable", "%s is no name of an environment variable", at.to("env"))
	}
	if len(s.keys()) > 1 {
		k.add(at, "CFG019", "keep one of them", "%s names more than one of file, env and credential", at)
	} else if err := s.check(); err != nil && s.Credential != "" {
		k.add(at.to("credential"), "CFG026", err.Fix, "%s is not the name of a credential", at.to("credential"))
	}
}

func (k *checker) tls(t TLS, at keyPath) {
	for i, file := range t.CAFiles {
		if inClear(file) {
			k.add(at.to("caFiles", strconv.Itoa(i)), "CFG022", "put it into a file and write the file's name here", "%s holds a certificate itself, want names of files", at.to("caFiles"))
		}
	}
	if inClear(t.CertFile) {
		k.add(at.to("certFile"), "CFG022", "put it into a file and write the file's name here", "%s holds a certificate itself, want the name of a file", at.to("certFile"))
	}
	if inClear(t.KeyFile) {
		k.add(at.to("keyFile"), "DOC012", "put it into a file of its own and write the file's name here", "%s holds a key itself, want the name of a file", at.to("keyFile"))
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		key := map[bool]string{true: "certFile", false: "keyFile"}[t.CertFile == ""]
		k.missing(at.to(key), "add "+key+": a client certificate needs both certFile and keyFile")
	}
}

// inClear says whether the contents of a file were written where its name belongs.
func inClear(file string) bool {
	return strings.Contains(file, "-----BEGIN") || strings.Contains(file, "\n")
}
