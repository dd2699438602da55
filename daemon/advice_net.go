package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
)

// adviseWire is for network errors that carry no registry and no Git server.
func (c adviser) adviseWire(err error) (mirror.Problem, bool) {
	host := ""
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		host = op.Addr.String()
	}
	return c.adviseNetwork(peer{name: host, ca: c.TLS.CAFiles}, err)
}

// adviseNetwork says what an exchange that brought no answer died of.
func (c adviser) adviseNetwork(to peer, err error) (mirror.Problem, bool) {
	var aside *wire.AsideError
	if errors.As(err, &aside) {
		to.name = fmt.Sprintf("%s, which %s names", aside.Host, to.name)
	}
	for _, ask := range []func(peer, error) (mirror.Problem, bool){c.adviseRefusal, c.adviseToken, c.adviseProxy, c.adviseTLS, c.adviseDial} {
		if p, ok := ask(to, err); ok {
			return p, true
		}
	}
	return mirror.Problem{}, false
}

// adviseRefusal is for requests that our own rules did not let out.
func (c adviser) adviseRefusal(to peer, err error) (mirror.Problem, bool) {
	var r *wire.Refusal
	if !errors.As(err, &r) {
		return mirror.Problem{}, false
	}
	code := "NET005"
	if r.Why == "plain http" {
		code = "NET006"
	}
	p := c.problem(code, to.key, "request to %s refused by our own rules: %s", r.Host, r.Why)
	p.Why = "credentials and bytes go only to hosts that the configuration names"
	p.Fix = r.Fix
	if to.key != "" {
		p.Fix = strings.ReplaceAll(r.Fix, "registries.<name>", to.key)
	}
	return p, true
}

// adviseToken is for token servers that answer with neither a token nor a refusal.
func (c adviser) adviseToken(to peer, err error) (mirror.Problem, bool) {
	var t *wire.TokenError
	if !errors.As(err, &t) {
		return mirror.Problem{}, false
	}
	if t.Status == http.StatusTooManyRequests {
		p := c.problem("RATE001", to.key, "token server %s: too many requests", to.name)
		p.Why, p.Fix = waitWords(t.RetryAfter, t.Until), limitFix(to)
		return p, true
	}
	p := c.problem("REG005", to.key, "token server %s: %v", to.name, t)
	p.Fix = "try again later; when it stays, tell who runs it"
	return p, true
}

func (c adviser) adviseProxy(to peer, err error) (mirror.Problem, bool) {
	var p *wire.ProxyError
	if !errors.As(err, &p) {
		return mirror.Problem{}, false
	}
	out := c.problem("NET004", "", "%s is not reached through the proxy %s", to.name, p.Proxy)
	out.Why = clean(p.Error())
	out.Fix = "look at HTTPS_PROXY, or name the host in NO_PROXY when it is inside"
	if p.Status == http.StatusProxyAuthRequired {
		out.Fix = "the proxy wants a user and password: they belong in HTTPS_PROXY of the service's environment"
	}
	return out, true
}

func (c adviser) adviseTLS(to peer, err error) (mirror.Problem, bool) {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var verification *tls.CertificateVerificationError
	key := to.key
	if key != "" {
		key += ".tls"
	}
	switch {
	case errors.As(err, &authority):
		p := c.problem("TLS002", key, "the certificate of %s is signed by an authority that is not trusted here%s", to.name, issuer(authority.Cert))
		p.Why = trusted(to.ca)
		p.Fix = "put the authority's certificate (PEM) into a file and name it: " + caKey(to) + ": [corp-ca.pem]"
		return p, true
	case errors.As(err, &name):
		p := c.problem("TLS003", to.key, "the certificate of %s is not for %q", to.name, name.Host)
		p.Why = "it is for " + names(name.Certificate)
		p.Fix = "use a name that the certificate carries, or have it issued for this one"
		return p, true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		p := c.problem("TLS001", to.key, "the certificate of %s is not valid now: it is from %s to %s", to.name, day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter))
		p.Why = "our clock: " + mirror.Clean(invalid.Detail)
		p.Fix = "have it renewed by who runs that host; if our clock is wrong, set it: `timedatectl`"
		return p, true
	case errors.As(err, &record):
		p := c.problem("TLS005", to.key, "%s does not speak TLS on that port", to.name)
		p.Why, p.Fix = "https was asked for and something else answered", "check the port; for a registry or Git server that speaks plain http set insecure: true"
		if to.key != "" {
			p.Fix = "check the port; when it is meant to speak plain http set " + to.key + ".insecure: true"
		}
		return p, true
	case errors.As(err, &alert), errors.As(err, &verification), errors.As(err, &invalid):
		p := c.problem("TLS004", key, "no TLS connection to %s", to.name)
		p.Why = clean(err.Error())
		p.Fix = "when the host wants a certificate of ours, set tls.certFile and tls.keyFile for it"
		return p, true
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		p := c.problem("TLS005", to.key, "%s does not speak TLS on that port", to.name)
		p.Why, p.Fix = "https was asked for and plain http answered", "check the port; when it is meant to speak plain http set insecure: true for it"
		return p, true
	}
	return mirror.Problem{}, false
}

func (c adviser) adviseDial(to peer, err error) (mirror.Problem, bool) {
	var dns *net.DNSError
	var timeout net.Error
	var p mirror.Problem
	var ours *listenError
	switch {
	case errors.As(err, &ours) && errors.Is(err, syscall.EADDRINUSE):
		p = c.problem("NET009", ours.key, "the address is in use: %v", err)
		p.Fix = "end what listens there (`ss -ltnp` names it), or set " + ours.key + " to another port"
	case errors.As(err, &ours):
		p = c.problem("NET010", ours.key, "the address cannot be listened on: %v", err)
		p.Fix = "set " + ours.key + " to an address of this machine, with a port above 1023 unless the process may use lower ones"
	case errors.As(err, &dns):
		p = c.problem("NET001", to.key, "the name %q is not found by DNS", dns.Name)
		p.Fix = "check its spelling; `getent hosts " + plainName(dns.Name) + "` on this machine must give an address"
		if !dns.IsNotFound {
			p.What = mirror.Clean(fmt.Sprintf("DNS gives no answer for %q", dns.Name))
			p.Fix = "check the name servers of this machine (/etc/resolv.conf), then try again"
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		p = c.problem("NET002", to.key, "nothing listens at %s", to.name)
		p.Fix = "start it, or check host and port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		p = c.problem("NET007", to.key, "no route to %s", to.name)
		p.Fix = "check the network, firewall and proxy of this machine"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(),
		strings.Contains(err.Error(), "connection stands still"):
		p = c.problem("NET003", to.key, "%s does not answer in time", to.name)
		p.Fix = "a firewall that drops packets looks like this; check it and the proxy, then try again"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		p = c.problem("NET008", to.key, "the connection to %s broke", to.name)
		p.Fix = "try again; when it stays, see the log of that host or of a proxy in between"
	default:
		return p, false
	}
	p.Why = clean(err.Error())
	return p, true
}

func caKey(to peer) string {
	if to.key == "" {
		return "tls.caFiles"
	}
	return to.key + ".tls.caFiles"
}

// issuer names who signed a certificate.
func issuer(cert *x509.Certificate) string {
	if cert == nil || cert.Issuer.String() == "" {
		return ""
	}
	return fmt.Sprintf(" (%s)", mirror.Clean(cert.Issuer.String()))
}

// names lists what a certificate is for.
func names(cert *x509.Certificate) string {
	if cert == nil {
		return "other names"
	}
	all := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return fmt.Sprintf("no name at all (its subject is %s, which does not count)", mirror.Clean(cert.Subject.String()))
	}
	return mirror.Clean(strings.Join(all, ", "))
}

func trusted(files []string) string {
	if len(files) == 0 {
		return "trusted are the authorities of this system alone, no file of the configuration"
	}
	return "trusted are the authorities of this system and of " + strings.Join(files, ", ")
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// plainName gives a host name only when it can stand in a command as it is.
func plainName(name string) string {
	if strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" || strings.HasPrefix(name, "-") {
		return "NAME"
	}
	return name
}

// sameAddress says whether a URL is that of host[:port].
func sameAddress(endpoint, address string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return strings.EqualFold(u.Host, address) || strings.EqualFold(net.JoinHostPort(u.Hostname(), port), address)
}
