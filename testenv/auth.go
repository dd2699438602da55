package testenv

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// guard asks for credentials before a handler. Its zero value lets everyone in.
type guard struct {
	mu       sync.Mutex
	next     http.Handler
	user     string
	password string
	tokens   *Tokens
	realm    string // of the challenge; empty: /token on the host that was asked
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	next, user, password, tokens, realm := g.next, g.user, g.password, g.tokens, g.realm
	g.mu.Unlock()
	switch {
	case tokens != nil && realm == "" && r.URL.Path == "/token":
		tokens.ServeHTTP(w, r)
	case tokens != nil && !tokens.allow(r):
		if realm == "" {
			realm = "http://" + r.Host + "/token"
		}
		refuse(w, fmt.Sprintf(`Bearer realm=%q,service="testenv",scope=%q`, realm, strings.Join(scopes(r), " ")))
	case tokens == nil && user != "" && !basic(r, user, password):
		refuse(w, `Basic realm="testenv"`)
	default:
		next.ServeHTTP(w, r)
	}
}

func basic(r *http.Request, user, password string) bool {
	u, p, ok := r.BasicAuth()
	return ok && u == user && p == password
}

func refuse(w http.ResponseWriter, challenge string) {
	w.Header().Set("WWW-Authenticate", challenge)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte(`{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`))
}

var repositoryPath = regexp.MustCompile(`^/v2/(.+)/(?:manifests|blobs|referrers|tags)/`)

// scopes lists what a token needs for a request.
func scopes(r *http.Request) []string {
	m := repositoryPath.FindStringSubmatch(r.URL.Path)
	if m == nil {
		if KindOf(r) == Catalog {
			return []string{"registry:catalog:*"}
		}
		return nil
	}
	actions := "pull"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		actions = "pull,push"
	}
	need := []string{"repository:" + m[1] + ":" + actions}
	if from := r.URL.Query().Get("from"); from != "" {
		need = append(need, "repository:"+from+":pull")
	}
	return need
}

// Tokens is a token server of the kind that registries send their clients to. It gives a token for every
// scope that is asked for by who knows the password; without a user it gives everyone tokens to pull.
type Tokens struct {
	user, password string

	mu      sync.Mutex
	granted map[string][]string // by token
}

// NewTokens makes a token server as a handler. Serve it with NewServer to have it on another host than the
// registry's.
func NewTokens(user, password string) *Tokens {
	return &Tokens{user: user, password: password, granted: map[string][]string{}}
}

// ServeHTTP answers the GET of the token protocol.
func (t *Tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if t.user != "" && !basic(r, t.user, t.password) {
		refuse(w, `Basic realm="testenv"`)
		return
	}
	var granted []string
	for _, s := range r.URL.Query()["scope"] {
		for _, scope := range strings.Fields(s) {
			if t.user == "" {
				scope = strings.TrimSuffix(scope, ",push")
			}
			granted = append(granted, scope)
		}
	}
	token := rand.Text()
	t.mu.Lock()
	t.granted[token] = granted
	t.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "access_token": token, "expires_in": 300})
}

// Forget makes every token that was given out worthless, as their expiry would.
func (t *Tokens) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.granted)
}

func (t *Tokens) allow(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t.mu.Lock()
	granted, known := t.granted[token]
	t.mu.Unlock()
	return ok && known && !slices.ContainsFunc(scopes(r), func(need string) bool { return !covers(granted, need) })
}

// covers says whether one of the granted scopes allows what is needed; pull,push allows pull.
func covers(granted []string, need string) bool {
	return slices.ContainsFunc(granted, func(have string) bool {
		return have == need || have == strings.TrimSuffix(need, "pull")+"pull,push" && strings.HasSuffix(need, ":pull")
	})
}
