package daemon

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// frozenSite is a site with a package at production and another one in snapshot.
func frozenSite(t *testing.T) *packageSite {
	t.Helper()
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.0.0"}, testenv.EPRPackage{Name: "nginx", Version: "1.1.0"}, testenv.EPRPackage{Name: "system", Version: "2.0.0"})
	s.sync()
	for _, stage := range []mirror.Stage{"staging", "production"} {
		s.promotes(PromoteOrder{Set: "elastic", Stage: stage, Entries: []string{"nginx-1.0.0"}}, PromotedCommitted)
		s.sync()
	}
	if got := s.stands("production"); got != "nginx-1.0.0" {
		t.Fatalf("production has %q", got)
	}
	return s
}

// promotes gives an order, which is carried out by a commit.
func (s *packageSite) promotes(o PromoteOrder, want PromotedOutcome) Promoted {
	s.t.Helper()
	o.Way = ByCommit
	p, err := s.line.Promote(s.t.Context(), o)
	if err != nil || p.Outcome != want {
		s.t.Fatalf("%+v: %v, %v (%v)", o, p.Outcome, err, p.Why)
	}
	return p
}

func TestFreeze_KeepsWhatAChannelHolds(t *testing.T) {
	t.Parallel()
	s := frozenSite(t)
	p := s.promotes(PromoteOrder{Set: "elastic", Stage: "staging", Freeze: "9.3.0"}, PromotedCommitted)
	if p.Frozen != "9.3.0" || len(p.Moves) != 1 {
		t.Errorf("frozen: %+v", p)
	}
	body := s.file("stages/elastic/frozen/9.3.0.yaml")
	if !strings.Contains(body, "from: staging") || !strings.Contains(body, "nginx-1.0.0: epr.elastic.co/nginx:1.0.0@sha256:") {
		t.Errorf("the file says\n%s", body)
	}
	s.sync()
	remembered := s.file("rendered/demo/record/elastic/frozen/channels.yaml")
	if !strings.Contains(remembered, "9.3.0") || !strings.Contains(remembered, "from: staging") {
		t.Errorf("remembered:\n%s", remembered)
	}
	s.promotes(PromoteOrder{Set: "elastic", Stage: "staging", Freeze: "9.3.0"}, PromotedNothing)

	// The stage goes on; the frozen channel does not, and its name is taken.
	s.promotes(PromoteOrder{Set: "elastic", Stage: "staging", Entries: []string{"nginx"}}, PromotedCommitted)
	s.sync()
	if got := s.stands("staging"); got != "nginx-1.0.0 nginx-1.1.0" {
		t.Errorf("staging has %q", got)
	}
	s.promotes(PromoteOrder{Set: "elastic", Stage: "staging", Freeze: "9.3.0"}, PromotedRefused)
	if again := s.file("stages/elastic/frozen/9.3.0.yaml"); again != body {
		t.Errorf("the file became\n%s", again)
	}

	// Whoever edits it by hand is refused, and what is remembered stays.
	s.commit("edited", map[string]string{"stages/elastic/frozen/9.3.0.yaml": strings.Replace(body, "nginx-1.0.0:", "nginx-1.1.0:", 1)})
	r := s.sync()["elastic"]
	refused := ""
	for _, a := range r.Plan.Actions {
		if a.Stage == "9.3.0" && a.Kind == mirror.Refuse && a.Reason.Code == mirror.Immutable {
			refused = a.Reason.String()
		}
	}
	if !strings.Contains(refused, "never changes") {
		t.Errorf("the plan says %q", refused)
	}
	if got := s.file("rendered/demo/record/elastic/frozen/channels.yaml"); got != remembered {
		t.Errorf("remembered:\n%s", got)
	}
}

func TestPromote_OfPackages(t *testing.T) {
	t.Parallel()
	s := frozenSite(t)
	if p := s.promotes(PromoteOrder{Set: "elastic", Stage: "staging", Newest: true}, PromotedCommitted); len(p.Moves) != 2 {
		t.Errorf("newest only: %+v", p.Moves)
	}
	s.sync()
	if got := s.stands("staging"); got != "nginx-1.0.0 nginx-1.1.0 system-2.0.0" {
		t.Errorf("staging has %q", got)
	}
	log := must(s.git.Log())(t)
	if subject, _, _ := strings.Cut(log[1].Message, "\n"); subject != "[staging] Promote packages from snapshot (nginx-1.1.0, system-2.0.0)" {
		t.Errorf("the commit is called %q", subject)
	}
	if _, err := s.line.Promote(t.Context(), PromoteOrder{Set: "elastic", Stage: "staging", Entries: []string{"nginx-9.9.9"}, Way: ByCommit}); err == nil || !strings.Contains(err.Error(), "nginx-9.9.9") {
		t.Errorf("a version that nobody has: %v", err)
	}
	if p := s.promotes(PromoteOrder{Set: "elastic", Stage: "production", Entries: []string{"nginx-*"}}, PromotedCommitted); len(p.Moves) != 1 || p.Moves[0].Entry != "nginx-1.1.0" {
		t.Errorf("a glob: %+v", p.Moves)
	}
}

func TestReview_KnowsWhatASourceThatIsAskedNamed(t *testing.T) {
	t.Parallel()
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.0.0"}, testenv.EPRPackage{Name: "system", Version: "2.0.0"})
	f := s.reviewedAt("gitea")
	f.forge.AddUser("alice", false)
	s.sync()
	line := ""
	for l := range strings.Lines(s.file("rendered/demo/elastic/snapshot.yaml")) {
		if strings.Contains(l, "nginx-1.0.0:") {
			line = l
		}
	}
	n, _ := f.proposes("rise", map[string]string{"stages/elastic/staging.yaml": "version: 1\nentries:\n" + line})
	f.attends()
	text := f.told(n)
	if !strings.Contains(text, "1 tag to move") || strings.Contains(text, "no longer asked for") {
		t.Errorf("the comment says\n%s", text)
	}
}

func TestFreeze_AnEditedChannelIsServedAsItWas(t *testing.T) {
	t.Parallel()
	s := frozenSite(t)
	s.promotes(PromoteOrder{Set: "elastic", Stage: "production", Freeze: "9.3.0"}, PromotedCommitted)
	s.sync()
	holds := func() (names string) {
		at := epr.Name{Set: "elastic", Channel: "9.3.0"}.In(s.line.local.Host, s.line.local.Prefix)
		tagged := must(s.line.registry.Resolve(t.Context(), at))(t)
		for _, i := range must(epr.ReadContents(t.Context(), s.line.registry, at.WithDigest(tagged.Digest)))(t).Items {
			names += i.Package.String() + " "
		}
		return names
	}
	if got := holds(); got != "nginx-1.0.0 " {
		t.Fatalf("it holds %q", got)
	}
	body, never := s.file("stages/elastic/frozen/9.3.0.yaml"), must(s.line.state.Record("elastic"))(t).At("snapshot")["nginx-1.1.0"].Image
	s.commit("edited", map[string]string{"stages/elastic/frozen/9.3.0.yaml": "version: 1\nfrom: production\nentries:\n  nginx-1.1.0: " + never.String() + "\n"})
	s.sync()
	if got := holds(); got != "nginx-1.0.0 " {
		t.Errorf("the edit was refused, and the channel holds %q", got)
	}
	s.commit("as it was", map[string]string{"stages/elastic/frozen/9.3.0.yaml": body})
	s.sync()
	if got := holds(); got != "nginx-1.0.0 " {
		t.Errorf("it holds %q", got)
	}
}

// A frozen channel is seen wherever the channels of stages are: it is listed, and written into a folder.
func TestFreeze_IsSeen(t *testing.T) {
	t.Parallel()
	s := frozenSite(t)
	s.promotes(PromoteOrder{Set: "elastic", Stage: "production", Freeze: "9.3.0"}, PromotedCommitted)
	s.sync()
	look := must(s.line.Look(t.Context()))(t)
	frozen := look.Sets[0].Frozen
	if len(frozen) != 1 || frozen[0].Name != "9.3.0" || frozen[0].From != "production" || frozen[0].Packages != 1 || frozen[0].Lines[0].Entry != "nginx-1.0.0" {
		t.Errorf("the look has %+v", frozen)
	}
	dir := t.TempDir()
	if r, err := s.line.ExportOnce(t.Context(), "elastic", "9.3.0", dir); err != nil || r.Added != 1 {
		t.Errorf("exported %+v, %v", r, err)
	}
	if got := treeOf(t, dir); got != "9.3.0/nginx-1.0.0.zip 9.3.0/nginx-1.0.0.zip.sig" {
		t.Errorf("the folder has %s", got)
	}
	if _, err := s.line.ExportOnce(t.Context(), "elastic", "9.3.1", dir); codeIn(err) != "FLT032" || !strings.Contains(err.Error(), "9.3.0") {
		t.Errorf("a channel that nobody froze: %v", err)
	}
}
