package testenv

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// forgeApp is a GitHub App that is installed in the repository.
type forgeApp struct {
	id    int64
	name  string
	key   *rsa.PublicKey
	token map[string]time.Time // until when each of its tokens is taken
}

// installation is the number of the installation of each App.
const installation = 77

// AddApp installs a GitHub App. It acts as the user <name>[bot], by tokens that it gets for statements signed with key.
func (f *Forge) AddApp(id int64, name string, key *rsa.PublicKey) {
	f.AddUser(name+"[bot]", false)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.apps = append(f.apps, forgeApp{id, name, key, map[string]time.Time{}})
}

// appOf gives the user of an App whose token it is.
func (f *Forge) appOf(token string) string {
	for _, a := range f.apps {
		if until, ok := a.token[token]; ok && f.now().Before(until) {
			return a.name + "[bot]"
		}
	}
	return ""
}

// serveApps answers what an App asks for itself, by a signed statement.
func (c *face) serveApps() {
	signed := func(pattern string, do func(*asked, *forgeApp) (any, error)) {
		c.on(pattern, "public", func(a *asked) (any, error) {
			app := a.statement(giteaToken(a.r))
			if app == nil {
				return nil, &refusal{status: http.StatusUnauthorized, message: "A JSON web token could not be decoded"}
			}
			return do(a, app)
		})
	}
	one := map[string]any{"id": installation, "account": map[string]any{"login": "platform"},
		"permissions": map[string]string{"contents": "write", "pull_requests": "write", "statuses": "write", "metadata": "read"}}
	signed("GET /app", func(_ *asked, app *forgeApp) (any, error) {
		return map[string]any{"id": app.id, "slug": app.name, "name": app.name, "permissions": one["permissions"]}, nil
	})
	signed("GET "+repo+"/installation", func(a *asked, _ *forgeApp) (any, error) {
		if a.r.PathValue("owner")+"/"+a.r.PathValue("repo") != forgeRepository {
			return nil, ErrForgeMissing
		}
		return one, nil
	})
	signed("GET /app/installations", func(*asked, *forgeApp) (any, error) { return []any{one}, nil })
	signed("GET /app/installations/{id}", func(*asked, *forgeApp) (any, error) { return one, nil })
	signed("POST /app/installations/{id}/access_tokens", func(a *asked, app *forgeApp) (any, error) {
		if a.number("id") != installation {
			return nil, ErrForgeMissing
		}
		token, until := "ghs_"+rand.Text(), a.now().Add(time.Hour)
		app.token[token] = until
		return created{map[string]any{"token": token, "expires_at": stamp(until), "permissions": one["permissions"]}}, nil
	})
}

// statement gives the App that signed a token of its own, which lives for ten minutes at most; nil for none.
func (f *Forge) statement(token string) *forgeApp {
	object, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil
	}
	for i := range f.apps {
		payload, err := object.Verify(f.apps[i].key)
		if err != nil {
			continue
		}
		var claims struct {
			Issuer  any   `json:"iss"`
			Issued  int64 `json:"iat"`
			Expires int64 `json:"exp"`
		}
		d := json.NewDecoder(strings.NewReader(string(payload)))
		d.UseNumber()
		if d.Decode(&claims) != nil {
			return nil
		}
		issuer := strings.Trim(string(must(json.Marshal(claims.Issuer))), `"`)
		now := f.now().Unix()
		if issuer == string(must(json.Marshal(f.apps[i].id))) && claims.Issued <= now+1 && claims.Expires > now && claims.Expires <= now+601 {
			return &f.apps[i]
		}
	}
	return nil
}
