package forge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits on what a forge may send and ask for.
const (
	maxAnswer  = 32 << 20 // bytes of one answer: a page of a hundred proposals with long texts is a fifth of it
	maxRefusal = 64 << 10 // bytes of an answer that is an error
	maxWait    = 2 * time.Hour
	someWait   = time.Minute // where it wants to be asked later and does not say when
)

// guard lets the requests for one forge out, with the credential and to its host alone. It turns answers that are
// errors into errors before a library reads them, caps the others, and asks nothing while the forge wants it so.
type guard struct {
	next   http.RoundTripper
	api    *url.URL
	now    func() time.Time
	token  func(context.Context) (string, error)
	refuse func() // called when the credential was not let in

	mu    sync.Mutex
	until time.Time // from when the forge may be asked again
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := g.send(req)
	if err != nil {
		return nil, err
	}
	g.note(resp)
	switch c := resp.StatusCode; {
	case c >= 300 && c < 400 && !g.followed(resp):
		resp.Body.Close()
		e := &Error{Host: g.api.Host, Status: c, Err: ErrMoved}
		if to, err := resp.Location(); err == nil {
			e.Message = text("to "+to.Scheme+"://"+to.Host+to.EscapedPath(), maxMessage)
		}
		return nil, e
	case c >= 400:
		return nil, g.refused(req, resp)
	}
	resp.Body = &capped{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// send lets one request out, unless the forge wants to be left alone.
func (g *guard) send(req *http.Request) (*http.Response, error) {
	stop := func(err error) (*http.Response, error) {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	if req.URL.Host != g.api.Host || req.URL.Scheme != g.api.Scheme {
		return stop(&Error{Host: g.api.Host, Err: ErrMoved})
	}
	g.mu.Lock()
	until := g.until
	g.mu.Unlock()
	if g.now().Before(until) {
		return stop(&Error{Host: g.api.Host, Err: &LimitedError{until}})
	}
	token, err := g.token(req.Context())
	switch {
	case errors.As(err, new(*Error)):
		return stop(err) // the forge was asked for it
	case err != nil:
		return stop(&Error{Host: g.api.Host, Step: "read the credential", Err: err})
	}
	out := req.Clone(req.Context())
	out.Header.Set("Authorization", "Bearer "+token)
	resp, err := g.next.RoundTrip(out)
	if err != nil {
		return nil, &Error{Host: g.api.Host, Err: err}
	}
	resp.Request = req // the library must not see the header either
	return resp, nil
}

// followed says whether a client may go where an answer sends it: to another path of the same host, for reads.
func (g *guard) followed(resp *http.Response) bool {
	to, err := resp.Location()
	return err == nil && to.Host == g.api.Host && to.Scheme == g.api.Scheme && slices.Contains([]string{http.MethodGet, http.MethodHead}, resp.Request.Method)
}

// refused gives the error of an answer that is one. A forge that repeats the credential gets it out of no error.
func (g *guard) refused(req *http.Request, resp *http.Response) error {
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what cannot be read says nothing
	if token, err := g.token(req.Context()); err == nil && token != "" {
		body = []byte(strings.ReplaceAll(string(body), token, "***"))
	}
	e := refusal(resp, body)
	if until, limited := g.limited(resp, e.Message); limited {
		e.Err = &LimitedError{until}
		g.wait(until)
	} else if e.Status == http.StatusUnauthorized && g.refuse != nil {
		g.refuse()
	}
	return e
}

// limited says whether an answer asks us to come later: 429 of all, 403 of GitHub with one of the signs that its
// documentation names, and 503 with a time.
func (g *guard) limited(resp *http.Response, message string) (time.Time, bool) {
	h, busy := resp.Header, resp.Header.Get("Retry-After") != ""
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
	case http.StatusForbidden:
		if !busy && remaining(h) != "0" && !strings.Contains(strings.ToLower(message), "rate limit") {
			return time.Time{}, false
		}
	case http.StatusServiceUnavailable:
		if !busy {
			return time.Time{}, false
		}
	default:
		return time.Time{}, false
	}
	return g.later(h), true
}

// note remembers that the last request of a window was this one.
func (g *guard) note(resp *http.Response) {
	if resp.StatusCode < 300 && remaining(resp.Header) == "0" && reset(resp.Header) != "" {
		g.wait(g.later(resp.Header))
	}
}

func (g *guard) wait(until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until.After(g.until) {
		g.until = until
	}
}

func remaining(h http.Header) string {
	if v := h.Get("X-RateLimit-Remaining"); v != "" {
		return v
	}
	return h.Get("RateLimit-Remaining")
}

func reset(h http.Header) string {
	if v := h.Get("X-RateLimit-Reset"); v != "" {
		return v
	}
	return h.Get("RateLimit-Reset")
}

// later gives when to come again. Moments are held against the answer's own Date, so that clocks need not agree.
func (g *guard) later(h http.Header) time.Time {
	now := g.now()
	theirs, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		theirs = now
	}
	wait := someWait
	if s, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31); err == nil {
		wait = time.Duration(s) * time.Second
	} else if at, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		wait = at.Sub(theirs)
	} else if s, err := strconv.ParseInt(reset(h), 10, 63); err == nil {
		wait = time.Unix(s, 0).Sub(theirs)
	}
	return now.Add(min(max(wait, time.Second), maxWait))
}

// capped is a body that ends in an error where it is too large.
type capped struct {
	io.ReadCloser
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, &Error{Err: fmt.Errorf("%w: it has more than %d MiB", ErrAnswer, maxAnswer>>20)}
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}
