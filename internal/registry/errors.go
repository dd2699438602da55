package registry

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/poundlock/poundlock/internal/mirror"
)

// ErrUnauthorized is the cause of an *Error with status 401 or 403: the credential is missing, wrong or
// not allowed to do this.
var ErrUnauthorized = errors.New("unauthorized")

// maxMessage bounds what of a registry's own words is shown.
const maxMessage = 200 // characters

// Error is a request to a registry that did not succeed. Status is 0 when no answer came; then Unwrap
// gives the network error. It never holds a URL's query, which may be a credential.
type Error struct {
	Op         string // what was tried: "head", "upload"
	Ref        mirror.Reference
	Host       string // host[:port] that was asked
	Status     int
	Code       string // of the registry, such as MANIFEST_UNKNOWN
	Message    string // of the registry
	RetryAfter time.Duration
	Until      time.Time // when RetryAfter ends, by the registry's clock; zero where it tells no time
	Method     string    // of the request; see Action
	Tried      Attempt   // of a 401 or 403: how we asked to be let in
	Rate       Rate      // what is left of a rate limit, where the registry tells
	err        error
}

// Attempt is how a registry was asked to let us in. It holds no secret.
type Attempt struct {
	User   string // "" for none
	Scheme string // basic, bearer, or "" when nothing was sent
	Realm  string // host of the token server, where the registry named one
	Scope  string // what the registry asked a token for, in its own words
	Denied bool   // the token server refused the credential
}

// Action is what the request needs the right to: pull, push or delete.
func (e *Error) Action() string {
	switch e.Method {
	case http.MethodGet, http.MethodHead:
		return "pull"
	case http.MethodDelete:
		return "delete"
	}
	return "push"
}

// Error reads as a part of a sentence: head docker.io/library/nginx:1 at registry-1.docker.io: 404 ...
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if !e.Ref.IsZero() {
		b.WriteString(" " + e.Ref.String())
	}
	b.WriteString(" at " + e.Host + ": ")
	if e.Status == 0 {
		return b.String() + fmt.Sprint(e.err)
	}
	fmt.Fprintf(&b, "%d %s", e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	return b.String()
}

// Unwrap gives mirror.ErrNotFound on 404, ErrUnauthorized on 401 and 403, or the error of the network.
func (e *Error) Unwrap() error { return e.err }

// Temporary says whether the same request may succeed later: no whole answer came, or one of 408, 429 and
// 5xx. A request that our own rules refused to send is not temporary.
func (e *Error) Temporary() bool {
	if e.Status == 0 {
		var r interface{ Refused() bool }
		return !errors.As(e.err, &r) || !r.Refused()
	}
	return e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests || e.Status >= 500
}

// fail wraps an error of the network. Only the cause of a *url.Error is kept: its URL may carry the state
// of an upload or the signature of a download.
func (q request) fail(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &Error{Op: q.op, Ref: q.ref, Host: q.url.Host, Method: q.method, err: mirror.Discreet(q.mask, err)}
}

// check gives nil for a status that means success and an *Error for any other.
func (q request) check(resp *http.Response) error {
	err := transport.CheckError(resp, q.success...)
	if err == nil {
		return nil
	}
	e := &Error{Op: q.op, Ref: q.ref, Host: q.url.Host, Method: q.method, Status: resp.StatusCode,
		RetryAfter: retryAfter(resp.Header), Rate: rateOf(resp.Header), Tried: attemptOf(resp)}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil && e.RetryAfter > 0 {
		e.Until = date.Add(e.RetryAfter)
	}
	var t *transport.Error
	if errors.As(err, &t) && len(t.Errors) > 0 {
		e.Code, e.Message = q.said(string(t.Errors[0].Code)), q.said(t.Errors[0].Message)
	}
	switch resp.StatusCode {
	case http.StatusNotFound:
		e.err = mirror.ErrNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		e.err = ErrUnauthorized
	}
	return e
}

// attemptOf reads what the transport noted at an answer that does not let us in.
func attemptOf(resp *http.Response) (a Attempt) {
	if noted, ok := resp.Body.(interface {
		Tried() (user, scheme, realm, scope string, denied bool)
	}); ok {
		a.User, a.Scheme, a.Realm, a.Scope, a.Denied = noted.Tried()
		a.User, a.Realm, a.Scope = printable(a.User), printable(a.Realm), printable(a.Scope)
	}
	return a
}

// said makes what a registry says safe to show. Its words may be ours sent back, with the credential.
func (q request) said(s string) string { return printable(q.mask(s)) }

// printable makes foreign text safe for a terminal and a log line.
func printable(s string) string { return mirror.Shorten(mirror.Printable(s), maxMessage) }

// retryAfter reads the header of that name in both of its forms. A date is compared with the answer's own
// Date, so that the two clocks need not agree.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	until, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(0, until.Sub(now))
}

// statusOf gives the status of an *Error, 0 for anything else.
func statusOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}
