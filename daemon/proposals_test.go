package daemon

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// proposingSite is a promoteSite at a forge of a kind, synced.
func proposingSite(t *testing.T, kind, more string) (s *forgeSite, web, tool mirror.Reference) {
	t.Helper()
	plain, web, tool := promoteSite(t, more)
	s = plain.reviewedAt(kind)
	s.forge.AddUser("alice", false)
	s.forge.AddUser("bob", false)
	s.sync()
	return s, web, tool
}

// moves puts new content behind the tag of web upstream, and lets it come to the first stage.
func (s *forgeSite) moves(seed string) mirror.Reference {
	s.t.Helper()
	next := s.pushSigned(webImage, seed)
	s.sync()
	return next
}

// automates says in the set what automation is to do at staging.
func (s *forgeSite) automates(what string) {
	s.t.Helper()
	s.commit("auto: "+what, map[string]string{"desired/tools.yaml": s.file("desired/tools.yaml") + "auto: {staging: " + what + "}\n"})
}

// heard says whether a comment on a proposal says something.
func (s *forgeSite) heard(number int, says string) bool {
	for _, c := range s.forge.Comments(number) {
		if strings.Contains(c.Body, says) {
			return true
		}
	}
	return false
}

// at gives the files of a branch.
func (s *forgeSite) at(branch string) map[string]string { return must(s.git.Files(branch))(s.t) }

// gone fails the test where a branch is still there.
func (s *forgeSite) gone(branch string) {
	s.t.Helper()
	if files, err := s.git.Files(branch); err == nil {
		s.t.Errorf("branch %s is left behind: %v", branch, files)
	}
}

// Whatever forge it is: one open proposal for one thing, its branch never rewritten once somebody looked at it.
func TestProposals_AreAdoptedRenewedAndSuperseded(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"gitea", "github", "gitlab"} {
		t.Run(kind, func(t *testing.T) {
			s, web, tool := proposingSite(t, kind, "")
			ask := PromoteOrder{Stage: "staging", By: "alice"}
			head := s.git.Head()
			first := s.promotes(PromotedOpened, ask)
			p := s.forge.Proposal(first.Proposal)
			if p.Head != "poundlock/demo/tools/staging/all" || p.Title != "[staging] tools: 2 entries from snapshot" || len(p.Labels) != 1 || p.Author != "poundlock" ||
				!strings.Contains(p.Body, "Requested-By: alice") || s.git.Head() != head || first.URL == "" {
				t.Errorf("got %+v", p)
			}
			s.lists(s.at(p.Head), "staging", web, tool)

			// The same again: nothing is written.
			same := s.promotes(PromotedAdopted, ask)
			if same.Proposal != first.Proposal || same.Commit != first.Commit {
				t.Errorf("asked again: %+v", same)
			}

			// A hotfix of one entry is another proposal.
			hotfix := s.promotes(PromotedOpened, PromoteOrder{Stage: "staging", Entries: []string{webImage}, By: "bob"})
			if hotfix.Proposal == first.Proposal || hotfix.Branch == first.Branch {
				t.Errorf("the hotfix: %+v", hotfix)
			}
			s.lists(s.at(hotfix.Branch), "staging", web)

			// Nobody reviewed it: it gets the new content. Whoever asked for it first stays known.
			next := s.moves("next")
			renewed := s.promotes(PromotedRenewed, PromoteOrder{Stage: "staging"})
			if renewed.Proposal != first.Proposal || renewed.Branch != first.Branch {
				t.Errorf("renewed: %+v", renewed)
			}
			s.lists(s.at(renewed.Branch), "staging", next, tool)
			if body := s.forge.Proposal(first.Proposal).Body; !strings.Contains(body, "Requested-By: alice") {
				t.Errorf("renewed:\n%s", body)
			}

			// Somebody reviewed it: another one takes its place.
			if err := s.forge.Review(first.Proposal, "bob", "commented"); err != nil {
				t.Fatal(err)
			}
			last := s.moves("last")
			other := s.promotes(PromotedOpened, ask)
			if other.Branch != "poundlock/demo/tools/staging/all-2" || len(other.Superseded) != 1 || other.Superseded[0] != first.Proposal {
				t.Errorf("after the review: %+v", other)
			}
			s.gone(first.Branch)
			s.lists(s.at(other.Branch), "staging", last, tool)
			if old := s.forge.Proposal(first.Proposal); old.Open || old.Merged || !s.heard(old.Number, "Superseded by "+other.URL) {
				t.Errorf("superseded: open %v, merged %v, comments %+v", old.Open, old.Merged, s.forge.Comments(old.Number))
			}

			// Merged, and the first can be proposed anew by its branch.
			if _, err := s.forge.Merge(other.Proposal, "bob", "merge"); err != nil {
				t.Fatal(err)
			}
			s.sync()
			if got := s.tag("mirror/staging/docker.io/library/web", "1"); got != last.Digest {
				t.Errorf("staging has %s, want %s", got, last.Digest)
			}
			s.moves("even later")
			s.promotes(PromotedOpened, ask)
		})
	}
}

func TestProposals_ThatPeopleChangedAreLeftToThem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(s *forgeSite, p Promoted) error
		says   string
	}{
		{"the title", func(s *forgeSite, p Promoted) error {
			return s.forge.Edit(p.Proposal, "bob", "mine", s.forge.Proposal(p.Proposal).Body)
		}, "title or text"},
		{"the text", func(s *forgeSite, p Promoted) error {
			was := s.forge.Proposal(p.Proposal)
			return s.forge.Edit(p.Proposal, "bob", was.Title, "Please wait.\n"+was.Body)
		}, "title or text"},
		{"who asked, in the hidden mark", func(s *forgeSite, p Promoted) error {
			was := s.forge.Proposal(p.Proposal)
			return s.forge.Edit(p.Proposal, "bob", was.Title, strings.Replace(was.Body, `"by":"alice"`, `"by":"mallory"`, 1))
		}, "title or text"},
		{"the branch", func(s *forgeSite, p Promoted) error {
			_, err := s.forge.Push(p.Branch, "my own", map[string]string{"stages/tools/staging.yaml": stageOf()})
			return err
		}, "its branch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, _ := proposingSite(t, "gitea", "")
			p := s.promotes(PromotedOpened, PromoteOrder{Stage: "staging", By: "alice"})
			s.automates("propose")
			if err := tt.change(s, p); err != nil {
				t.Fatal(err)
			}
			was := s.forge.Proposal(p.Proposal)
			s.moves("next")
			s.attends()
			left := s.promotes(PromotedAdopted, PromoteOrder{Stage: "staging"})
			now := s.forge.Proposal(p.Proposal)
			if len(left.Why) != 1 || !strings.Contains(left.Why[0], tt.says) || now.HeadCommit != was.HeadCommit || now.Body != was.Body || !now.Open || len(s.forge.Proposals()) != 1 {
				t.Errorf("got %v; %+v", left.Why, now)
			}
		})
	}
}

func TestProposals_OfAForkAreNoneOfOurs(t *testing.T) {
	t.Parallel()
	s, _, _ := proposingSite(t, "gitea", "")
	p := s.promotes(PromotedOpened, PromoteOrder{Stage: "staging"})
	body := s.forge.Proposal(p.Proposal).Body
	if err := s.forge.Close(p.Proposal, "bob"); err != nil {
		t.Fatal(err)
	}
	s.proposesFrom("alice:main-2", body)
	if again := s.promotes(PromotedOpened, PromoteOrder{Stage: "staging"}); again.Proposal != 3 {
		t.Errorf("got %+v", again)
	}
}

// Whoever can read may open a proposal of a branch that is there, with the text of one of ours, and close it again.
func TestProposals_OfSomebodyElseAreNoneOfOurs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		then func(s *forgeSite, number int) error
	}{
		{"that stays open", func(*forgeSite, int) error { return nil }},
		{"that was closed", func(s *forgeSite, number int) error { return s.forge.Close(number, "alice") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, _ := proposingSite(t, "github", "")
			f := must(s.line.refresh(t.Context()))(t)
			a, _, err := s.line.ascend(t.Context(), f, PromoteOrder{Set: "tools", Stage: "staging"})
			if err != nil {
				t.Fatal(err)
			}
			mark := proposalMark{ID: a.identity(s.line.config.Site), Candidate: a.candidate(), Text: a.candidate()}
			must(s.forge.Push("feature", "of somebody", map[string]string{"README": "hello\n"}))(t)
			must(s.forge.Open(testenv.Opening{By: "alice", Head: "feature", Title: "mine", Body: mark.String()}))(t)
			if err := tt.then(s, 1); err != nil {
				t.Fatal(err)
			}
			s.automates("propose")
			s.sync()
			s.attends()
			if all := s.forge.Proposals(); len(all) != 2 || !all[1].Open || all[1].Author != "poundlock" {
				t.Errorf("it kept ours from being opened: %d proposals", len(all))
			}
		})
	}
}

// proposesFrom opens a proposal of alice with a text, from a branch of a fork.
func (s *forgeSite) proposesFrom(branch, body string) {
	s.t.Helper()
	must(s.forge.Push(branch, "a fork", map[string]string{"stages/tools/staging.yaml": stageOf()}))(s.t)
	must(s.forge.Open(testenv.Opening{By: "alice", Head: branch, Title: "mine", Body: body}))(s.t)
}

func TestAutomatic_ProposesOnceAndTakesNoForAnAnswer(t *testing.T) {
	t.Parallel()
	s, _, tool := proposingSite(t, "gitea", "auto: {staging: propose}\n")
	s.attends()
	open := s.forge.Proposals()
	if len(open) != 1 || strings.Contains(open[0].Body, requestedBy) {
		t.Fatalf("got %d proposals", len(open))
	}
	s.attends()
	if now := s.forge.Proposal(1); now.HeadCommit != open[0].HeadCommit || len(s.forge.Proposals()) != 1 {
		t.Errorf("proposed again: %+v", now)
	}
	if err := s.forge.Close(1, "bob"); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"declined", "after the state was deleted"} {
		s.attends()
		if n := len(s.forge.Proposals()); n != 1 {
			t.Fatalf("%s: %d proposals", when, n)
		}
		s.close()
		if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
			t.Fatal(err)
		}
		s.sync()
	}
	next := s.moves("next")
	s.attends()
	if n := len(s.forge.Proposals()); n != 2 {
		t.Fatalf("the candidate changed: %d proposals", n)
	}
	s.lists(s.at(s.forge.Proposal(2).Head), "staging", next, tool)
}

func TestAutomatic_LeavesWhatIsHeldOrHasToSoak(t *testing.T) {
	t.Parallel()
	s, web, tool := proposingSite(t, "gitea", "")
	if _, err := s.line.Hold(t.Context(), "tools", "staging", []string{toolImage}, "ticket 4711", "ops"); err != nil {
		t.Fatal(err)
	}
	s.commit("soak", map[string]string{"desired/policy.yaml": vendorPolicy + "gates:\n  - {stages: [staging], soak: 1h}\n"})
	s.automates("commit")
	s.sync()
	head := s.git.Head()
	s.attends()
	if s.git.Head() != head {
		t.Fatalf("it did not soak, and was committed:\n%s", must(s.git.Log())(t)[0].Message)
	}
	s.now = s.now.Add(61 * 60 * 1e9)
	s.attends()
	s.lists(s.main(), "staging", web)
	if _, err := s.line.Release(t.Context(), "tools", "staging", nil, "ops"); err != nil {
		t.Fatal(err)
	}
	s.attends()
	s.attends()
	s.lists(s.main(), "staging", web, tool)
	head = s.git.Head()
	s.attends()
	if s.git.Head() != head {
		t.Errorf("committed again:\n%s", must(s.git.Log())(t)[0].Message)
	}
	if len(s.forge.Proposals()) > 0 {
		t.Error("it proposed")
	}
}

func TestAutomatic_NeverCommitsPastApprovals(t *testing.T) {
	t.Parallel()
	s, _, _ := proposingSite(t, "gitea", "")
	s.commit("approvals", map[string]string{"desired/policy.yaml": vendorPolicy + "gates:\n  - {stages: [staging], approvals: {count: 1}}\n"})
	s.automates("commit")
	s.sync()
	head := s.git.Head()
	s.attends()
	if s.git.Head() != head || len(s.forge.Proposals()) > 0 {
		t.Errorf("it acted:\n%s", must(s.git.Log())(t)[0].Message)
	}
}

func TestAutomatic_ClosesWhatHasBecomePointless(t *testing.T) {
	t.Parallel()
	s, web, tool := proposingSite(t, "gitea", "auto: {staging: propose}\n")
	s.attends()
	s.commit("by hand", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
	s.sync()
	s.attends()
	p := s.forge.Proposal(1)
	if p.Open || p.Merged {
		t.Errorf("got %+v", p)
	}
	s.gone(p.Head)
}

func TestProposals_ABranchThatPeoplePushedToIsNeverDeleted(t *testing.T) {
	t.Parallel()
	s, web, _ := proposingSite(t, "gitea", "")
	p := s.promotes(PromotedOpened, PromoteOrder{Stage: "staging"})
	a, _, err := s.line.ascend(t.Context(), s.line.fleet.Load(), PromoteOrder{Set: "tools", Stage: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	open := must(s.line.forge.Proposals(t.Context(), forge.Query{Base: "main"}))(t)
	same := must(s.line.identical(t.Context(), a, open))(t)
	must(s.forge.Push(p.Branch, "my own", map[string]string{"stages/tools/staging.yaml": stageOf(web)}))(t)
	if err := s.line.retire(t.Context(), same[0], 1, "pointless"); err != nil {
		t.Fatal(err)
	}
	if s.forge.Proposal(p.Proposal).Open {
		t.Error("it is open")
	}
	s.lists(s.at(p.Branch), "staging", web)
}

// Who asks for a promotion while others make proposals waits no longer than they want to.
func TestProposals_WaitNoLongerThanAsked(t *testing.T) {
	t.Parallel()
	s, _, _ := proposingSite(t, "gitea", "")
	if err := s.line.proposing.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.line.Promote(ctx, PromoteOrder{Set: "tools", Stage: "staging"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.line.proposing.release()
	s.promotes(PromotedOpened, PromoteOrder{Stage: "staging"})
}

// Where a forge lists more than is read, automation goes on: by a branch of which it knows that nobody saw it.
func TestProposals_AForgeThatListsTooMuchStopsNothing(t *testing.T) {
	t.Parallel()
	s, _, _ := proposingSite(t, "gitea", "")
	first := s.promotes(PromotedOpened, PromoteOrder{Stage: "staging"})
	if _, err := s.forge.Merge(first.Proposal, "bob", "merge"); err != nil {
		t.Fatal(err)
	}
	s.sync()
	s.moves("next")
	s.forge.Fail(func(r *http.Request) *testenv.Fault {
		if r.URL.Query().Get("state") != "closed" {
			return nil
		}
		return &testenv.Fault{Status: 200, Body: "[]", Header: map[string]string{"Link": "<" + s.forge.URL() + `/x?page=2>; rel="next"`}}
	})
	if next := s.promotes(PromotedOpened, PromoteOrder{Stage: "staging"}); next.Branch != first.Branch+"-2" {
		t.Errorf("got %+v", next)
	}
}
