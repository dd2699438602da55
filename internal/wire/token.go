package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxToken is the largest answer of a token server.
	maxToken = 1 << 20 // bytes
	// defaultLife is how long a token without expires_in is valid, by the Docker token specification.
	defaultLife = time.Minute
	// maxLife bounds what a token server may claim.
	maxLife = time.Hour
	// maxScopes bounds the scopes of one challenge.
	maxScopes = 16

	tokenServer = "token server"
)

// token is one that the host may be asked with until expire fires.
type token struct {
	text   string
	expire *time.Timer
}

// token gives a bearer token for a challenge: one that is kept, or a new one. Requests that need the same
// one at the same time wait for one answer.
func (a *auth) token(ctx context.Context, c challenge, cred Credential) (string, error) {
	release, err := a.turn(ctx, c)
	if err != nil {
		return "", err
	}
	defer release()
	a.mu.Lock()
	have := a.tokens[c]
	a.mu.Unlock()
	if have != nil {
		return have.text, nil
	}
	text, life, err := a.fetch(ctx, c, cred)
	if err == errDenied { // a rotated secret is read anew
		a.mu.Lock()
		a.credential = nil
		a.mu.Unlock()
	}
	if err != nil {
		return "", err
	}
	a.keep(c, text, life)
	return text, nil
}

// turn lets one request at a time ask for the token of a challenge.
func (a *auth) turn(ctx context.Context, c challenge) (release func(), err error) {
	for {
		a.mu.Lock()
		busy := a.turns[c]
		if busy == nil {
			if a.turns == nil {
				a.turns = map[challenge]chan struct{}{}
			}
			mine := make(chan struct{})
			a.turns[c] = mine
			a.mu.Unlock()
			return func() {
				a.mu.Lock()
				delete(a.turns, c)
				a.mu.Unlock()
				close(mine)
			}, nil
		}
		a.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// fetch asks the token server. errDenied means that it refuses the credential.
func (a *auth) fetch(ctx context.Context, c challenge, cred Credential) (text string, life time.Duration, err error) {
	realm, err := url.Parse(c.realm)
	if err != nil || realm.Host == "" {
		return "", 0, fmt.Errorf("%s names a malformed token server", a.host.name)
	}
	h, err := a.realm(realm)
	if err != nil {
		return "", 0, err
	}
	req, err := tokenRequest(ctx, realm, c, cred)
	if err != nil {
		return "", 0, err
	}
	if a.wire.settings.UserAgent != "" {
		req.Header.Set("User-Agent", a.wire.settings.UserAgent)
	}
	resp, err := a.wire.try(h, req, true)
	if err != nil {
		return "", 0, &AsideError{Role: tokenServer, Host: h.name, Err: err}
	}
	defer drain(resp.Body)
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest:
		return "", 0, errDenied
	default:
		return "", 0, &AsideError{Role: tokenServer, Host: h.name, Err: &TokenError{resp.StatusCode, retryAfter(resp.Header), until(resp.Header)}}
	}
	text, life, err = parseToken(resp.Body)
	if err != nil {
		return "", 0, &AsideError{Role: tokenServer, Host: h.name, Err: err}
	}
	concealToken(text)
	return text, life, nil
}

// realm gives the token server's host, if it may have the credential: the host itself, or one that is
// named for it.
func (a *auth) realm(u *url.URL) (*host, error) {
	from := a.host
	if address(u) == from.name || a.wire.listed[address(u)] == from {
		return from, from.secure(u)
	}
	ok, vendor := from.allows(from.rules.Realms, vendors[from.name].realms, u)
	if !ok {
		return nil, refuseFrom(from.name, address(u), from.name+" names it as its token server",
			fmt.Sprintf("if that is right, add registries.<name>.auth.realms: [%s]", u.Host))
	}
	h, err := a.wire.companion(from, u, vendor)
	if err != nil {
		return nil, err
	}
	return h, h.secure(u)
}

// tokenRequest is a GET with the credential as Basic, or for a refresh token the POST of OAuth2.
func tokenRequest(ctx context.Context, realm *url.URL, c challenge, cred Credential) (*http.Request, error) {
	scopes := strings.Fields(c.scope)
	if len(scopes) > maxScopes {
		return nil, fmt.Errorf("challenge with %d scopes", len(scopes))
	}
	if cred.Username == "<token>" {
		form := url.Values{"grant_type": {"refresh_token"}, "client_id": {"poundlock"}, "service": {c.service},
			"scope": {strings.Join(scopes, " ")}, "refresh_token": {cred.Password.Reveal()}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err
	}
	u := *realm
	q := u.Query()
	if c.service != "" {
		q.Set("service", c.service)
	}
	for _, s := range scopes {
		q.Add("scope", s)
	}
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err == nil && (cred.Username != "" || cred.Password != "") {
		req.Header.Set("Authorization", basic(cred))
	}
	return req, err
}

// parseToken reads a token server's answer. A tenth of the token's life is kept back, so that it does not
// expire on its way.
func parseToken(body io.Reader) (string, time.Duration, error) {
	var t struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if err := json.NewDecoder(io.LimitReader(body, maxToken)).Decode(&t); err != nil {
		return "", 0, errors.New("malformed answer")
	}
	if t.Token == "" {
		t.Token = t.AccessToken
	}
	if t.Token == "" {
		return "", 0, errors.New("answer without a token")
	}
	life := defaultLife
	if t.ExpiresIn > 0 && t.ExpiresIn < maxLife.Seconds() {
		life = time.Duration(t.ExpiresIn * float64(time.Second))
	} else if t.ExpiresIn > 0 {
		life = maxLife
	}
	return t.Token, life * 9 / 10, nil
}
