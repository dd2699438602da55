package daemon

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/hook"
	"github.com/poundlock/poundlock/internal/mirror"
)

// hooked is the configuration of a site with receivers.
func hooked(t *testing.T, s *site, receivers string) {
	t.Helper()
	file := filepath.Join(s.dir, "hook-secret")
	if err := os.WriteFile(file, []byte("hook-canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.config += "webhooks:\n  receivers:\n" + strings.ReplaceAll(receivers, "SECRET", fmt.Sprintf("secret: {file: %q}", file))
}

// githubPush is a delivery of GitHub.
func githubPush(secret, body, event, id string) *http.Request {
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, body)
	req := httptest.NewRequest(http.MethodPost, "/hooks/fleet", strings.NewReader(body))
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	req.Header.Set("X-GitHub-Event", event)
	req.Header.Set("X-GitHub-Delivery", id)
	return req
}

// faceOf shows a line as the daemon does.
func faceOf(l *Line) http.Handler {
	f := newFace(l.metrics, l.now)
	f.line.Store(l)
	return f.routes()
}

func answered(h http.Handler, req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func TestWebhooks_OnlyTheGenuineWakes(t *testing.T) {
	s := newSite(t, map[string]string{})
	hooked(t, s, "    fleet: {kind: github, SECRET, sets: [web]}\n")
	l := s.open()
	h := faceOf(l)
	for name, tt := range map[string]struct {
		req  *http.Request
		want int
	}{
		"forged":     {githubPush("guess", `{}`, "push", "1"), http.StatusUnauthorized},
		"nobody's":   {httptest.NewRequest(http.MethodPost, "/hooks/other", strings.NewReader("{}")), http.StatusNotFound},
		"no body":    {httptest.NewRequest(http.MethodPost, "/hooks/fleet", nil), http.StatusUnauthorized},
		"not posted": {httptest.NewRequest(http.MethodGet, "/hooks/fleet", nil), http.StatusMethodNotAllowed},
	} {
		if w := answered(h, tt.req); w.Code != tt.want || strings.Contains(w.Body.String(), "canary") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w, woken := l.wakes.take(); woken {
		t.Errorf("woken: %+v", w)
	}
	for i, id := range []string{"1", "1", "2"} { // the same, three times
		if w := answered(h, githubPush("hook-canary", `{"after":"1"}`, "push", id)); w.Code != http.StatusAccepted {
			t.Errorf("genuine: %d %s", w.Code, w.Body)
		}
		w, woken := l.wakes.take()
		if woken != (i == 0) {
			t.Errorf("woken %v: %+v", woken, w)
		} else if woken && (w.Why != "webhook fleet" || w.Local || !slices.Equal(w.Sets, []string{"web"})) {
			t.Errorf("woken by %+v", w)
		}
	}
	events, err := l.Events(Filter{Type: EventHookRefused})
	if err != nil || len(events) != 1 || strings.Contains(events[0].Reason, "canary") {
		t.Errorf("of forged deliveries one is told: %v, %v", events, err)
	}
	shown := answered(h, httptest.NewRequest(http.MethodGet, "/metrics", nil)).Body.String()
	for _, want := range []string{`{receiver="fleet",result="forged"} 1`, `{receiver="fleet",result="repeated"} 2`, `{receiver="fleet",result="accepted"} 1`} {
		if !strings.Contains(shown, "poundlock_webhooks_total"+want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// 10,000 deliveries in a minute, one in a hundred genuine: none of the forged is accepted, memory stays, and what is
// left is one wake.
func TestWebhooks_AFlood(t *testing.T) {
	s := newSite(t, map[string]string{})
	hooked(t, s, "    fleet: {kind: github, SECRET, rate: 200}\n")
	l := s.open()
	server := httptest.NewServer(faceOf(l))
	t.Cleanup(server.Close)
	const deliveries, each = 10_000, 100
	padding := strings.Repeat("x", 8<<10)
	var accepted, wrong atomic.Int64
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	work := make(chan int)
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() {
			for n := range work {
				secret, want := "guess", http.StatusUnauthorized
				if n%each == 0 {
					secret, want = "hook-canary", http.StatusAccepted
				}
				req := githubPush(secret, fmt.Sprintf(`{"after":"%d","x":"%s"}`, n, padding), "push", fmt.Sprint(n))
				out, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/hooks/fleet", req.Body)
				if err != nil {
					t.Error(err)
					continue
				}
				out.Header = req.Header
				resp, err := server.Client().Do(out)
				if err != nil {
					t.Error(err)
					continue
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != want {
					wrong.Add(1)
				}
				if resp.StatusCode == http.StatusAccepted {
					accepted.Add(1)
				}
			}
		})
	}
	for n := range deliveries {
		work <- n
	}
	close(work)
	senders.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if accepted.Load() != deliveries/each || wrong.Load() != 0 {
		t.Errorf("%d accepted, %d answered wrongly", accepted.Load(), wrong.Load())
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 50<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	wakes := 0
	for _, woken := l.wakes.take(); woken; _, woken = l.wakes.take() {
		wakes++
	}
	if wakes != 1 {
		t.Errorf("%d wakes wait, want all of them as one", wakes)
	}
	events, err := l.Events(Filter{Type: EventHookRefused})
	if err != nil || len(events) != 1 {
		t.Errorf("%d events of forged deliveries, want 1: %v", len(events), err)
	}
	t.Logf("%d deliveries in %s", deliveries, time.Since(began).Round(time.Millisecond))
}

func TestWebhooks_ARegistryWakesTheSetsThatItIsAbout(t *testing.T) {
	image := func(repository string) hook.Image { return hook.Image{Repository: repository} }
	d := mirror.Desired{Sets: []mirror.Set{
		{Name: "apps", Stages: mirror.DefaultStages, Layout: mirror.LayoutPath, Entries: []mirror.Entry{{Name: "app", Image: parse(t, "ghcr.io/team/app:v1")}}},
		{Name: "web", Stages: mirror.DefaultStages, Entries: []mirror.Entry{{Name: "nginx", Image: parse(t, "nginx:1")}}},
	}}
	s := newSite(t, map[string]string{})
	c := s.open().config
	local := mirror.Local{Host: localName, Prefix: "mirror"}
	for _, tt := range []struct {
		repository     string
		upstream, here []string
	}{
		{"team/app", []string{"apps"}, nil},
		{"ghcr.io/team/app", []string{"apps"}, nil}, // through a cache, which has a prefix
		{"library/nginx", []string{"web"}, nil},
		{"mirror/docker.io/library/nginx", nil, []string{"web"}},
		{"mirror/production/ghcr.io/team/app", nil, []string{"apps"}},
		{"mirror/ghcr.io/team/app", nil, nil},
		{"team/app2", nil, nil},
		{"", nil, nil},
	} {
		upstream, here := setsOf(d, local, c.Registries, []hook.Image{image(tt.repository)})
		if !slices.Equal(upstream, tt.upstream) || !slices.Equal(here, tt.here) {
			t.Errorf("%s: %v and %v, want %v and %v", tt.repository, upstream, here, tt.upstream, tt.here)
		}
	}
}

func parse(t *testing.T, text string) mirror.Reference {
	t.Helper()
	return must(mirror.ParseReference(text))(t)
}

// Who comes too often is told to come later, and is looked after even if he does not.
func TestWebhooks_WhatCameTooOftenIsLookedAtLater(t *testing.T) {
	s := newSite(t, map[string]string{})
	hooked(t, s, "    fleet: {kind: github, SECRET, rate: 6000}\n")
	l := s.open()
	h := faceOf(l)
	codes := map[int]int{}
	for n := range 6001 { // the clock of the site stands still
		w := answered(h, githubPush("hook-canary", fmt.Sprintf(`{"after":"%d"}`, n), "push", fmt.Sprint(n)))
		codes[w.Code]++
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Error("it is not told when to come again")
		}
	}
	if codes[http.StatusAccepted] != 6000 || codes[http.StatusTooManyRequests] != 1 {
		t.Errorf("answers %v", codes)
	}
	l.wakes.take()
	select {
	case <-l.wakes.signal: // of those before
	default:
	}
	<-l.wakes.signal
	if _, woken := l.wakes.take(); !woken {
		t.Error("nobody looks for what came too often")
	}
}

// One receiver that is flooded does not make what another told to come later forgotten.
func TestWebhooks_EachReceiverIsLookedAfterLater(t *testing.T) {
	s := newSite(t, map[string]string{})
	hooked(t, s, "    one: {kind: github, SECRET, rate: 6000}\n    two: {kind: github, SECRET, rate: 6000}\n")
	l := s.open()
	l.hooks.lookLater("one", time.Hour)
	l.hooks.lookLater("two", time.Millisecond)
	<-l.wakes.signal
	if w, _ := l.wakes.take(); w.Why != "webhook two" {
		t.Errorf("woken by %q", w.Why)
	}
}

// Webhooks with an address of their own are answered there and nowhere else, and nothing else is answered there.
func TestWebhooks_AnAddressOfTheirOwn(t *testing.T) {
	s := newSite(t, map[string]string{})
	hooked(t, s, "    fleet: {kind: github, SECRET}\n")
	s.config = strings.Replace(s.config, "webhooks:\n", "webhooks:\n  listen: 127.0.0.1:0\n", 1)
	l := s.open()
	end := must(l.listenForHooks(t.Context()))(t)
	defer end()
	at := "http://" + l.hooks.at.Load().address()
	req := githubPush("hook-canary", `{}`, "push", "1")
	out := must(http.NewRequestWithContext(t.Context(), http.MethodPost, at+"/hooks/fleet", req.Body))(t)
	out.Header = req.Header
	resp := must(http.DefaultClient.Do(out))(t)
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Errorf("there: %d", resp.StatusCode)
	}
	resp = must(http.Get(at + "/metrics"))(t)
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("metrics: %d", resp.StatusCode)
	}
	if w := answered(faceOf(l), githubPush("hook-canary", `{}`, "push", "2")); w.Code != http.StatusNotFound {
		t.Errorf("beside health: %d", w.Code)
	}
}
