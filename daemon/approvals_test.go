package daemon

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// gatedSite is a site at a forge with one image whose tag moves upstream, and with gates at production.
func gatedSite(t *testing.T, kind, gates string) *forgeSite {
	t.Helper()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\n"})
	s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	s.promote("web", "snapshot", "staging")
	s.sync()
	s.promote("web", "staging", "production")
	s.sync()
	f := s.reviewedAt(kind)
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		f.forge.AddUser(name, false)
	}
	s.commit("gates", map[string]string{"desired/policy.yaml": vendorPolicy + "gates:\n  - {stages: [production], " + gates + "}\n"})
	s.open()
	s.sync()
	return f
}

// rises brings new content up to staging and gives the stage file that asks for it in production.
func (s *forgeSite) rises(seed string) (image mirror.Reference, ask map[string]string) {
	s.t.Helper()
	image = s.pushSigned("docker.io/library/web:1", seed)
	s.sync()
	s.promote("web", "snapshot", "staging")
	s.sync()
	return image, map[string]string{"stages/web/production.yaml": s.file("stages/web/staging.yaml")}
}

// ends steps the set as a poll does and says whether the image came, and what its gates say otherwise.
func (s *forgeSite) ends(image mirror.Reference) (came bool, gates map[string]mirror.Gate) {
	s.t.Helper()
	r := s.cycle(Wake{Why: "webhook", Sets: []string{"web"}})["web"]
	gates = map[string]mirror.Gate{}
	for _, a := range r.Plan.Actions {
		for _, g := range a.Gates {
			gates[g.Name] = g
		}
	}
	return s.tag("mirror/docker.io/library/web", "web-docker.io.library.web.1-production") == image.Digest, gates
}

func (s *forgeSite) review(number int, by, verdict string) {
	s.t.Helper()
	if err := s.forge.Review(number, by, verdict); err != nil {
		s.t.Fatal(err)
	}
}

func (s *forgeSite) merge(number int, method string) string {
	s.t.Helper()
	return must(s.forge.Merge(number, "dave", method))(s.t)
}

// An approval counts for the stage file that it saw, by somebody who neither wrote nor asked for the proposal, whatever
// the way in which it was merged.
func TestApprovals_CountForWhatTheySaw(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"gitea", "github", "gitlab"} {
		t.Run(kind, func(t *testing.T) {
			s := gatedSite(t, kind, "approvals: {count: 1}")
			for _, method := range []string{"merge", "squash", "rebase"} {
				image, ask := s.rises(method)
				n, _ := s.proposes(method, ask)
				s.attends()
				if text := s.told(n); !strings.Contains(text, "0 of 1 approvals") {
					t.Errorf("%s: what is missing is not shown:\n%s", method, text)
				}
				s.review(n, "bob", "approved")
				s.attends()
				if text := s.told(n); !strings.Contains(text, "1 of 1 approvals") {
					t.Errorf("%s: the approval is not shown:\n%s", method, text)
				}
				commit := s.merge(n, method)
				came, gates := s.ends(image)
				if !came {
					t.Fatalf("%s: approved and not moved: %+v", method, gates)
				}
				e := s.events(EventPromoted)
				if last := e[len(e)-1]; last.Number != n || last.Commit != commit || last.URL == "" {
					t.Errorf("%s: told as %+v, want proposal %d, commit %s", method, last, n, commit)
				}
			}
			for name, tt := range map[string]func(number int, branch string){
				"nobody":         func(int, string) {},
				"only a comment": func(n int, _ string) { s.review(n, "bob", "commented") },
				"taken back":     func(n int, _ string) { s.review(n, "bob", "approved"); s.review(n, "bob", "changes-requested") },
				"before it changed": func(n int, branch string) {
					s.review(n, "bob", "approved")
					ask := s.at(branch)["stages/web/production.yaml"] + "# another word\n"
					must(s.forge.Push(branch, "more", map[string]string{"stages/web/production.yaml": ask}))(t)
				},
			} {
				if kind == "gitlab" && name == "taken back" {
					continue // it knows approvals and their end only
				}
				image, ask := s.rises(name)
				branch := strings.ReplaceAll(name, " ", "-")
				n, _ := s.proposes(branch, ask)
				tt(n, branch)
				s.merge(n, "merge")
				if came, gates := s.ends(image); came || gates["approvals"].Code != mirror.NotApproved {
					t.Errorf("%s: moved %t, gates %+v", name, came, gates)
				}
			}
			image, ask := s.rises("pushed")
			s.commit("a direct push", ask)
			if came, gates := s.ends(image); came || !strings.Contains(gates["approvals"].Why, "direct push") {
				t.Errorf("a direct push: moved %t, gates %+v", came, gates)
			}
		})
	}
}

// Who asked for a proposal cannot approve it, whatever people pushed to it since and whatever that says of who asked.
func TestApprovals_WhoAskedDoesNotCountAlthoughPeoplePushed(t *testing.T) {
	t.Parallel()
	s := gatedSite(t, "gitea", "approvals: {count: 1}")
	s.forge.AddUser("ann_b", false)
	image, _ := s.rises("asked")
	p := must(s.line.Promote(t.Context(), PromoteOrder{Set: "web", Stage: "production", By: "ann_b"}))(t)
	must(s.forge.Push(p.Branch, "more\n\nRequested-By: carol\n", map[string]string{"README.md": "more\n"}))(t)
	s.review(p.Proposal, "ann_b", "approved")
	s.review(p.Proposal, "bob", "approved")
	s.merge(p.Proposal, "merge")
	if came, gates := s.ends(image); came || !strings.Contains(gates["approvals"].Why, "1 of 2 approvals: bob") {
		t.Errorf("moved %t, gates %+v", came, gates["approvals"])
	}
}

// A proposal that waits for approvals costs one question a turn besides the lists: what the credential may do is not
// tried each time.
func TestApprovals_WaitingCostsOneQuestion(t *testing.T) {
	t.Parallel()
	s := gatedSite(t, "gitea", "approvals: {count: 1}")
	_, ask := s.rises("waits")
	s.proposes("waits", ask)
	s.attends()
	s.attends() // our own comment changed it
	lists := s.forge.Requests()
	if _, err := s.line.forge.Proposals(t.Context(), forge.Query{Base: "main", Since: s.now.Add(-lookOverlap)}); err != nil {
		t.Fatal(err)
	}
	before := s.forge.Requests()
	lists = before - lists
	s.attends()
	if asked := s.forge.Requests() - before - lists; asked != 1 {
		t.Errorf("%d requests, want 1: who reviewed it", asked)
	}
}

// Owners are those of CODEOWNERS as it was before the proposal, by name or by team.
func TestApprovals_ByOwnersOfTheBase(t *testing.T) {
	t.Parallel()
	s := gatedSite(t, "gitea", "approvals: {count: 1, owners: true}")
	s.forge.SetTeam("release", "carol")
	s.commit("owners", map[string]string{".github/CODEOWNERS": "* @alice\n/stages/ @platform/release nobody@example.org\n", "CODEOWNERS": "* @bob\n"})
	for name, tt := range map[string]struct {
		by   string
		want bool
	}{"an owner": {"carol", true}, "somebody else": {"bob", false}} {
		image, ask := s.rises(name)
		n, _ := s.proposes(strings.ReplaceAll(name, " ", "-"), ask)
		s.review(n, tt.by, "approved")
		s.merge(n, "merge")
		if came, gates := s.ends(image); came != tt.want {
			t.Errorf("%s: moved %t, gates %+v", name, came, gates)
		}
	}
	for _, method := range []string{"merge", "squash", "rebase"} {
		image, ask := s.rises("own owners " + method)
		n, _ := s.proposes("own-"+method, map[string]string{".github/CODEOWNERS": "* @bob\n"})
		must(s.forge.Push("own-"+method, "and the line", ask))(t)
		s.review(n, "bob", "approved")
		s.merge(n, method)
		if came, gates := s.ends(image); came || gates["approvals"].Code == "" {
			t.Errorf("%s: who makes himself an owner moved it: %+v", method, gates)
		}
		s.commit("owners again", map[string]string{".github/CODEOWNERS": "/stages/ @platform/release\n"})
	}
}

// A check counts on the head that was proposed or on the commit that asks. One that comes later is found by asking
// again, and a forge that does not answer keeps the gate closed until it does.
func TestStatuses_AreAskedAgain(t *testing.T) {
	t.Parallel()
	s := gatedSite(t, "gitea", "statuses: [ci/e2e]")
	image, ask := s.rises("head")
	n, head := s.proposes("head", ask)
	s.forge.SetStatus(head, "bob", "ci/e2e", "success")
	s.merge(n, "merge")
	if came, gates := s.ends(image); !came {
		t.Fatalf("not moved: %+v", gates)
	}
	image, ask = s.rises("later")
	n, _ = s.proposes("later", ask)
	commit := s.merge(n, "merge")
	s.forge.Fail(func(*http.Request) *testenv.Fault { return &testenv.Fault{Status: http.StatusServiceUnavailable} })
	if came, gates := s.ends(image); came || gates["statuses"].Code != mirror.NotKnown {
		t.Fatalf("with a forge that is down: moved %t, gates %+v", came, gates)
	}
	s.forge.Fail(nil)
	s.forge.SetStatus(commit, "bob", "ci/e2e", "success")
	again := s.line.progress("web").nextLook()
	if wait := again.Sub(s.now); wait <= 0 || wait > lastRetry {
		t.Fatalf("it is asked again in %s", wait)
	}
	asked := s.forge.Requests()
	if r := s.cycle(Wake{Why: "poll"}); len(r) != 0 || s.forge.Requests() != asked {
		t.Errorf("asked before its time: %+v", r)
	}
	s.now = again
	s.cycle(Wake{Why: "retry", Local: true})
	if came, gates := s.ends(image); !came {
		t.Errorf("not moved: %+v", gates)
	}
	s.now = s.now.Add(time.Hour)
	asked = s.forge.Requests()
	if r := s.cycle(Wake{Why: "poll"}); len(r) != 0 || s.forge.Requests() != asked {
		t.Errorf("at rest, and the forge is asked: %d requests, %v", s.forge.Requests()-asked, maps.Keys(r))
	}
}

// The stages of a set are its own: whoever leaves out those below a guarded one does not get around its gates.
func TestApprovals_AreNotGotAroundByFewerStages(t *testing.T) {
	t.Parallel()
	s := gatedSite(t, "gitea", "approvals: {count: 1}")
	before := s.tag("mirror/docker.io/library/web", "web-docker.io.library.web.1-production")
	s.pushSigned("docker.io/library/web:1", "evil")
	s.commit("fewer stages", map[string]string{"stages/web/staging.yaml": "", "stages/web/production.yaml": "",
		"desired/other.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\n",
		"desired/web.yaml":   "version: 1\nstages: [production]\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\n"})
	if _, err := s.trySync(); err != nil {
		t.Log(err)
	}
	if after := s.tag("mirror/docker.io/library/web", "web-docker.io.library.web.1-production"); after != before {
		t.Errorf("production moved from %s to %s", before, after)
	}
}
