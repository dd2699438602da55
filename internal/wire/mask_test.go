package wire

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMask_TakesOutEverySpellingOfASecret(t *testing.T) {
	const secret = "S3cret/canary+word=="
	Conceal(secret)
	Conceal("-----BEGIN KEY-----\nline-of-a-canary-key\n-----END KEY-----")
	Conceal("short")
	for name, text := range map[string]string{
		"as it is":          secret,
		"in a sentence":     "denied for " + secret + ".",
		"in a query":        "?a=" + url.QueryEscape(secret),
		"in a path":         "/" + url.PathEscape(secret) + "/x",
		"basic, user of 1":  base64.StdEncoding.EncodeToString([]byte("u:" + secret)),
		"basic, user of 2":  base64.StdEncoding.EncodeToString([]byte("me:" + secret)),
		"basic, user of 3":  base64.StdEncoding.EncodeToString([]byte("you:" + secret)),
		"base64 for a URL":  base64.RawURLEncoding.EncodeToString([]byte(secret + " and more")),
		"as a host name":    strings.ToLower(secret) + ".example.org",
		"one line of a key": "it says line-of-a-canary-key",
	} {
		got := Mask(text)
		if !strings.Contains(got, hidden) {
			t.Errorf("%s: %q is shown as %q", name, text, got)
		}
		for _, part := range []string{"canary", base64.RawStdEncoding.EncodeToString([]byte("canary"))} {
			if strings.Contains(strings.ToLower(got), strings.ToLower(part)) {
				t.Errorf("%s: %q is left of %q", name, got, text)
			}
		}
	}
	for _, text := range []string{"short words stay", "-----BEGIN KEY-----", ""} {
		if got := Mask(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// Every spelling that a library of Go, a server or a log may give a secret, alone, in a sentence and one over another.
func TestMask_TakesOutASecretHoweverItIsEscaped(t *testing.T) {
	secrets := []string{`Pa@ss,w:or/d9&x`, `cor"rect\horse'<bat>`, "p%41ss%2Fword", "blank in it +too", "zwölf größere%25Wörter", `back\u0041slash\n`, "host-like.canary.word", "a\tb\x07c\u200bd\u202ee", "&amp;&#64;secret"}
	percentAll := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			fmt.Fprintf(&b, "%%%02X", c)
		}
		return b.String()
	}
	lowerHex := func(s string) string {
		return regexp.MustCompile(`%[0-9A-F]{2}`).ReplaceAllStringFunc(s, strings.ToLower)
	}
	inJSON := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	each := func(format string) func(string) string {
		return func(s string) string {
			var b strings.Builder
			for _, r := range s {
				fmt.Fprintf(&b, format, r)
			}
			return b.String()
		}
	}
	spellings := map[string]func(string) string{
		"plain": func(s string) string { return s }, "query": url.QueryEscape, "path": url.PathEscape,
		"user info":         func(s string) string { return url.UserPassword("me", s).String() },
		"query, lower hex":  func(s string) string { return lowerHex(url.QueryEscape(s)) },
		"path, lower hex":   func(s string) string { return lowerHex(url.PathEscape(s)) },
		"user, lower hex":   func(s string) string { return lowerHex(url.UserPassword("me", s).String()) },
		"query, %20":        func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") },
		"every byte":        percentAll,
		"every byte, lower": func(s string) string { return strings.ToLower(percentAll(s)) },
		"JSON":              inJSON,
		"JSON, upper hex":   func(s string) string { return strings.ReplaceAll(inJSON(s), `\u003c`, `\u003C`) },
		"JSON, slash":       func(s string) string { return strings.ReplaceAll(inJSON(s), "/", `\/`) },
		"JSON, every":       each(`\u%04x`), "JSON, every, upper": each(`\u%04X`),
		"HTML": html.EscapeString, "HTML, decimal": each("&#%d;"), "HTML, hex": each("&#x%x;"),
		"HTML, names": func(s string) string {
			return strings.NewReplacer("&", "&amp;", `"`, "&quot;", "'", "&apos;", "/", "&sol;", "@", "&commat;").Replace(s)
		},
		"%q": func(s string) string { return fmt.Sprintf("%q", s) }, "%+q": func(s string) string { return fmt.Sprintf("%+q", s) },
		"zero width inside": func(s string) string { return s[:2] + "\u200b" + s[2:] },
		"colours inside":    func(s string) string { return s[:2] + "\x07\x1b" + s[2:] },
		"base64":            func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"basic":             func(s string) string { return base64.StdEncoding.EncodeToString([]byte("user:" + s)) },
		"basic in a query":  func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("user:" + s))) },
		"basic in JSON":     func(s string) string { return inJSON(base64.StdEncoding.EncodeToString([]byte("us:" + s))) },
	}
	over := []string{"", "query", "user info", "JSON", "HTML", "%q", "every byte"}
	count := 0
	for i, secret := range secrets {
		Conceal(Secret(secret))
		for name, spell := range spellings {
			for _, second := range over {
				text := spell(secret)
				if second != "" {
					text = spellings[second](text)
				}
				for _, frame := range []string{"%s", "denied for (%s), sorry", `{"message":"x%sx"}`, "https://h/?a=%s&b=c"} {
					count++
					full := fmt.Sprintf(frame, text)
					got := Mask(full)
					if len(got) > len(frame)+45 || !strings.Contains(got, hidden) {
						t.Errorf("secret %d, %s, then %q: %q is shown as %q", i, name, second, full, got)
					}
				}
			}
		}
	}
	if count < 1000 {
		t.Errorf("%d spellings are few", count)
	}
}

// A secret of the configuration is read again and again, others come once.
func TestConceal_KeepsWhatIsInUse(t *testing.T) {
	const inUse, token = "in-use-canary-for-long", "token-canary-for-long"
	Conceal(inUse)
	concealToken(token)
	for i := range maxSecrets + maxTokens {
		if i%1000 == 0 {
			Conceal(inUse)
			concealToken(token)
		}
		Conceal(Secret(fmt.Sprintf("passing-canary-%06d", i)))
		concealToken(fmt.Sprintf("passing-token-%06d", i))
	}
	if got := Mask("a " + inUse + " " + token); got != "a *** ***" {
		t.Errorf("got %q", got)
	}
	if got := len(concealed.secrets.used); got > maxSecrets {
		t.Errorf("%d are kept", got)
	}
}

func TestWire_CredentialsAreConcealedOnceTheyAreRead(t *testing.T) {
	realm := serve(t, issuer("me", "password-canary-1"))
	mine := serve(t, bearerOnly(func() string { return realm.URL + "/token" }))
	w := newWire(t, Settings{Hosts: map[string]Host{mine.host: {Insecure: true, Credential: password("me", "password-canary-1"), Realms: []string{realm.host}}}})
	mustGet(t, w, mine.URL+"/v2/a/manifests/v1")
	for _, text := range []string{"password-canary-1", "reg for repository:a:pull"} {
		if got := w.Mask(text); strings.Contains(got, text) {
			t.Errorf("%q is shown", text)
		}
	}
}

// A 401 or 403 tells how we asked; the body is still the registry's.
func TestWire_ARefusalTellsTheAttempt(t *testing.T) {
	realm := serve(t, issuer("me", "right-canary"))
	for name, tc := range map[string]struct {
		serve                            http.HandlerFunc
		credential                       Credential
		user, scheme, realm, scope, tell string
		denied                           bool
	}{
		"anonymous":       {serve: basicOnly("me", "pw"), tell: "false"},
		"wrong password":  {serve: basicOnly("me", "right-canary"), credential: Credential{Username: "me", Password: "wrong-canary"}, user: "me", scheme: "basic"},
		"realm denies it": {serve: bearerOnly(func() string { return realm.URL + "/token" }), credential: Credential{Username: "me", Password: "wrong-canary"}, user: "me", realm: realm.host, scope: "repository:a:pull", denied: true},
		"known, not allowed": {serve: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, "no")
		}, credential: Credential{Username: "me", Password: "right-canary"}, user: "me", scheme: "basic"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, tc.serve)
			rules := Host{Insecure: true, Realms: []string{realm.host}}
			if tc.credential != (Credential{}) {
				rules.Credential = password(tc.credential.Username, tc.credential.Password.Reveal())
			}
			w := newWire(t, Settings{Hosts: map[string]Host{s.host: rules}})
			resp, err := w.Client().Get(s.URL + "/v2/a/manifests/v1")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			told, ok := resp.Body.(interface {
				Tried() (string, string, string, string, bool)
			})
			if !ok {
				t.Fatalf("%d: the body tells nothing", resp.StatusCode)
			}
			user, scheme, realm, scope, denied := told.Tried()
			if user != tc.user || scheme != tc.scheme || realm != tc.realm || scope != tc.scope || denied != tc.denied {
				t.Errorf("got %q %q %q %q %v, want %q %q %q %q %v", user, scheme, realm, scope, denied, tc.user, tc.scheme, tc.realm, tc.scope, tc.denied)
			}
		})
	}
}

// What a proxy or a token server did wrong is told by who they are.
func TestWire_ErrorsNameTheHostThatFailed(t *testing.T) {
	busy := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7200")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	mine := serve(t, bearerOnly(func() string { return busy.URL + "/token" }))
	w := newWire(t, Settings{Hosts: map[string]Host{mine.host: {Insecure: true, Credential: password("me", "pw"), Realms: []string{busy.host}}}})
	_, _, err := get(t, w, mine.URL+"/v2/a/manifests/v1")
	var token *TokenError
	var aside *AsideError
	if !asAll(err, &aside, &token) || aside.Host != busy.host || token.Status != 429 || token.RetryAfter.Hours() != 2 || token.Until.IsZero() {
		t.Errorf("got %v: %+v %+v", err, aside, token)
	}
	proxy := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) })
	u, _ := url.Parse("http://user:proxy-canary@" + proxy.host)
	for name, want := range map[string]int{proxy.host: 407, "127.0.0.1:1": 0} {
		u.Host = name
		w = newWire(t, Settings{Hosts: map[string]Host{"registry.example": {}}, Proxy: func(*http.Request) (*url.URL, error) { return u, nil }})
		w.sleep = noSleep
		_, _, err = get(t, w, "https://registry.example/v2/")
		var through *ProxyError
		if !asAll(err, &through) || through.Proxy != name || through.Status != want || strings.Contains(err.Error(), "canary") {
			t.Errorf("proxy %s: got %v, %+v", name, err, through)
		}
	}
}

func asAll(err error, targets ...any) bool {
	for _, target := range targets {
		if !errors.As(err, target) {
			return false
		}
	}
	return true
}

func noSleep(context.Context, time.Duration) error { return nil }
