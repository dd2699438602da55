package daemon

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// While a proposal waits for people nothing is computed anew but what its gates say: no registry is asked.
func TestRegate_WaitingForPeopleAsksTheForgeAlone(t *testing.T) {
	t.Parallel()
	s, web, tool := reviewSite(t)
	s.forge.AddUser("bob", false)
	s.commit("gates", map[string]string{"desired/policy.yaml": gated("approvals: {count: 1}, soak: 24h")})
	s.sync()
	n, head := s.proposes("rise", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
	s.attends()
	first := s.told(n)
	s.quiet()
	looks := func(when string) {
		t.Helper()
		s.attends()
		if up, local := s.asked(); up+local > 0 {
			t.Errorf("%s: %d requests upstream and %d to the local registry, want none", when, up, local)
		}
	}
	looks("nothing happened")
	if again := s.told(n); again != first {
		t.Errorf("nothing happened, and the comment is another:\n%s\nwas\n%s", again, first)
	}
	if err := s.forge.Review(n, "bob", "approved"); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Second)
	looks("approved")
	s.is(head, checkPolicy, "success", "after the merge it waits for soak")
	if text := s.told(n); !strings.Contains(text, "✔ **approvals** open") || !strings.Contains(text, "✘ **soak** closed") || !strings.Contains(text, "signed by vendor") {
		t.Errorf("after the approval:\n%s", text)
	}
	s.now = s.now.Add(25 * time.Hour)
	s.attends()
	if text := s.told(n); !strings.Contains(text, "✔ **soak** open") {
		t.Errorf("after a day:\n%s", text)
	}
	if up, local := s.asked(); up+local == 0 {
		t.Error("what time may have changed was not looked at as a whole")
	}

	s.quiet()
	later := s.pushSigned("docker.io/library/web:9", "never stood")
	s.quiet()
	head = must(s.forge.Push("rise", "another", map[string]string{"stages/tools/staging.yaml": strings.ReplaceAll(stageOf(web, tool), web.Digest.String(), later.Digest.String())}))(t)
	s.attends()
	s.is(head, checkPolicy, "failure", "never stood in snapshot")
}

// Who answers outside is asked about a proposal once in five minutes, however often people look at it.
func TestRegate_AsksOutsideOnceInAWhile(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"allow": %t, "reason": "smoke tests run"}`, asked.Add(1) > 1)
	}))
	t.Cleanup(outside.Close)
	s, web, tool := reviewSite(t)
	address := filepath.Join(s.dir, "smoke-url")
	s.write(address, outside.URL)
	s.config += fmt.Sprintf("calls: {smoke: {url: {file: %q}, insecure: true}}\n", address)
	s.open()
	s.commit("gates", map[string]string{"desired/policy.yaml": gated("calls: [smoke]")})
	s.sync()
	n, head := s.proposes("rise", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
	for range 4 {
		s.attends()
		if err := s.line.serve(t.Context(), errand{numbers: []int{n}}); err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(time.Minute)
	}
	if got := asked.Load(); got != 1 {
		t.Errorf("asked %d times within four minutes", got)
	}
	s.is(head, checkPolicy, "pending", "smoke tests run")
	s.now = s.now.Add(time.Minute)
	s.attends()
	if got := asked.Load(); got != 2 {
		t.Errorf("asked %d times within five minutes and a bit", got)
	}
	s.is(head, checkPolicy, "success", "admitted")
}

// What is remembered of proposals stays bounded, however long the process runs.
func TestProposals_MemoryIsBounded(t *testing.T) {
	p, g := newProposer(), &gating{}
	for n := range 3*maxAsked + 1 {
		p.decline(fmt.Sprint(n))
		g.saw(n, "page")
	}
	if len(p.declined) > maxAsked || len(g.pages) > maxAsked {
		t.Errorf("%d declined ones and %d pages are remembered", len(p.declined), len(g.pages))
	}
	if !p.declined[fmt.Sprint(3*maxAsked)] || g.page(3*maxAsked) == "" {
		t.Error("the newest is not remembered")
	}
}
