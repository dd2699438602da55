// Package wire is the one way out of the process: every HTTP request to a registry, a token server or a Git
// server passes its RoundTripper.
//
// It promises that a credential goes only to the host and port it is for, or to a token server that the
// configuration names; that hosts which are not listed are reached only at public addresses, and only when
// that is allowed at all; that plain http needs a word in the configuration; and that reads are retried
// while writes never are. It keeps no body in memory and writes no log. What a request means is left to
// the callers.
package wire

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Credential is what a host wants to know; the zero value is anonymous. Token is sent as it is
// (Authorization: Bearer) and wins. The user "<token>" marks Password as an OAuth2 refresh token, as
// Docker's credential helpers do.
type Credential struct {
	Username string
	Password Secret
	Token    Secret
}

// Host is how one host is spoken to. The zero value is https with the trust of Settings, anonymous.
type Host struct {
	// Credential is asked when the host wants one, and again after the host has refused what it gave.
	Credential func(context.Context) (Credential, error)
	Insecure   bool     // plain http is allowed, for this host and those it names
	CAFiles    []string // PEM, besides the system's and those of Settings
	CertFile   string   // PEM, our certificate for mutual TLS
	KeyFile    string
	Realms     []string // other hosts, host[:port], that may get the credential as token servers
	Redirects  []string // other hosts that reads may be redirected to, without a credential; *.example matches below example
	// Concurrency is how many requests may wait for an answer at once; 0 is defaultConcurrency.
	Concurrency int
	PerSecond   float64 // requests; 0 is no limit
}

// Settings are the rules for all hosts.
type Settings struct {
	Hosts     map[string]Host // by host[:port] as dialled; without a port 443 and, when Insecure, 80
	CAFiles   []string        // PEM, trusted for every host besides the system's
	UserAgent string
	Observe   func(Event) // called for every request that was sent, from many goroutines; may be nil
	Public    bool        // hosts that are not listed may be reached at public addresses
	// Proxy chooses a proxy as http.Transport does; nil is http.ProxyFromEnvironment. Through a proxy only
	// listed hosts are reached, because nobody here sees the address that it will connect to.
	Proxy func(*http.Request) (*url.URL, error)
}

// Event is one request that was sent, every try counted. Status is 0 when no answer came.
type Event struct {
	Host   string // host:port
	Method string
	Status int
	Date   time.Time // of the answer, by the clock of who sent it; zero when it tells none
}

// Wire carries requests by the rules of its Settings. It is an http.RoundTripper, safe for concurrent use.
type Wire struct {
	settings Settings
	listed   map[string]*host // by host:port; fixed after New

	mu    sync.Mutex
	other map[string]*host // by host:port, or by who named it and host:port: made when first needed

	// Tests replace these two.
	sleep  func(context.Context, time.Duration) error
	lookup lookup
}

var _ http.RoundTripper = (*Wire)(nil)

// New reads the files that the settings name and gives the transport; nothing is dialled.
func New(s Settings) (*Wire, error) {
	if s.Observe == nil {
		s.Observe = func(Event) {}
	}
	if s.Proxy == nil {
		s.Proxy = http.ProxyFromEnvironment
	}
	w := &Wire{settings: s, listed: map[string]*host{}, other: map[string]*host{}, sleep: sleep, lookup: systemLookup}
	for key, rules := range s.Hosts {
		if err := w.list(key, rules); err != nil {
			return nil, err
		}
	}
	// The trust of Settings alone must load too, or the first unlisted host would be the one to tell.
	_, err := trust(s, Host{})
	return w, err
}

// RoundTrip sends the request by the rules of its host; a redirected request by those of the host that
// redirected it. It does not change the request, and closes its body.
func (w *Wire) RoundTrip(req *http.Request) (*http.Response, error) {
	h, foreign, err := w.route(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	out := req.Clone(req.Context())
	if w.settings.UserAgent != "" {
		out.Header.Set("User-Agent", w.settings.UserAgent)
	}
	var resp *http.Response
	if foreign {
		for _, name := range []string{"Authorization", "Cookie", "Referer"} {
			out.Header.Del(name) // Referer may hold the state of an upload
		}
		resp, err = w.send(h, out)
	} else if out.Header.Get("Authorization") != "" {
		resp, err = w.send(h, out)
	} else {
		resp, err = w.authorize(h, out)
	}
	if err != nil {
		return nil, err
	}
	resp.Request = req // redirects are judged by the chain of original requests
	if _, err := resp.Location(); err != nil && err != http.ErrNoLocation {
		// A client would quote it in its error, and it may hold anything: also what we sent.
		resp.Header.Del("Location")
	}
	return resp, nil
}

// maxRedirects bounds a chain of redirects.
const maxRedirects = 5

// Client gives a client over this transport. It follows redirects of GET and HEAD, where RoundTrip allows
// the host; an answer to another method that redirects is given back as it is.
func (w *Wire) Client() *http.Client {
	return &http.Client{Transport: w, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if m := via[0].Method; m != http.MethodGet && m != http.MethodHead {
			return http.ErrUseLastResponse
		}
		if len(via) > maxRedirects {
			return refuse(req.URL.Host, "too many redirects", "")
		}
		return nil
	}}
}

// Close closes the connections that carry nothing and forgets tokens. Requests that run are not disturbed.
func (w *Wire) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, hosts := range []map[string]*host{w.listed, w.other} {
		for _, h := range hosts {
			h.meta.CloseIdleConnections()
			h.bulk.CloseIdleConnections()
			h.auth.forget()
		}
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// Limits of one connection. A request that waits for an answer longer is an error, and retried if it reads.
const (
	dialTimeout   = 10 * time.Second
	tlsTimeout    = 10 * time.Second
	answerTimeout = time.Minute     // until the header of an answer
	bulkTimeout   = 5 * time.Minute // the same for blobs: a registry hashes a large upload before it answers
	idleTimeout   = 90 * time.Second
	maxHeader     = 256 << 10 // bytes of an answer's header
)

// transport is one pool of connections to h. Blobs go over HTTP/1.1 connections of their own: a stream of
// HTTP/2 is slower by half and shares one congestion window with all others.
func (w *Wire) transport(h *host, tlsConfig *tls.Config, bulk bool) *http.Transport {
	t := &http.Transport{
		Proxy:                  w.proxyFor(h),
		DialContext:            w.dialerFor(h),
		TLSClientConfig:        tlsConfig.Clone(),
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  answerTimeout,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConnsPerHost:    cap(h.slots),
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // bytes are compared with digests
		ForceAttemptHTTP2:      !bulk,
	}
	t.OnProxyConnectResponse = func(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode == http.StatusOK {
			return nil
		}
		return &ProxyError{Proxy: address(proxy), Status: resp.StatusCode}
	}
	if bulk {
		t.ResponseHeaderTimeout = bulkTimeout
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{} // HTTP/1.1 only
	}
	return t
}
