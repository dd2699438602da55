package daemon

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

// Somebody outside is asked with all that moves, signed; anything but a plain yes keeps the gate closed, in words that
// tell nothing of the address, and is asked again.
func TestCalls_OnlyAPlainYesOpens(t *testing.T) {
	answer, asked := func(http.ResponseWriter) {}, callQuestion{}
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("call-key-canary"))
		mac.Write(body)
		if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); r.Header.Get("X-Signature") != want || r.Header.Get("Authorization") != "" {
			t.Errorf("headers %v, want the signature %s and no credential", r.Header, want)
		}
		if err := json.Unmarshal(body, &asked); err != nil {
			t.Error(err)
		}
		answer(w)
	}))
	t.Cleanup(outside.Close)
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy + "gates:\n  - {stages: [staging], calls: [smoke]}\n",
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\n"})
	image := s.pushSigned("docker.io/library/web:1", "first")
	address, key := filepath.Join(s.dir, "smoke-url"), filepath.Join(s.dir, "smoke-key")
	s.write(address, outside.URL+"/hooks/token-canary")
	s.write(key, "call-key-canary")
	s.config += fmt.Sprintf("calls: {smoke: {url: {file: %q}, secret: {file: %q}, insecure: true}}\n", address, key)
	s.sync()
	s.promote("web", "snapshot", "staging")
	text := func(status int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(status); fmt.Fprint(w, body) }
	}
	came := func() bool {
		return s.tag("mirror/docker.io/library/web", "web-docker.io.library.web.1-staging") == image.Digest
	}
	for _, tt := range []struct {
		name   string
		answer func(http.ResponseWriter)
		code   mirror.ReasonCode
		says   string
	}{
		{"no", text(200, `{"allow": false, "reason": "smoke tests fail"}`), mirror.NotAllowed, "smoke tests fail"},
		{"an error", text(500, `{"allow": true}`), mirror.NotKnown, "500"},
		{"no word", text(200, `{"reason": "fine"}`), mirror.NotKnown, "allow"},
		{"another word", text(200, `{"allow": "yes"}`), mirror.NotKnown, "allow"},
		{"nothing", text(200, ""), mirror.NotKnown, "allow"},
		{"too much", text(200, `{"allow": true, "reason": "`+strings.Repeat("x", maxCallAnswer)+`"}`), mirror.NotKnown, "allow"},
		{"somewhere else", func(w http.ResponseWriter) { w.Header().Set("Location", "/yes"); w.WriteHeader(307) }, mirror.NotKnown, "307"},
		{"the end", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, mirror.NotKnown, "no answer"},
	} {
		answer, asked = tt.answer, callQuestion{}
		s.now = s.now.Add(lastRetry)
		if s.line == nil {
			s.open()
		}
		r := s.cycle(Wake{Why: "poll"})["web"]
		var got mirror.Reason
		for _, a := range r.Plan.Actions {
			if a.Stage == "staging" {
				got = a.Reason
			}
		}
		if came() || got.Code != tt.code || !strings.Contains(got.Detail, tt.says) || strings.Contains(got.Detail, "canary") {
			t.Errorf("%s: %s %q, want %s with %q; moved: %t", tt.name, got.Code, got.Detail, tt.code, tt.says, came())
		}
		if len(asked.Moves) != 1 || asked.Set != "web" || asked.Stage != "staging" || asked.From != "snapshot" || asked.Moves[0].Image != image.String() || asked.Commit == "" {
			t.Errorf("%s: asked %+v", tt.name, asked)
		}
	}
	answer = text(200, `{"allow": true}`)
	s.now = s.now.Add(lastRetry)
	s.cycle(Wake{Why: "retry", Local: true})
	if !came() {
		t.Error("a yes opens nothing")
	}
}

// A yes is about what was asked for, and good for nothing else that the same commit asks for.
func TestCalls_AYesIsGoodForWhatWasAskedAbout(t *testing.T) {
	var asked []string
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q callQuestion
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		asked = nil
		allow := true
		for _, m := range q.Moves {
			asked = append(asked, m.Entry)
			allow = allow && m.Entry == "one"
		}
		fmt.Fprintf(w, `{"allow": %t}`, allow)
	}))
	t.Cleanup(outside.Close)
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy + "gates:\n  - {stages: [staging], calls: [smoke]}\n",
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\n"})
	address := filepath.Join(s.dir, "smoke-url")
	s.write(address, outside.URL)
	s.config += fmt.Sprintf("calls: {smoke: {url: {file: %q}, insecure: true}}\n", address)
	s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	s.open()
	f := must(s.line.refresh(t.Context()))(t)
	set, _ := f.desired.Set("web")
	one, two := must(mirror.ParseReference("docker.io/library/one:1"))(t), must(mirror.ParseReference("docker.io/library/two:1"))(t)
	question := func(moves ...callMove) question {
		return question{fleet: f, set: set, stage: "staging", step: git.Step{Commit: f.head, At: s.now}, moves: moves, at: s.now}
	}
	for _, tt := range []struct {
		moves []callMove
		asks  bool
		allow bool
	}{
		{[]callMove{{Entry: "one", image: one}}, true, true},
		{[]callMove{{Entry: "one", image: one}}, false, true},
		{[]callMove{{Entry: "one", image: one}, {Entry: "two", image: two}}, true, false},
		{[]callMove{{Entry: "two", image: two}}, false, false},
		{[]callMove{{Entry: "two", image: one}}, true, false},
	} {
		asked = nil
		got := s.line.saidOf(t.Context(), question(tt.moves...))
		if (asked != nil) != tt.asks || got.Answers["smoke"].Allow != tt.allow {
			t.Errorf("%+v: asked %v, %+v", tt.moves, asked, got.Answers)
		}
	}
}

// An address that nobody can be asked at is told before anybody is to be asked, and not repeated.
func TestCalls_AddressesAreLookedAt(t *testing.T) {
	for _, tt := range []struct {
		name, address string
		insecure      bool
		says          string // "" where it will do
	}{
		{"https", "https://smoke.example/canary", false, ""},
		{"plain http that is allowed", "http://smoke.example/canary", true, ""},
		{"plain http", "http://smoke.example/canary", false, "is plain http"},
		{"no address", "smoke.example/canary", false, "is no http address"},
		{"another scheme", "ftp://smoke.example/canary", true, "is no http address"},
		{"no host", "https:///canary", false, "is no http address"},
		{"an account", "https://canary:canary@smoke.example", false, "carries a user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("POUNDLOCK_TEST_CALL", tt.address)
			c := config.Default()
			c.Calls = map[string]config.Call{"smoke": {URL: config.Secret{Env: "POUNDLOCK_TEST_CALL"}, Insecure: tt.insecure}}
			got := checkCalls(c)
			if (len(got) > 0) != (tt.says != "") || len(got) > 0 && (got[0].Code != "CFG101" || !strings.Contains(got[0].What, tt.says) || strings.Contains(got.Error(), "canary")) {
				t.Errorf("got %v, want %q", got, tt.says)
			}
		})
	}
}
