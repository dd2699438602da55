package daemon

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/sync/publish"
	"github.com/poundlock/poundlock/testenv"
)

// From the proposal to the check on its merge nobody asks for anything: told by webhooks where no poll would come in
// time, and by polls of Git alone where no webhook comes and the forge is asked by itself once an hour.
func TestFlow_FromProposalToCheckedMerge(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"gitea", "github", "gitlab"} {
		for _, told := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s webhooks=%t", kind, told), func(t *testing.T) {
				plain, web, tool := promoteSite(t, "auto: {staging: propose}\n")
				s := plain.reviewedAt(kind)
				s.git.Now = time.Now
				s.forge.AddUser("alice", false)
				s.config = strings.Replace(s.config, "forge: {", "forge: {poll: 1h, ", 1)
				if told {
					s.config = strings.Replace(s.config, "poll: 50ms", "poll: 1h", 1)
					hooked(t, s.site, "    fleet: {kind: "+kind+", SECRET}\n")
				}
				r := s.startService(filepath.Join(s.dir, "flow.yaml"))
				r.next()
				if told {
					s.forge.Hook("http://"+r.address+"/hooks/fleet", "hook-canary")
				}
				until(t, "the proposal", func() bool { return len(s.forge.Proposals()) == 1 })
				proposed := s.forge.Proposal(1)
				until(t, "its comment and checks", func() bool {
					checks := s.forge.Statuses(proposed.HeadCommit)
					return s.told(1) != "" && checks[checkPlan].State == "success" && checks[checkPolicy].State == "success"
				})
				if s.file("stages/tools/staging.yaml") != "" || s.tag("mirror/staging/docker.io/library/web", "1") == web.Digest {
					t.Error("it moved before the merge")
				}

				asked := s.forge.Requests()
				began := time.Now()
				merged := must(s.forge.Merge(1, "alice", "merge"))(t)
				looks := len(s.listings())
				until(t, "the check of the merge", func() bool { return s.forge.Statuses(merged)[checkSync].State == "success" })
				t.Logf("live %s after the merge, %d requests to the forge", time.Since(began).Round(time.Millisecond), s.forge.Requests()-asked)

				// When it is told, all else is there.
				if s.tag("mirror/staging/docker.io/library/web", "1") != web.Digest || s.tag("mirror/staging/ghcr.io/team/tool", "2") != tool.Digest {
					t.Error("it was told before the tags had moved")
				}
				log := must(s.git.Log())(t)
				i := slices.IndexFunc(log, func(c testenv.GitCommit) bool {
					return slices.Contains(publish.ParsePromoted(c.Message), publish.Promoted{Set: "tools", Stage: "staging", Commit: merged, Number: 1})
				})
				if i < 0 || !strings.Contains(s.file("rendered/demo/record/tools/staging.yaml"), web.Digest.String()) {
					t.Errorf("it was told before it was recorded:\n%s", log[0].Message)
				}
				if !told { // one look that had begun before the merge, the one that sees it, and that of its fetch
					if n := s.looksUntilFetch(looks); n > 3 {
						t.Errorf("%d looks at Git until the merge was fetched", n)
					}
				}
				if n := s.forge.Requests() - asked; n > 60 {
					t.Errorf("%d requests to the forge for one merge", n)
				}
				s.inOrder(r.line, EventProposed, EventMoved, EventCommitted, EventPromoted)
			})
		}
	}
}

// listings gives the requests to Git so far.
func (s *site) listings() []string { return s.git.Proxy().Counts().Paths }

// looksUntilFetch counts the listings of refs after the first from requests, until something is fetched.
func (s *site) looksUntilFetch(from int) (n int) {
	for _, path := range s.listings()[from:] {
		switch {
		case strings.HasPrefix(path, "POST") && strings.HasSuffix(path, "git-upload-pack"):
			return n
		case strings.Contains(path, "info/refs?service=git-upload-pack"):
			n++
		}
	}
	return n
}

// inOrder fails the test where events that are about staging, or about a commit, did not come in an order.
func (s *site) inOrder(l *Line, types ...EventType) {
	s.t.Helper()
	all := must(l.Events(Filter{}))(s.t)
	at := -1
	for _, want := range types {
		next := slices.IndexFunc(all[at+1:], func(e Event) bool { return e.Type == want && (want == EventCommitted || e.Stage == "staging") })
		if next < 0 {
			s.t.Errorf("no event %s of staging after number %d: %+v", want, at, all)
			return
		}
		at += 1 + next
	}
}
