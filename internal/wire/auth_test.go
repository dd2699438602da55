package wire

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// basicOnly lets in who has the password.
func basicOnly(user, pass string) http.HandlerFunc {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+pass))
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != want {
			w.Header().Set("WWW-Authenticate", `Basic realm="Registry, the best"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.Copy(io.Discard, r.Body)
		hello(w, r)
	}
}

// issuer is a token server; its tokens say what they are for.
func issuer(user, pass string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != pass {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"token":"%s for %s","expires_in":300}`, r.URL.Query().Get("service"), strings.Join(r.URL.Query()["scope"], "+"))
	}
}

// bearerOnly is a registry whose tokens come from the realm that it names.
func bearerOnly(realm func() string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := accessOf(r)
		scope := "repository:" + a.repo + ":pull"
		if a.kind != "pull" {
			scope += ",push"
		}
		if r.Header.Get("Authorization") != "Bearer reg for "+scope {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="reg",scope=%q`, realm(), scope))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.Copy(io.Discard, r.Body)
		hello(w, r)
	}
}

func TestWire_BasicGoesOnlyToItsOwnPort(t *testing.T) {
	mine := serve(t, basicOnly("me", "pw"))
	other := serve(t, basicOnly("me", "pw"))
	w := newWire(t, Settings{Hosts: map[string]Host{
		mine.host:  {Insecure: true, Credential: password("me", "pw")},
		other.host: {Insecure: true},
	}})
	mustGet(t, w, mine.URL+"/v2/")
	mustGet(t, w, mine.URL+"/v2/")
	if status, _, err := get(t, w, other.URL+"/v2/"); err != nil || status != http.StatusUnauthorized {
		t.Errorf("other port: got %d, %v, want 401", status, err)
	}
	if other.credentials() != 0 {
		t.Errorf("the credential went to another port: %v", other.requests())
	}
	if n := len(mine.requests()); n != 3 {
		t.Errorf("%d requests, want 3: the second read already knows what is asked", n)
	}
	if got := mine.requests()[0]; strings.Contains(got, "Basic") {
		t.Errorf("a credential was sent before anybody asked: %s", got)
	}
}

func TestWire_BearerFromTheSameHost(t *testing.T) {
	var s *site
	registry := bearerOnly(func() string { return s.URL + "/token" })
	token := issuer("me", "pw")
	s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			token(w, r)
			return
		}
		registry(w, r)
	})
	w := newWire(t, Settings{Hosts: map[string]Host{s.host: {Insecure: true, Credential: password("me", "pw")}}})
	mustGet(t, w, s.URL+"/v2/team/a/manifests/v1")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if status, _, err := get(t, w, s.URL+"/v2/team/b/manifests/v1"); err != nil || status != http.StatusOK {
				t.Errorf("got %d, %v", status, err)
			}
		})
	}
	wg.Wait()
	tokens, refusals := 0, 0
	for _, a := range s.requests() {
		if strings.HasPrefix(a, "GET /token") {
			tokens++
		} else if !strings.Contains(a, "Bearer") {
			refusals++
		}
	}
	if tokens != 2 || refusals != 1 {
		t.Errorf("%d tokens and %d requests without one, want 2 (one per repository) and 1 (the first)", tokens, refusals)
	}
	if n := len(s.requests()); n != 14 {
		t.Errorf("%d requests, want 14: a refusal, two tokens and the 11 that were wanted", n)
	}
	for _, a := range s.requests() {
		if strings.HasPrefix(a, "GET /v2/") && strings.Contains(a, "Basic") {
			t.Errorf("the password went to the API: %s", a)
		}
	}
}

// S1: realm, redirect and asking again, each by address and by name, with Basic and with a token. Not one
// request may carry a credential to the other host.
func TestWire_NoCredentialLeavesForAHostThatIsNotNamed(t *testing.T) {
	credentials := map[string]Credential{"basic": {Username: "me", Password: "pw"}, "token": {Token: "t0ken"}}
	for _, way := range []string{"realm", "redirect", "redirect that asks"} {
		for _, name := range []string{"127.0.0.1", "localhost"} {
			for kind, cred := range credentials {
				t.Run(way+" "+name+" "+kind, func(t *testing.T) {
					other := serve(t, basicOnly("me", "pw"))
					mine := serve(t, func(w http.ResponseWriter, r *http.Request) {
						switch {
						case r.Header.Get("Authorization") == "":
							w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
							if way == "realm" {
								w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="x"`, other.named(name)))
							}
							w.WriteHeader(http.StatusUnauthorized)
						case way != "realm":
							http.Redirect(w, r, other.named(name)+"/blob", http.StatusTemporaryRedirect)
						default:
							hello(w, r)
						}
					})
					rules := Host{Insecure: true, Credential: func(context.Context) (Credential, error) { return cred, nil }}
					if way == "redirect that asks" {
						rules.Redirects = []string{strings.TrimPrefix(other.named(name), "http://")}
					}
					w := newWire(t, Settings{Hosts: map[string]Host{mine.host: rules}})
					_, _, err := get(t, w, mine.URL+"/v2/a/blobs/x")
					if other.credentials() != 0 {
						t.Errorf("a credential left: %v", other.requests())
					}
					if way == "redirect" {
						refused(t, err, "registries.<name>.auth.redirects")
					}
					if way == "realm" && kind == "basic" {
						refused(t, err, "registries.<name>.auth.realms")
					}
					if way != "redirect that asks" && len(other.requests()) != 0 {
						t.Errorf("the other host was asked: %v", other.requests())
					}
				})
			}
		}
	}
}

func TestWire_NamedRealmGetsTheCredentialAndTheRegistryOnlyTheToken(t *testing.T) {
	realm := serve(t, issuer("me", "pw"))
	mine := serve(t, bearerOnly(func() string { return realm.URL + "/token" }))
	w := newWire(t, Settings{Hosts: map[string]Host{mine.host: {Insecure: true, Credential: password("me", "pw"), Realms: []string{realm.host}}}})
	mustGet(t, w, mine.URL+"/v2/a/manifests/v1")
	for _, a := range mine.requests() {
		if strings.Contains(a, "Basic") {
			t.Errorf("the password went to the registry: %s", a)
		}
	}
	if realm.credentials() != 1 {
		t.Errorf("token server saw %v", realm.requests())
	}
	if _, _, err := get(t, w, realm.URL); err == nil {
		t.Error("naming a token server lets other requests out to it")
	}
}

func TestWire_WrongPasswordAtTheRealmIsA401(t *testing.T) {
	realm := serve(t, issuer("me", "pw"))
	mine := serve(t, bearerOnly(func() string { return realm.URL + "/token" }))
	w := newWire(t, Settings{Hosts: map[string]Host{mine.host: {Insecure: true, Credential: password("me", "wrong"), Realms: []string{realm.host}}}})
	if status, _, err := get(t, w, mine.URL+"/v2/a/manifests/v1"); err != nil || status != http.StatusUnauthorized {
		t.Errorf("got %d, %v, want 401", status, err)
	}
}

func TestWire_RefreshTokenIsExchangedByPost(t *testing.T) {
	realm := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" || r.FormValue("refresh_token") != "long" || r.FormValue("grant_type") != "refresh_token" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"access_token":"%s for %s"}`, r.FormValue("service"), r.FormValue("scope"))
	})
	mine := serve(t, bearerOnly(func() string { return realm.URL + "/token" }))
	w := newWire(t, Settings{Hosts: map[string]Host{mine.host: {Insecure: true, Credential: password("<token>", "long"), Realms: []string{realm.host}}}})
	mustGet(t, w, mine.URL+"/v2/a/manifests/v1")
}

func TestWire_RotatedPasswordIsAskedForAgain(t *testing.T) {
	current := "old"
	mine := serve(t, func(w http.ResponseWriter, r *http.Request) { basicOnly("me", current)(w, r) })
	w := newWire(t, Settings{Hosts: map[string]Host{mine.host: {Insecure: true, Credential: func(context.Context) (Credential, error) {
		return Credential{Username: "me", Password: Secret(current)}, nil
	}}}})
	mustGet(t, w, mine.URL)
	current = "new"
	mustGet(t, w, mine.URL)
}

func TestWire_StreamThatMeetsAnExpiredTokenIsToBeSentAgain(t *testing.T) {
	current := "first"
	mine := serve(t, func(w http.ResponseWriter, r *http.Request) { basicOnly("me", current)(w, r) })
	w := newWire(t, Settings{Hosts: map[string]Host{mine.host: {Insecure: true, Credential: func(context.Context) (Credential, error) {
		return Credential{Username: "me", Password: Secret(current)}, nil
	}}}})
	mustGet(t, w, mine.URL)
	current = "second"
	put := func() (*http.Response, error) {
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", mine.URL+"/v2/a/blobs/uploads/1", io.NopCloser(strings.NewReader("bytes")))
		req.ContentLength = 5
		return w.Client().Do(req)
	}
	_, err := put()
	var again *renewed
	if !errors.As(err, &again) {
		t.Fatalf("got %v, want to be asked to send it again", err)
	}
	resp, err := put()
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("second time: %v, %v", resp, err)
	}
	resp.Body.Close()
}

func TestWire_FailingCredentialIsAnError(t *testing.T) {
	mine := serve(t, basicOnly("me", "pw"))
	w := newWire(t, Settings{Hosts: map[string]Host{mine.host: {Insecure: true, Credential: func(context.Context) (Credential, error) {
		return Credential{}, errors.New("helper is not installed")
	}}}})
	if _, _, err := get(t, w, mine.URL); err == nil || !strings.Contains(err.Error(), "helper is not installed") {
		t.Errorf("got %v", err)
	}
}

func TestToken_IsForgottenBeforeItExpires(t *testing.T) {
	text, life, err := parseToken(strings.NewReader(`{"token":"t","expires_in":100}`))
	if err != nil || text != "t" || life != 90*time.Second {
		t.Fatalf("got %q, %v, %v, want 90s of the 100", text, life, err)
	}
	synctest.Test(t, func(t *testing.T) {
		a, c := &auth{}, challenge{scheme: "bearer", scope: "s"}
		kept := func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.tokens[c] != nil
		}
		a.keep(c, text, life)
		time.Sleep(89 * time.Second)
		if !kept() {
			t.Error("forgotten too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if kept() {
			t.Error("kept after its life")
		}
	})
}

func TestParseToken_RefusesWhatIsNoToken(t *testing.T) {
	for _, body := range []string{"", "{}", `{"token":1}`, `<html>`, `{"token":"` + strings.Repeat("a", maxToken) + `"}`} {
		if text, _, err := parseToken(strings.NewReader(body)); err == nil {
			t.Errorf("took %.20q for token %.20q", body, text)
		}
	}
}
