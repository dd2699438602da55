package wire

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// ErrRefused is the cause of every request that our own rules did not let out.
var ErrRefused = errors.New("refused")

// Refusal is a request that did not leave, with what the operator can do about it.
type Refusal struct {
	Host string // host:port that would have been asked
	From string // host:port that named it, whose rules are missing a word; "" for a host that we were asked for ourselves
	Why  string
	Fix  string // "" when there is none; <name> stands for the key of the registry
}

func refuse(host, why, fix string) error {
	return &Refusal{Host: Mask(host), Why: Mask(why), Fix: Mask(fix)}
}

// refuseFrom is refuse for a host that another one names.
func refuseFrom(from, host, why, fix string) error {
	return &Refusal{Host: Mask(host), From: from, Why: Mask(why), Fix: Mask(fix)}
}

// Error says which host, why, and what to do.
func (e *Refusal) Error() string {
	text := fmt.Sprintf("request to %s refused: %s", e.Host, e.Why)
	if e.Fix != "" {
		text += "; " + e.Fix
	}
	return text
}

// Refused says that another try would be refused as well.
func (e *Refusal) Refused() bool { return true }

// Unwrap gives ErrRefused.
func (e *Refusal) Unwrap() error { return ErrRefused }

// route chooses the host by whose rules req is sent. foreign says that it was redirected to another host
// than it was made for, so that it must carry no credential.
func (w *Wire) route(req *http.Request) (h *host, foreign bool, err error) {
	first := origin(req)
	if first == nil || sameOrigin(first.URL, req.URL) {
		h, err = w.find(req.URL)
	} else {
		h, err = w.redirected(first, req)
		foreign = true
	}
	if err != nil {
		return nil, false, err
	}
	return h, foreign, h.secure(req.URL)
}

// secure refuses plain http unless the configuration allows it.
func (h *host) secure(u *url.URL) error {
	switch {
	case u.User != nil:
		return refuse(h.name, "its URL carries a user", "give credentials under auth")
	case u.Scheme == "https", u.Scheme == "http" && h.rules.Insecure:
		return nil
	case u.Scheme == "http":
		return refuse(h.name, "plain http", "use https, or set insecure: true for it")
	}
	return refuse(h.name, "unknown scheme "+u.Scheme, "")
}

// origin gives the request that a chain of redirects began with; nil for one that was not redirected.
func origin(req *http.Request) *http.Request {
	var first *http.Request
	for r := req; r.Response != nil && r.Response.Request != nil; r = r.Response.Request {
		first = r.Response.Request
	}
	return first
}

// redirected gives the host that a redirect leads to, if the host that the request was made for names it.
func (w *Wire) redirected(first, req *http.Request) (*host, error) {
	from, err := w.find(first.URL)
	if err != nil {
		return nil, err
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return nil, refuseFrom(from.name, address(req.URL), fmt.Sprintf("%s redirects a %s to it", from.name, req.Method), "")
	}
	ok, vendor := from.allows(from.rules.Redirects, vendors[from.name].redirects, req.URL)
	if !ok {
		return nil, refuseFrom(from.name, address(req.URL), from.name+" redirects to it",
			fmt.Sprintf("if that is right, add registries.<name>.auth.redirects: [%s]", req.URL.Host))
	}
	return w.companion(from, req.URL, vendor)
}

// sameOrigin says whether two URLs are on one host and port. The scheme counts through its port: a host
// that may be asked by both schemes on one port is insecure by its configuration.
func sameOrigin(a, b *url.URL) bool { return address(a) == address(b) }
