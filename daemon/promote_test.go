package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	webImage  = "docker.io/library/web:1"
	toolImage = "ghcr.io/team/tool:2"
)

// promoteSite has a list of two images in the first stage, both with tags that move. more is added to the set.
func promoteSite(t *testing.T, more string) (s *site, web, tool mirror.Reference) {
	t.Helper()
	s = newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/tools.yaml": "version: 1\nsource: {kind: list, images: [\"" + webImage + "\", \"" + toolImage + "\"]}\nlayout: path\n" + more})
	web, tool = s.pushSigned(webImage, "web"), s.pushSigned(toolImage, "tool")
	return s, web, tool
}

// promotes asks for a promotion and fails the test where the outcome is another one.
func (s *site) promotes(want PromotedOutcome, o PromoteOrder) Promoted {
	s.t.Helper()
	o.Set = "tools"
	p, err := s.line.Promote(s.t.Context(), o)
	if err != nil || p.Outcome != want {
		s.t.Fatalf("%+v: got %s %v, %v; want %s", o, p.Outcome, p.Why, err, want)
	}
	return p
}

// lists fails the test where a stage file at a commit does not list just these images.
func (s *site) lists(files map[string]string, stage string, images ...mirror.Reference) {
	s.t.Helper()
	want := map[string]mirror.Reference{}
	for _, r := range images {
		want[r.WithDigest(mirror.Digest{}).String()] = r
	}
	name := "stages/tools/" + stage
	if !mirror.Lists(mirror.Files{name + ".yaml": []byte(files[name+".yaml"])}, name, want) {
		s.t.Errorf("the file of %s, want %v:\n%s", stage, want, files[name+".yaml"])
	}
}

func (s *site) main() map[string]string { return must(s.git.Files("main"))(s.t) }

func TestPromote_DirectlyMakesWhatStandsBelowStand(t *testing.T) {
	t.Parallel()
	s, web, tool := promoteSite(t, "")
	s.sync()
	p := s.promotes(PromotedCommitted, PromoteOrder{Stage: "staging", By: "alice\n\x1b[31m"})
	if len(p.Moves) != 2 || p.From != "snapshot" || p.Commit != s.git.Head() {
		t.Errorf("got %+v", p)
	}
	s.lists(s.main(), "staging", web, tool)
	s.sync()
	if got := s.tag("mirror/staging/docker.io/library/web", "1"); got != web.Digest {
		t.Errorf("staging has %s", got)
	}
	s.promotes(PromotedNothing, PromoteOrder{Stage: "staging"})

	// Only what is named moves, and a person's remark in the file stays.
	file := s.file("stages/tools/staging.yaml")
	s.commit("a remark", map[string]string{"stages/tools/staging.yaml": "# mind the gap\n" + file})
	next := s.pushSigned(webImage, "next")
	s.pushSigned(toolImage, "next tool")
	s.sync()
	s.promotes(PromotedCommitted, PromoteOrder{Stage: "staging", Entries: []string{webImage}, By: "alice"})
	s.lists(s.main(), "staging", next, tool)
	if !strings.HasPrefix(s.file("stages/tools/staging.yaml"), "# mind the gap\n") {
		t.Errorf("the remark is gone:\n%s", s.file("stages/tools/staging.yaml"))
	}
	if message := must(s.git.Log())(t)[0].Message; !strings.Contains(message, "Requested-By: alice\nPoundlock-Cycle: ") || !strings.Contains(message, "staging "+webImage) {
		t.Errorf("message:\n%s", message)
	}
}

func TestPromote_SaysWhatIsInItsWay(t *testing.T) {
	t.Parallel()
	s, _, _ := promoteSite(t, "")
	s.sync()
	for _, tt := range []struct {
		order PromoteOrder
		code  string
	}{
		{PromoteOrder{Set: "tols", Stage: "staging"}, "FLT032"},
		{PromoteOrder{Set: "tools", Stage: "stging"}, "FLT032"},
		{PromoteOrder{Set: "tools", Stage: "snapshot"}, "PRM002"},
		{PromoteOrder{Set: "tools", Stage: "staging", Entries: []string{"nope"}}, "FLT032"},
		{PromoteOrder{Set: "tools", Stage: "staging", Back: true}, "PRM003"},
		{PromoteOrder{Set: "tools", Stage: "staging", Back: true, Commit: "0123456789"}, "PRM004"},
		{PromoteOrder{Set: "tools", Stage: "staging", Back: true, Commit: s.git.Head()}, "PRM004"},
	} {
		_, err := s.line.Promote(t.Context(), tt.order)
		if ps := (mirror.Problems)(nil); !errors.As(err, &ps) || ps[0].Code != tt.code || ps[0].Fix == "" {
			t.Errorf("%+v: got %v, want %s", tt.order, err, tt.code)
		}
	}
	if p := s.promotes(PromotedRefused, PromoteOrder{Stage: "production"}); len(p.Why) != 1 || p.Why[0] != "nothing stands in staging" {
		t.Errorf("got %v", p.Why)
	}
	s.commit("gates", map[string]string{"desired/policy.yaml": vendorPolicy + "gates:\n  - {stages: [staging], approvals: {count: 1}}\n"})
	if p := s.promotes(PromotedRefused, PromoteOrder{Stage: "staging", Way: ByCommit}); !strings.Contains(strings.Join(p.Why, ""), "approvals") {
		t.Errorf("got %v", p.Why)
	}
	s.commit("deny", map[string]string{"desired/policy.yaml": vendorPolicy + "deny: {repos: [\"docker.io/**\"]}\n"})
	if p := s.promotes(PromotedRefused, PromoteOrder{Stage: "staging"}); len(p.Why) == 0 {
		t.Errorf("got %+v", p)
	}
}

func TestPromote_WithoutAForgePushesABranch(t *testing.T) {
	t.Parallel()
	s, web, tool := promoteSite(t, "")
	s.sync()
	head := s.git.Head()
	p := s.promotes(PromotedPushed, PromoteOrder{Stage: "staging", Way: ByProposal, By: "alice"})
	if s.git.Head() != head || p.Branch != "poundlock/demo/tools/staging/all" {
		t.Errorf("got %+v", p)
	}
	s.lists(must(s.git.Files(p.Branch))(t), "staging", web, tool)
	if again := s.promotes(PromotedAdopted, PromoteOrder{Stage: "staging", Way: ByProposal}); again.Commit != p.Commit {
		t.Errorf("pushed again: %+v", again)
	}
	next := s.pushSigned(webImage, "next")
	s.sync()
	renewed := s.promotes(PromotedPushed, PromoteOrder{Stage: "staging", Way: ByProposal})
	if renewed.Branch != p.Branch {
		t.Errorf("got %+v", renewed)
	}
	s.lists(must(s.git.Files(p.Branch))(t), "staging", next, tool)
}

func TestRollback_BringsBackWhatStoodAndHoldsIt(t *testing.T) {
	t.Parallel()
	s, web, tool := promoteSite(t, "")
	s.sync()
	s.promotes(PromotedCommitted, PromoteOrder{Stage: "staging"})
	s.sync()
	first := s.git.Head()
	next := s.pushSigned(webImage, "next")
	s.sync()
	s.promotes(PromotedCommitted, PromoteOrder{Stage: "staging"})
	s.sync()
	if got := s.tag("mirror/staging/docker.io/library/web", "1"); got != next.Digest {
		t.Fatalf("staging has %s", got)
	}
	// A day has to pass before anything rises from here on, and none does.
	s.commit("soak", map[string]string{"desired/policy.yaml": vendorPolicy + "gates:\n  - {stages: [staging], soak: 24h}\n"})
	p := s.promotes(PromotedCommitted, PromoteOrder{Stage: "staging", Back: true, Reason: "login broken", By: "alice"})
	if !p.Rollback || len(p.Moves) != 1 || p.Moves[0].To != web {
		t.Errorf("got %+v", p)
	}
	s.sync()
	s.lists(s.main(), "staging", web, tool)
	if got := s.tag("mirror/staging/docker.io/library/web", "1"); got != web.Digest {
		t.Errorf("staging has %s, want what stood before", got)
	}
	if strings.Contains(s.file("stages/tools/staging.yaml"), "rollback:") {
		t.Errorf("the record shows that it is a rollback, a mark says it too:\n%s", s.file("stages/tools/staging.yaml"))
	}

	// What was rolled back is held, also for a machine that knows nothing.
	if text := s.file("rendered/demo/holds.yaml"); !strings.Contains(text, `"tools/staging/`+webImage+`": {reason: "rolled back to `+webImage+`: login broken", by: "alice"`) {
		t.Errorf("holds:\n%s", text)
	}
	s.commit("no soak", map[string]string{"desired/policy.yaml": vendorPolicy})
	s.close()
	if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	s.sync()
	held := s.promotes(PromotedRefused, PromoteOrder{Stage: "staging"})
	if len(held.Why) != 1 || !strings.Contains(held.Why[0], "tools/staging/"+webImage+" is held by alice") ||
		!strings.HasSuffix(held.Why[0], "; `poundlock release tools "+webImage+" --stage staging` lets it go on") {
		t.Errorf("got %v", held.Why)
	}
	places, err := s.line.Release(t.Context(), "tools", "staging", nil, "ops")
	if err != nil || len(places) != 1 {
		t.Fatalf("release: %v, %v", places, err)
	}
	s.promotes(PromotedCommitted, PromoteOrder{Stage: "staging"})
	s.lists(s.main(), "staging", next, tool)

	// A named commit brings back its file.
	if p := s.promotes(PromotedCommitted, PromoteOrder{Stage: "staging", Back: true, Commit: first[:10]}); p.Moves[0].To != web {
		t.Errorf("got %+v", p)
	}
}

func TestHold_IsACommitThatPeopleCanEdit(t *testing.T) {
	t.Parallel()
	s, web, tool := promoteSite(t, "")
	s.sync()
	if _, err := s.line.Hold(t.Context(), "tools", "staging", []string{webImage}, "ticket 4711", "ops@host"); err != nil {
		t.Fatal(err)
	}
	if text := s.file("rendered/demo/holds.yaml"); !strings.Contains(text, `"tools/staging/`+webImage+`": {reason: "ticket 4711", by: "ops@host"`) {
		t.Errorf("holds:\n%s", text)
	}
	s.promotes(PromotedRefused, PromoteOrder{Stage: "staging"})
	s.promotes(PromotedCommitted, PromoteOrder{Stage: "staging", Entries: []string{toolImage}})
	s.lists(s.main(), "staging", tool)
	// A line that people merge is obeyed.
	s.commit("by hand", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
	s.sync()
	if got := s.tag("mirror/staging/docker.io/library/web", "1"); got != web.Digest {
		t.Errorf("staging has %s", got)
	}
	s.commit("junk", map[string]string{"rendered/demo/holds.yaml": "version: ["})
	_, err := s.line.Promote(t.Context(), PromoteOrder{Set: "tools", Stage: "staging", Back: true})
	_, err2 := s.line.Promote(t.Context(), PromoteOrder{Set: "tools", Stage: "production"})
	if ps := (mirror.Problems)(nil); err != nil || !errors.As(err2, &ps) || ps[0].Code != "PRM001" {
		t.Errorf("a file that cannot be read: rollback %v, promote %v", err, err2)
	}
	for _, tt := range []struct {
		stage  mirror.Stage
		entry  string
		reason string
		code   string
	}{{"staging", webImage, " ", "FLT031"}, {"stagin", webImage, "x", "FLT032"}, {"snapshot", webImage, "x", "PRM002"}, {"production", "nope", "x", "FLT032"}} {
		s.commit("well", map[string]string{"rendered/demo/holds.yaml": "version: 1\n# " + tt.entry + tt.reason + "\nholds: {}\n"})
		_, err := s.line.Hold(t.Context(), "tools", tt.stage, []string{tt.entry}, tt.reason, "ops")
		if ps := (mirror.Problems)(nil); !errors.As(err, &ps) || ps[0].Code != tt.code {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
}

func TestPromote_InASignedFleetPeopleMerge(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	s.pushSigned(webImage, "web")
	s.sync()
	head := s.git.Head()
	_, err := s.line.Promote(t.Context(), PromoteOrder{Set: "web", Stage: "staging"})
	if ps := (mirror.Problems)(nil); !errors.As(err, &ps) || ps[0].Code != "PRM005" {
		t.Errorf("directly: %v", err)
	}
	p, err := s.line.Promote(t.Context(), PromoteOrder{Set: "web", Stage: "staging", Way: ByProposal})
	if err != nil || p.Outcome != PromotedPushed || s.git.Head() != head {
		t.Fatalf("by a branch: %+v, %v", p, err)
	}
	if again, err := s.line.Promote(t.Context(), PromoteOrder{Set: "web", Stage: "staging", Way: ByProposal}); err != nil || again.Outcome != PromotedAdopted || len(again.Why) > 0 {
		t.Errorf("its own signed commit is not known again: %+v, %v", again, err)
	}
}

// The entries of an atomic set move together: nothing is asked for that the line would refuse, and one that is held
// holds all of them for automation.
func TestPromote_AnAtomicSetIsNeverHalf(t *testing.T) {
	t.Parallel()
	web, synapse := "docker.io/vectorim/element-web:v1", "docker.io/matrixdotorg/synapse:v1"
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy})
	first, other := s.pushSigned(web, "web"), s.pushSigned(synapse, "synapse")
	s.commit("ess", map[string]string{"desired/ess/images_digests.yml": imagesDigests(first, other),
		"desired/tools.yaml": "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nlayout: path\n"})
	s.sync()
	var entries []string
	for _, set := range s.line.fleet.Load().desired.Sets {
		for _, e := range set.Entries {
			entries = append(entries, e.Name)
		}
	}
	if len(entries) != 2 {
		t.Fatal(entries)
	}
	half := s.promotes(PromotedRefused, PromoteOrder{Stage: "staging", Entries: entries[:1]})
	if len(half.Why) != 1 || !strings.Contains(half.Why[0], "move together, and "+entries[1]+": not in staging") {
		t.Errorf("got %v", half.Why)
	}
	if whole := s.promotes(PromotedCommitted, PromoteOrder{Stage: "staging"}); len(whole.Moves) != 2 {
		t.Errorf("got %+v", whole)
	}
	s.sync()
	next, second := s.pushSigned("docker.io/vectorim/element-web:v2", "web 2"), s.pushSigned("docker.io/matrixdotorg/synapse:v2", "synapse 2")
	s.commit("release 2", map[string]string{"desired/ess/images_digests.yml": imagesDigests(next, second)})
	s.sync()
	if hotfix := s.promotes(PromotedCommitted, PromoteOrder{Stage: "staging", Entries: entries[:1]}); len(hotfix.Moves) != 1 {
		t.Errorf("got %+v", hotfix)
	}
	if reports := s.sync(); len(kinds(reports["tools"].Plan, mirror.Refuse)) > 0 {
		t.Errorf("the hotfix is refused: %s", details(reports["tools"].Plan))
	}
	if _, err := s.line.Hold(t.Context(), "tools", "staging", entries, "ticket", "ops"); err != nil {
		t.Fatal(err)
	}
	s.commit("auto", map[string]string{"desired/tools.yaml": s.file("desired/tools.yaml") + "auto: {staging: commit}\n"})
	s.sync()
	head := s.git.Head()
	if err := s.line.serve(t.Context(), errand{all: true}); err != nil || s.git.Head() != head {
		t.Fatalf("held, and committed: %v", err)
	}
	if _, err := s.line.Release(t.Context(), "tools", "staging", nil, "ops"); err != nil {
		t.Fatal(err)
	}
	s.sync()
	if p := s.promotes(PromotedNothing, PromoteOrder{Stage: "staging"}); len(p.Moves) > 0 {
		t.Errorf("automation left %+v", p.Moves)
	}
}
