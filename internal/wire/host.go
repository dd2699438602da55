package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/time/rate"

	"github.com/poundlock/poundlock/internal/file"
)

const (
	// defaultConcurrency is how many requests wait at one host when nothing is configured.
	defaultConcurrency = 32
	// maxOther bounds the hosts that are spoken to without being listed.
	maxOther = 1000
)

// host is one host:port with its rules and connections.
type host struct {
	name   string // host:port
	rules  Host
	listed bool // the configuration names it: it may be at any address
	vendor bool // named by a rule of ours: public addresses only, but a proxy may be asked for it
	auth   *auth
	slots  chan struct{} // one for every request that waits for an answer
	rate   *rate.Limiter // nil: no limit
	meta   *http.Transport
	bulk   *http.Transport

	mu   sync.Mutex
	hold chan struct{} // closed when the host may be asked again; nil: now
}

// vendors are hosts of which it is known where they keep tokens and blobs. Their companions are reached at
// public addresses only. GitLab's container registries ask for a token at the GitLab host itself, which
// differs by installation: it is named in the configuration, as in realms: [gitlab.matrix.org] for
// gitlab-registry.matrix.org.
var vendors = map[string]struct{ realms, redirects []string }{
	"registry-1.docker.io:443": {[]string{"auth.docker.io"}, []string{"production.cloudflare.docker.com", "*.r2.cloudflarestorage.com"}},
	"ghcr.io:443":              {nil, []string{"pkg-containers.githubusercontent.com"}},
	"quay.io:443":              {nil, []string{"cdn*.quay.io"}},
}

// list adds a host of the configuration.
func (w *Wire) list(key string, rules Host) error {
	names, err := addresses(key, rules.Insecure)
	if err != nil {
		return fmt.Errorf("host %q: %w", key, err)
	}
	for _, list := range [][]string{rules.Realms, rules.Redirects} {
		for _, other := range list {
			if _, err := addresses(other, false); err != nil {
				return fmt.Errorf("host %q names %q: %w", key, other, err)
			}
		}
	}
	h := &host{name: names[0], rules: rules, listed: true}
	if err := w.open(h); err != nil {
		return fmt.Errorf("host %q: %w", key, err)
	}
	for _, name := range names {
		if w.listed[name] != nil {
			return fmt.Errorf("host %q is listed twice", key)
		}
		w.listed[name] = h
	}
	return nil
}

// open fills in what follows from the host's name and rules.
func (w *Wire) open(h *host) error {
	tlsConfig, err := trust(w.settings, h.rules)
	if err != nil {
		return err
	}
	n := h.rules.Concurrency
	if n <= 0 {
		n = defaultConcurrency
	}
	h.slots = make(chan struct{}, n)
	if r := h.rules.PerSecond; r > 0 {
		h.rate = rate.NewLimiter(rate.Limit(r), max(1, int(r)))
	}
	h.auth = &auth{wire: w, host: h}
	h.meta, h.bulk = w.transport(h, tlsConfig, false), w.transport(h, tlsConfig, true)
	return nil
}

// find gives the host that a URL names: a listed one, or an unlisted one where that is allowed.
func (w *Wire) find(u *url.URL) (*host, error) {
	name := address(u)
	if h := w.listed[name]; h != nil {
		return h, nil
	}
	if !w.settings.Public {
		return nil, refuse(name, "it is not in the configuration", "add it under registries")
	}
	return w.unlisted(name, func() *host { return &host{name: name} })
}

// companion gives the host that another one names as its token server or as the place of its blobs. It
// shares the trust of that host, never its credential, certificate or limits.
func (w *Wire) companion(of *host, u *url.URL, vendor bool) (*host, error) {
	name := address(u)
	if h := w.listed[name]; h != nil {
		return h, nil
	}
	rules := Host{CAFiles: of.rules.CAFiles, Insecure: of.rules.Insecure && !vendor}
	return w.unlisted(of.name+" "+name, func() *host {
		return &host{name: name, rules: rules, listed: !vendor, vendor: vendor}
	})
}

// unlisted gives the host that is kept under key, and makes it when it is first needed.
func (w *Wire) unlisted(key string, first func() *host) (*host, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.other[key]; h != nil {
		return h, nil
	}
	h := first()
	if len(w.other) >= maxOther {
		return nil, refuse(h.name, fmt.Sprintf("more than %d hosts were asked", maxOther), "list the hosts that are meant under registries")
	}
	if err := w.open(h); err != nil {
		return nil, err
	}
	w.other[key] = h
	return h, nil
}

// names says whether one of the patterns (host[:port], * for any text) is the host of u, and whether it
// was written out: what a wildcard matches is chosen by someone else.
func names(patterns []string, u *url.URL, insecure bool) (match, exact bool) {
	target := address(u)
	for _, p := range patterns {
		all, err := addresses(p, insecure)
		if err != nil {
			continue
		}
		if slices.Contains(all, target) {
			return true, true
		}
		for _, a := range all {
			if ok, err := path.Match(a, target); err == nil && ok {
				match = true
			}
		}
	}
	return match, false
}

// allows says whether h names the host of u in its configuration or we name it for the vendor.
func (h *host) allows(configured, known []string, u *url.URL) (ok, vendor bool) {
	if match, exact := names(configured, u, h.rules.Insecure); match {
		return true, !exact
	}
	match, _ := names(known, u, false)
	return match, match
}

// address gives host:port of a URL, in one spelling.
func address(u *url.URL) string {
	port := u.Port()
	switch {
	case port == "" && u.Scheme == "http":
		port = "80"
	case port == "":
		port = "443"
	}
	return net.JoinHostPort(strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), port)
}

// addresses reads host[:port]; without a port it stands for 443 and, when insecure, 80.
func addresses(s string, insecure bool) ([]string, error) {
	u, err := url.Parse("//" + s)
	if err != nil || u.Host != s || u.Hostname() == "" || strings.HasSuffix(s, ":") {
		return nil, errors.New("want host or host:port")
	}
	all := []string{address(u)}
	if u.Port() == "" && insecure {
		all = append(all, address(&url.URL{Scheme: "http", Host: u.Host}))
	}
	return all, nil
}

// maxPEM is the largest file of certificates or keys in bytes; the authorities of a whole system fit easily.
const maxPEM = 4 << 20

// trust builds the TLS settings of a host: the system's roots and the files named for all and for it.
func trust(s Settings, rules Host) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if files := slices.Concat(s.CAFiles, rules.CAFiles); len(files) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("system certificates: %w", err)
		}
		for _, name := range files {
			pem, err := file.Read(name, maxPEM)
			if err != nil {
				return nil, fmt.Errorf("certificate authorities: %w", err)
			}
			if !pool.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("certificate authorities: %s holds no PEM certificate", name)
			}
		}
		c.RootCAs = pool
	}
	if rules.CertFile == "" && rules.KeyFile == "" {
		return c, nil
	}
	chain, err := file.Read(rules.CertFile, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	key, err := file.Read(rules.KeyFile, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	c.Certificates = []tls.Certificate{cert}
	return c, nil
}

// Trust gives the TLS settings of a connection that is not HTTP, by the same rules: the system's roots and those of the
// files, and our certificate where there is one.
func Trust(caFiles []string, certFile, keyFile string) (*tls.Config, error) {
	return trust(Settings{}, Host{CAFiles: caFiles, CertFile: certFile, KeyFile: keyFile})
}
