package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// AsideError is a request that failed at another host than the caller asked: at a token server, or where
// a redirect led.
type AsideError struct {
	Role string // "token server" or "redirected to"
	Host string // host:port
	Err  error
}

// Error names the host and what it is asked for.
func (e *AsideError) Error() string { return e.Role + " " + e.Host + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *AsideError) Unwrap() error { return e.Err }

// TokenError is a token server that answers with something else than a token or a refusal of the credential.
type TokenError struct {
	Status     int
	RetryAfter time.Duration // as it asked for; 0 where it did not
	Until      time.Time     // when that ends, by its own clock; zero where it tells no time
}

// Error gives the status in words.
func (e *TokenError) Error() string {
	return fmt.Sprintf("it answers %d %s", e.Status, http.StatusText(e.Status))
}

// Temporary says whether asking again later may help.
func (e *TokenError) Temporary() bool {
	return e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests || e.Status >= 500
}

// ProxyError is a proxy that cannot be reached, or that does not let us through.
type ProxyError struct {
	Proxy  string // host:port, never its user
	Status int    // of its answer to CONNECT; 0: none came
	Err    error  // nil with a status
}

// Error names the proxy and says what it did.
func (e *ProxyError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("proxy %s answers %d %s", e.Proxy, e.Status, http.StatusText(e.Status))
	}
	return "proxy " + e.Proxy + ": " + e.Err.Error()
}

// Unwrap gives the error of the network; nil when the proxy answered.
func (e *ProxyError) Unwrap() error { return e.Err }

// Temporary says whether the same request may pass later.
func (e *ProxyError) Temporary() bool { return e.Status == 0 || e.Status >= 500 }

// explain says where a request of this host failed, when it was not at the host that the caller asked.
func (w *Wire) explain(h *host, req *http.Request, err error) error {
	var told *ProxyError
	var op *net.OpError
	if !errors.As(err, &told) && errors.As(err, &op) && op.Op == "proxyconnect" {
		if proxy, ask := w.proxyFor(h)(req); ask == nil && proxy != nil {
			err = &ProxyError{Proxy: address(proxy), Err: op.Err}
		}
	}
	if origin(req) != nil && !errors.Is(err, ErrRefused) {
		err = &AsideError{Role: "redirected to", Host: h.name, Err: err}
	}
	return err
}

// Attempt is how a host was asked to let us in that refused all the same.
type Attempt struct {
	User   string // "" for none
	Scheme string // basic, bearer, or "" when nothing was sent
	Realm  string // host of the token server, where the host named one
	Scope  string // that a token was asked for, in the words of the host
	Denied bool   // the token server refused the credential, so that the host never saw an answer to its challenge
}

// refusedBody is the body of a 401 or 403, with how we asked. Callers that know nothing of this package find
// it by the method.
type refusedBody struct {
	io.ReadCloser
	attempt Attempt
}

// Tried tells the attempt.
func (b refusedBody) Tried() (user, scheme, realm, scope string, denied bool) {
	a := b.attempt
	return a.User, a.Scheme, a.Realm, a.Scope, a.Denied
}

// until gives when a pause ends that an answer asks for, by the clock of who answers.
func until(h http.Header) time.Time {
	wait := retryAfter(h)
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil || wait == 0 {
		return time.Time{}
	}
	return now.Add(wait)
}
