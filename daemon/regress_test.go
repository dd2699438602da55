package daemon

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// A policy that admits less is held against what stands too. What stands keeps its tag and its bytes.
func TestPolicy_WhatStandsIsJudgedByTheRulesOfToday(t *testing.T) {
	t.Parallel()
	s := webSite(t)
	s.sync()
	tags := testenv.TagsOf(s.local.Back())
	digest := s.file("rendered/demo/web/snapshot.yaml")
	digest = digest[strings.Index(digest, "@sha256:")+1:][:71]
	for name, policy := range map[string]string{
		"denied":         pinnedPolicy + "deny: {digests: [\"" + digest + "\"]}\n",
		"must be signed": vendorPolicy,
	} {
		t.Run(name, func(t *testing.T) {
			s.commit(name, map[string]string{"desired/policy.yaml": policy})
			r := s.sync()["web"]
			if got := kinds(r.Plan, mirror.Refuse); len(got) != 1 {
				t.Errorf("refused: %v, want the one entry", got)
			}
			for tag, d := range tags {
				if testenv.TagsOf(s.local.Back())[tag] != d {
					t.Errorf("%s moved", tag)
				}
			}
		})
	}
	s.commit("as before", map[string]string{"desired/policy.yaml": pinnedPolicy})
	if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != 1 {
		t.Errorf("after the policy is as before: %+v", r.Plan.Actions)
	}
}

// A wake for a copy that arrived is not lost among polls, and a set whose inputs changed is stepped whatever
// the wake was for.
func TestWake_NoneIsLost(t *testing.T) {
	t.Parallel()
	merged := Wake{Why: "copied", Local: true, Sets: []string{"web"}}.merge(Wake{Why: "poll"})
	if !merged.steps("web") || merged.steps("other") || merged.Local {
		t.Errorf("merged: %+v", merged)
	}
	s := webSite(t)
	s.commit("other", map[string]string{"desired/other.yaml": "version: 1\nsource: {kind: list, file: other.txt}\n", "desired/other.txt": list(s.push("docker.io/library/other:1", "other"))})
	line := s.open()
	if _, err := line.cycle(t.Context(), Wake{Why: "copied", Sets: []string{"web"}}); err != nil {
		t.Fatal(err)
	}
	for line.busy() {
		w, err := line.arrival(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := line.cycle(t.Context(), w.merge(Wake{Why: "poll"})); err != nil {
			t.Fatal(err)
		}
	}
	for _, set := range []string{"web", "other"} {
		if s.file("rendered/demo/"+set+"/snapshot.yaml") == "" {
			t.Errorf("set %s did not come to rest", set)
		}
	}
}

// While the newest commit has mistakes, the last good one stays in force for audits and copies; the mistake is
// told, and its revert is enough.
func TestRun_LastGoodCommitStaysInForce(t *testing.T) {
	t.Parallel()
	s := webSite(t)
	s.sync()
	s.commit("broken", map[string]string{"desired/web.yaml": "version: 1\nsuorce: {}\n"})
	var problems mirror.Problems
	reports, err := s.line.cycle(t.Context(), Wake{Why: "audit", Audit: true})
	if !errors.As(err, &problems) || len(reports) != 1 || reports[0].Plan.Count(mirror.Unchanged) != 1 {
		t.Errorf("audit while broken: %d reports, %v", len(reports), err)
	}
	if s.line.ready() == nil {
		t.Error("ready, although the newest commit cannot be obeyed")
	}
	s.commit("Revert", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n"})
	if _, err := s.line.cycle(t.Context(), Wake{Why: "poll"}); err != nil || s.line.ready() != nil {
		t.Errorf("after the revert: %v, %v", err, s.line.ready())
	}
}

// What a followed tag was resolved to holds until it is asked again, also while other sets change.
func TestResolve_AChangeElsewhereDoesNotGoBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\n"})
	s.pushSigned("docker.io/library/web:1", "old")
	s.sync()
	renewed := s.pushSigned("docker.io/library/web:1", "new")
	at := s.now
	plans, err := s.line.Plan(t.Context(), Wake{Why: "schedule", Resolve: true})
	if err != nil || plans[0].Count(mirror.Copy) != 1 {
		t.Fatalf("the tag moved: %v, %v", plans, err)
	}
	s.commit("elsewhere", map[string]string{"stages/web/staging.yaml": "version: 1\nentries: {}\n"})
	s.now = at.Add(time.Second)
	plans, err = s.line.Plan(t.Context(), Wake{Why: "poll"})
	if err != nil || len(plans) != 1 || plans[0].Count(mirror.Copy) != 1 || plans[0].Actions[0].New != renewed.Digest {
		t.Errorf("after a change elsewhere: %+v, %v", plans, err)
	}
}

// A signature that was added to in the local registry does not block the promotion that reads it there.
func TestPromote_ACounterSignatureDoesNotBlock(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\nlayout: path\n"})
	image := s.pushSigned("docker.io/library/web:1", "web")
	s.sync()
	own := must(testenv.NewSigner("p256"))(t)
	if err := own.SignLegacy(t.Context(), s.local.Back()+"/mirror/snapshot/"+image.Name(), image.Digest, testenv.Claiming(image.Name())); err != nil {
		t.Fatal(err)
	}
	s.promote("web", "snapshot", "staging")
	for range 3 {
		s.sync()
		s.now = s.now.Add(time.Minute)
	}
	if got := s.tag("mirror/staging/"+image.Name(), "1"); got != image.Digest {
		t.Errorf("staging names %s, want %s", got, image.Digest)
	}
	s.whole()
}

// Two sets that would move one local tag to and fro are refused, both, instead of taking turns.
func TestCollision_TwoSetsDoNotFightOverATag(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/a.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\nlayout: path\n",
		"desired/b.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\nlayout: path\n"})
	s.pushSigned("docker.io/library/web:1", "web")
	for set, r := range s.sync() {
		if got := kinds(r.Plan, mirror.Refuse)["snapshot/docker.io/library/web:1"]; got != mirror.Collision {
			t.Errorf("set %s: %q, want collision", set, got)
		}
	}
	if tags := testenv.TagsOf(s.local.Back()); len(tags) != 0 {
		t.Errorf("tags: %v", tags)
	}
}

// A clone that was deleted under a running daemon is made anew at the next look, without a change in Git.
func TestRun_HealsItsClone(t *testing.T) {
	t.Parallel()
	s := webSite(t)
	s.sync()
	if err := os.RemoveAll(filepath.Join(s.dir, "state", "git")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first may still find the damage, and says so
		s.line.cycle(t.Context(), Wake{Why: "audit", Audit: true})
	}
	if _, err := s.line.cycle(t.Context(), Wake{Why: "audit", Audit: true}); err != nil {
		t.Errorf("two cycles later: %v", err)
	}
}

// A promotion that is merged together with what it promotes needs one sync, not two.
func TestSync_PromotesWhatArrivesInTheSameRun(t *testing.T) {
	t.Parallel()
	s := webSite(t)
	line := strings.TrimSpace(s.file("desired/web.txt"))
	entry, _, _ := strings.Cut(line, "@")
	s.commit("all at once", map[string]string{"stages/web/staging.yaml": "version: 1\nentries:\n  " + entry + ": " + line + "\n",
		"stages/web/production.yaml": "version: 1\nentries:\n  " + entry + ": " + line + "\n"})
	if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != 3 {
		t.Errorf("not at rest: %+v", r.Plan.Actions)
	}
}

// Losing the state while something is refused takes nothing out of the record: the tag still stands.
func TestState_LossWhileRefusedKeepsRecordAndOverride(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy,
		"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nlayout: path\nrender: {element: {name: ess-images, namespace: ess}}\n"})
	web, synapse := s.push("docker.io/vectorim/element-web:v1", "web"), s.push("docker.io/matrixdotorg/synapse:v1", "synapse")
	s.commit("release", map[string]string{"desired/ess/images_digests.yml": imagesDigests(web, synapse)})
	s.sync()
	s.promote("ess", "snapshot", "staging")
	s.sync()
	watched := []string{"rendered/demo/record/ess/staging.yaml", "rendered/demo/ess/snapshot.yaml", "rendered/demo/ess/staging/images-digests.yaml"}
	before := map[string]string{}
	for _, name := range watched {
		before[name] = s.file(name)
	}
	s.commit("a line is lost", map[string]string{"stages/ess/staging.yaml": "version: 1\nentries:\n  synapse/synapse: " + synapse.String() + "\n"})
	s.close()
	if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	if r := s.sync()["ess"]; kinds(r.Plan, mirror.Refuse)["staging/element_web/element_web"] != mirror.Incomplete {
		t.Errorf("refused: %v", kinds(r.Plan, mirror.Refuse))
	}
	for _, name := range watched {
		if got := s.file(name); got != before[name] {
			t.Errorf("%s changed:\n%s\nwas\n%s", name, got, before[name])
		}
	}
}

// An edit of the record chooses nothing: neither what a tag was resolved to, nor which tags are ours.
func TestForgedRecord_ChoosesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\", \"docker.io/library/taken:1\"]}\nlayout: path\n"})
	old := s.pushSigned("docker.io/library/web:1", "old")
	s.pushSigned("docker.io/library/taken:1", "wanted")
	foreign := must(testenv.Push(t.Context(), s.local.Back(), "mirror/snapshot/docker.io/library/taken", "1", testenv.Image("foreign")))(t)
	s.sync()
	renewed := s.pushSigned("docker.io/library/web:1", "new")
	s.sync()
	record := s.file("rendered/demo/record/web/snapshot.yaml")
	record = strings.Replace(record, "{image: "+renewed.String(), "{image: "+old.String(), 1)
	record += "  docker.io/library/taken:1: {image: docker.io/library/taken:1@" + foreign.String() + ", since: \"2020-01-01T00:00:00Z\", basis: \"pinned\"}\n"
	s.commit("forged", map[string]string{"rendered/demo/record/web/snapshot.yaml": record})
	s.open() // a new process knows no candidates
	for _, w := range []Wake{{Why: "audit", Audit: true}, {Why: "schedule", Resolve: true}} {
		if _, err := s.line.cycle(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		for s.line.busy() {
			arrived := must(s.line.arrival(t.Context()))(t)
			if _, err := s.line.cycle(t.Context(), arrived); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.tag("mirror/snapshot/docker.io/library/web", "1"); got != renewed.Digest {
			t.Errorf("%s: web names %s, want %s", w.Why, got, renewed.Digest)
		}
		if got := s.tag("mirror/snapshot/docker.io/library/taken", "1"); got != foreign {
			t.Errorf("%s: the foreign tag was moved to %s", w.Why, got)
		}
	}
	if got := s.file("rendered/demo/record/web/snapshot.yaml"); strings.Contains(got, foreign.String()) || !strings.Contains(got, "{image: "+renewed.String()) {
		t.Errorf("the record keeps what was forged:\n%s", got)
	}
}

// A signature that lies upstream only is brought here, also when the first try fails: what upstream showed is not
// taken for what lies here.
func TestLateSignature_ArrivesAfterAFailedTry(t *testing.T) {
	t.Parallel()
	s := webSite(t)
	s.sync()
	text := strings.TrimSpace(s.file("desired/web.txt"))
	image := must(mirror.ParseReference(text))(t)
	if err := s.vendor.SignLegacy(t.Context(), s.upstream.Back()+"/"+image.Name(), image.Digest, testenv.Claiming(image.Name())); err != nil {
		t.Fatal(err)
	}
	signature := "sha256-" + image.Digest.Hex + ".sig"
	s.local.Proxy().Break(testenv.Always(func(r *http.Request) bool {
		return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, signature)
	}, testenv.Fault{Status: http.StatusInternalServerError}))
	s.commit("ask for a signature", map[string]string{"desired/policy.yaml": vendorPolicy})
	s.sync()
	s.local.Proxy().Break(nil)
	for range 2 {
		s.now = s.now.Add(time.Hour)
		s.sync()
	}
	if d := s.tag("mirror/"+image.Name(), signature); d == (mirror.Digest{}) {
		t.Error("the signature did not travel")
	}
	s.upstream.Close()
	s.open()
	if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != 1 {
		t.Errorf("judged by what lies here: %+v", r.Plan.Actions)
	}
}
