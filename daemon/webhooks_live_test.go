package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/notify"
)

// deliver sends a push of GitHub to a service that runs.
func (r *serving) deliver(address, id string) int {
	r.t.Helper()
	req := githubPush("hook-canary", `{"after":"`+id+`"}`, "push", id)
	out := must(http.NewRequestWithContext(r.t.Context(), http.MethodPost, "http://"+address+"/hooks/fleet", req.Body))(r.t)
	out.Header = req.Header
	resp := must(http.DefaultClient.Do(out))(r.t)
	resp.Body.Close()
	return resp.StatusCode
}

// A daemon that polls once an hour sees a commit when it is told of it, and tells others of what it finds.
func TestService_IsToldAndTells(t *testing.T) {
	told := make(chan notify.Message, 10)
	chat := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body := must(io.ReadAll(req.Body))(t)
		var m notify.Message
		if err := json.Unmarshal(body, &m); err != nil || req.Header.Get(notify.SignatureHeader) != notify.Sign("notify-canary", body) {
			t.Errorf("%v: %s", err, body)
		}
		told <- m
	}))
	t.Cleanup(chat.Close)
	t.Setenv("POUNDLOCK_TEST_CHAT", chat.URL+"/path-canary")
	t.Setenv("POUNDLOCK_TEST_CHAT_KEY", "notify-canary")
	s := oneImage(t)
	hooked(t, s, "    fleet: {kind: github, SECRET}\n")
	s.config = strings.Replace(s.config, "poll: 50ms", "poll: 1h", 1) +
		"notify:\n  ops: {kind: webhook, url: {env: POUNDLOCK_TEST_CHAT}, secret: {env: POUNDLOCK_TEST_CHAT_KEY}, insecure: true, events: [refused]}\n"
	r := s.startService(filepath.Join(s.dir, "hooked.yaml"))
	r.next()
	s.push("docker.io/library/web:2", "web two")
	s.commit("one that is not pinned", map[string]string{"desired/web.txt": "docker.io/library/web:2\n"})
	began := time.Now()
	if code := r.deliver(r.address, "1"); code != http.StatusAccepted {
		t.Fatalf("the delivery is answered %d", code)
	}
	select {
	case m := <-told:
		if m.Type != "refused" || m.Set != "web" || m.Site != "demo" || m.Count != 1 || m.Code == "" {
			t.Errorf("told %+v", m)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("nobody was told within 30 s:\n%s", r.log)
	}
	t.Logf("told %s after the delivery", time.Since(began).Round(time.Millisecond))
	until(t, "the metrics count it", func() bool {
		_, text := r.get("/metrics")
		return strings.Contains(text, `poundlock_notifications_total{notifier="ops",result="sent"} 1`)
	})
	if strings.Contains(r.log.String(), "canary") {
		t.Error("a secret is in the log")
	}
}

// The address of webhooks is a part of the configuration that a reload may change, and one that is taken is refused
// before the running line is touched.
func TestService_TheAddressOfWebhooksMayChange(t *testing.T) {
	taken := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer taken.Close()
	s := oneImage(t)
	hooked(t, s, "    fleet: {kind: github, SECRET}\n")
	r := s.startService(filepath.Join(s.dir, "hooked.yaml"))
	r.next()
	apart := func(address string) string {
		return strings.Replace(s.config, "webhooks:\n", fmt.Sprintf("webhooks:\n  listen: %q\n", address), 1)
	}
	r.write(apart(taken.Addr().String()))
	r.hangup()
	if !strings.Contains(r.log.String(), "webhooks.listen") || r.deliver(r.address, "1") != http.StatusAccepted {
		t.Errorf("a taken address:\n%s", r.log)
	}
	r.write(apart("127.0.0.1:0"))
	r.reload <- struct{}{}
	r.next()
	if code := r.deliver(r.line.hooks.at.Load().address(), "2"); code != http.StatusAccepted {
		t.Errorf("at its own address: %d", code)
	}
	if code := r.deliver(r.address, "3"); code != http.StatusNotFound {
		t.Errorf("beside health: %d", code)
	}
}
