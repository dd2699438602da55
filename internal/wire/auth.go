package wire

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// auth is what is known of how one host wants to be convinced. Nothing is sent before the host has asked.
type auth struct {
	wire *Wire
	host *host

	mu         sync.Mutex
	credential *Credential // as it was given last; nil: to be asked
	tried      *Credential // the last one that was used, also when it was refused
	learned    map[string]lesson
	tokens     map[challenge]*token
	turns      map[challenge]chan struct{} // closed when the request that asks for a token is done
}

// lesson is the last challenge for one kind of access, with the access it was for.
type lesson struct {
	challenge challenge
	access    access
}

// errDenied is a token server that refuses the credential.
var errDenied = errors.New("the token server refuses the credential")

// renewed is a write that was refused for a credential that was renewed since: its body is gone, so that
// the caller has to send it again.
type renewed struct{ host string }

func (e *renewed) Error() string {
	return "the credential for " + e.host + " has expired and was renewed"
}

// authorize sends a request with the credential that the host has asked for before. When it asks now, the
// request is sent a second time, with the answer.
func (w *Wire) authorize(h *host, req *http.Request) (*http.Response, error) {
	ctx, key := req.Context(), accessOf(req)
	sent, err := h.auth.header(ctx, key)
	if err != nil && err != errDenied {
		closeBody(req)
		if ctx.Err() == nil {
			h.auth.unlearn(key)
		}
		return nil, err
	}
	resp, err := w.send(h, with(req, sent))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusUnauthorized {
		return h.auth.refused(resp, challenge{}, sent, false), nil
	}
	c, ok := parseChallenges(resp.Header)
	if !ok {
		return h.auth.refused(resp, challenge{}, sent, false), nil
	}
	h.auth.learn(c, key, sent)
	next, err := h.auth.header(ctx, key)
	if err == errDenied || err == nil && (next == "" || next == sent) {
		return h.auth.refused(resp, c, sent, err == errDenied), nil
	}
	drain(resp.Body)
	if err != nil {
		if ctx.Err() == nil {
			h.auth.unlearn(key)
		}
		return nil, err
	}
	if hasBody(req) && req.GetBody == nil {
		return nil, &renewed{h.name}
	}
	if req, err = rewind(req); err != nil {
		return nil, err
	}
	if resp, err = w.send(h, with(req, next)); err != nil {
		return nil, err
	}
	return h.auth.refused(resp, c, next, false), nil
}

// refused adds to an answer that does not let us in how we tried, for the error that people will read.
func (a *auth) refused(resp *http.Response, c challenge, sent string, denied bool) *http.Response {
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return resp
	}
	t := Attempt{Scope: c.scope, Denied: denied}
	t.Scheme, _, _ = strings.Cut(strings.ToLower(sent), " ")
	if realm, err := url.Parse(c.realm); err == nil && c.scheme == "bearer" {
		t.Realm = realm.Host
	}
	a.mu.Lock()
	if a.tried != nil && (sent != "" || denied) {
		t.User = a.tried.Username
	}
	a.mu.Unlock()
	t.User, t.Realm, t.Scope = Mask(t.User), Mask(t.Realm), Mask(t.Scope)
	resp.Body = refusedBody{resp.Body, t}
	return resp
}

func with(req *http.Request, header string) *http.Request {
	if header == "" {
		return req
	}
	out := req.Clone(req.Context())
	out.Header.Set("Authorization", header)
	return out
}

// header gives the Authorization header for an access; "" when the host has not asked or nobody has a
// credential for it.
func (a *auth) header(ctx context.Context, key access) (string, error) {
	c, ok := a.known(key)
	if !ok {
		return "", nil
	}
	cred, err := a.ask(ctx)
	switch {
	case err != nil:
		return "", err
	case cred.Token != "":
		return "Bearer " + cred.Token.Reveal(), nil
	case c.scheme == "bearer":
		text, err := a.token(ctx, c, cred)
		if err != nil || text == "" {
			return "", err
		}
		return "Bearer " + text, nil
	case cred.Username == "" && cred.Password == "":
		return "", nil
	}
	return basic(cred), nil
}

func basic(c Credential) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password.Reveal()))
}

// known gives the challenge to expect for an access.
func (a *auth) known(key access) (challenge, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l, ok := a.learned[key.kind]; ok {
		return l.challenge.adapt(l.access, key)
	}
	for _, l := range a.learned { // a host that asks for a password does so for everything
		if l.challenge.scheme == "basic" {
			return l.challenge, true
		}
	}
	return challenge{}, false
}

// learn keeps a challenge, and drops what was sent in vain.
func (a *auth) learn(c challenge, key access, sent string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.learned == nil {
		a.learned = map[string]lesson{}
	}
	a.learned[key.kind] = lesson{c, key}
	if sent == "" {
		return
	}
	a.credential = nil
	for k, t := range a.tokens {
		if "Bearer "+t.text == sent {
			t.expire.Stop()
			delete(a.tokens, k)
		}
	}
}

// unlearn drops the challenge for an access after it led nowhere, so that the host is asked anew what it wants: one wrong
// answer, such as of a page that stands in for it during maintenance, must not count until the next start.
func (a *auth) unlearn(key access) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.learned, key.kind)
}

// ask gives the credential of the host.
func (a *auth) ask(ctx context.Context) (Credential, error) {
	if a.host.rules.Credential == nil {
		return Credential{}, nil
	}
	a.mu.Lock()
	have := a.credential
	a.mu.Unlock()
	if have != nil {
		return *have, nil
	}
	c, err := a.host.rules.Credential(ctx)
	if err != nil {
		return Credential{}, err
	}
	Conceal(c.Password)
	Conceal(c.Token)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.credential, a.tried = &c, &c
	return c, nil
}

func (a *auth) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.tokens {
		t.expire.Stop()
	}
	a.credential, a.tokens = nil, nil
}

// keep stores a token for as long as it may be used.
func (a *auth) keep(c challenge, text string, life time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tokens == nil {
		a.tokens = map[challenge]*token{}
	}
	if old := a.tokens[c]; old != nil {
		old.expire.Stop()
	}
	t := &token{text: text}
	t.expire = time.AfterFunc(life, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.tokens[c] == t {
			delete(a.tokens, c)
		}
	})
	a.tokens[c] = t
}
