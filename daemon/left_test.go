package daemon

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
	"github.com/poundlock/poundlock/testenv"
)

// changedTag is a site of a list set whose entry changed its name with its tag, which is how such a set is updated: 1.0.0
// stood at all stages, where 1.2.0 stands. Since then nothing moves but at night, after a day in staging.
func changedTag(t *testing.T, layout string) (s *site, old, next mirror.Reference) {
	t.Helper()
	s = newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy})
	rise := func(tag string) mirror.Reference {
		image := s.pushSigned("docker.io/library/api:"+tag, tag)
		s.commit("api "+tag, map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/api:" + tag + "\"]}\nlayout: " + layout + "\n"})
		s.sync()
		for _, stages := range [][2]string{{"snapshot", "staging"}, {"staging", "production"}} {
			s.now = s.now.Add(time.Hour)
			s.promote("web", stages[0], stages[1])
			s.sync()
		}
		return image
	}
	old, next = rise("1.0.0"), rise("1.2.0")
	s.commit("nights only", map[string]string{"desired/policy.yaml": nightGates})
	s.sync()
	return s, old, next
}

// carries fails the test where other images than these stand at a stage.
func (s *site) carries(stage mirror.Stage, images ...mirror.Reference) {
	s.t.Helper()
	got, want := map[string]mirror.Reference{}, map[string]mirror.Reference{}
	for entry, line := range must(s.line.record(s.line.fleet.Load(), must2(s.line.fleet.Load().desired.Set("web"))(s.t)))(s.t).At(stage) {
		got[entry] = line.Image
	}
	for _, image := range images {
		want[image.WithDigest(mirror.Digest{}).String()] = image
	}
	if !maps.Equal(got, want) {
		s.t.Errorf("%s carries %v, want %v:\n%s", stage, got, want, s.file("rendered/demo/record/web/"+string(stage)+".yaml"))
	}
}

func must2[T any](v T, ok bool) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if !ok {
			t.Fatal("there is none")
		}
		return v
	}
}

// A plain revert brings back an entry that left with its tag, whatever the state remembers: without its upstream, outside
// of the window and although it never soaked.
func TestRevert_BringsBackAnEntryThatLeft(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"tag", "path"} {
		for _, wiped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s wiped=%t", layout, wiped), func(t *testing.T) {
				s, old, next := changedTag(t, layout)
				s.carries("production", next)
				record := s.file("rendered/demo/record/web/production.yaml")
				if !strings.Contains(record, "{left: ") {
					t.Fatalf("nothing is remembered of what left:\n%s", record)
				}
				if strings.Contains(s.file("rendered/demo/web/snapshot.yaml"), old.Tag) {
					t.Errorf("what left is offered for promotion:\n%s", s.file("rendered/demo/web/snapshot.yaml"))
				}
				if wiped {
					s.wipe()
				}
				s.upstream.Proxy().Break(testenv.Always(everything, testenv.Fault{Status: http.StatusServiceUnavailable}))
				revert := s.commit("Revert", map[string]string{"stages/web/production.yaml": stageOf(old)})
				s.open()
				r := s.cycle(Wake{Why: "start", Resolve: true, Audit: true})["web"]
				s.carries("production", old)
				if t.Failed() {
					t.Fatal(details(r.Plan))
				}
				log := must(s.git.Log())(t)
				if got := publish.ParsePromoted(log[0].Message); !slices.Equal(got, []publish.Promoted{{Set: "web", Stage: "production", Commit: revert, Rollback: true}}) {
					t.Errorf("the commit names %v:\n%s", got, log[0].Message)
				}
				held := must(s.line.holds(s.line.fleet.Load()))(t)
				for _, image := range []mirror.Reference{old, next} {
					if _, _, ok := held.Over("web", "production", image.WithDigest(mirror.Digest{}).String()); !ok {
						t.Errorf("%s is not held:\n%s", image, s.file("rendered/demo/holds.yaml"))
					}
				}
				// Nothing more comes of it, neither here nor on a machine that knows nothing.
				for range 2 {
					head := s.git.Head()
					s.cycle(Wake{Why: "schedule", Audit: true})
					if now := s.git.Head(); now != head {
						t.Fatalf("a commit %s after %s:\n%s", now, head, s.file("rendered/demo/record/web/production.yaml"))
					}
					s.wipe()
					s.open()
				}
				// What was taken back left, too, and may come back, as what stands below.
				s.upstream.Proxy().Break(nil)
				s.commit("again", map[string]string{"stages/web/production.yaml": stageOf(next)})
				s.sync()
				s.carries("production", next)
			})
		}
	}
}

// What stood in the stage below for long enough may still be promoted after it left that, and what did not may not.
func TestPromote_WhatLeftTheStageBelowSoakedThere(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"tag", "path"} {
		for name, tt := range map[string]struct {
			stood time.Duration
			wiped bool
			code  mirror.ReasonCode
		}{
			"long enough":                  {25 * time.Hour, false, ""},
			"long enough, state wiped":     {25 * time.Hour, true, ""},
			"not long enough":              {5 * time.Hour, false, mirror.NotBelow},
			"not long enough, state wiped": {5 * time.Hour, true, mirror.NotBelow},
		} {
			t.Run(layout+" "+name, func(t *testing.T) {
				s, _, _ := changedTag(t, layout)
				s.commit("a day", map[string]string{"desired/policy.yaml": vendorPolicy + "gates: [{stages: [production], soak: 24h}]\n"})
				var third mirror.Reference
				for _, tag := range []string{"1.3.0", "1.4.0"} {
					image := s.pushSigned("docker.io/library/api:"+tag, tag)
					s.commit("api "+tag, map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/api:" + tag + "\"]}\nlayout: " + layout + "\n"})
					s.sync()
					s.promote("web", "snapshot", "staging")
					s.sync()
					if tag == "1.3.0" {
						third = image
						s.now = s.now.Add(tt.stood)
					}
				}
				if tt.wiped {
					s.wipe()
				}
				s.commit("late", map[string]string{"stages/web/production.yaml": stageOf(third)})
				s.open()
				r := s.cycle(Wake{Why: "start", Resolve: true, Audit: true})["web"]
				if got := kinds(r.Plan, mirror.Refuse)["production/"+third.WithDigest(mirror.Digest{}).String()]; got != tt.code {
					t.Errorf("reason %q, want %q:\n%s", got, tt.code, details(r.Plan))
				}
			})
		}
	}
}

// A direct push that drops a line and is refused by its gates takes nothing away: neither from what stands nor from what
// may be returned to.
func TestGates_ADropWaitsForWhatCameWithIt(t *testing.T) {
	t.Parallel()
	s, _, next := changedTag(t, "path")
	s.commit("two people", map[string]string{"desired/policy.yaml": vendorPolicy + "gates: [{stages: [production], approvals: {count: 2}}]\n"})
	third := s.pushSigned("docker.io/library/api:1.3.0", "1.3.0")
	s.commit("api 1.3.0", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/api:1.3.0\"]}\nlayout: path\n"})
	s.sync()
	s.promote("web", "snapshot", "staging")
	s.sync()
	before := s.file("rendered/demo/record/web/production.yaml")
	s.commit("straight to production", map[string]string{"stages/web/production.yaml": stageOf(third)})
	s.open()
	r := s.cycle(Wake{Why: "poll"})["web"]
	if got := kinds(r.Plan, mirror.Refuse)["production/docker.io/library/api:1.3.0"]; got != mirror.NotKnown {
		t.Fatalf("reason %q:\n%s", got, details(r.Plan))
	}
	s.carries("production", next)
	if after := s.file("rendered/demo/record/web/production.yaml"); after != before {
		t.Errorf("the record of production changed:\n%s\nwas\n%s", after, before)
	}
	s.commit("Revert", map[string]string{"stages/web/production.yaml": stageOf(next)})
	s.sync()
	s.carries("production", next)
	s.commit("not needed any more", map[string]string{"stages/web/production.yaml": stageOf()})
	s.sync()
	s.carries("production")
}

// What people write into the record makes no entry one that left.
func TestRecord_ClaimsOfWhatLeftOpenNoGate(t *testing.T) {
	t.Parallel()
	for _, wiped := range []bool{false, true} {
		s, _, _ := changedTag(t, "path")
		third := s.pushSigned("docker.io/library/api:1.3.0", "1.3.0")
		s.commit("api 1.3.0", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/api:1.3.0\"]}\nlayout: path\n"})
		s.sync()
		s.promote("web", "snapshot", "staging")
		s.sync()
		name := "rendered/demo/record/web/production.yaml"
		s.commit("it stood here before", map[string]string{name: s.file(name) + fmt.Sprintf("  docker.io/library/api:1.3.0: {left: %q, was: [%s]}\n", "2026-11-01T00:00:00Z", third)})
		if wiped {
			s.wipe()
		}
		s.commit("back to it", map[string]string{"stages/web/production.yaml": stageOf(third)})
		s.open()
		for range 2 {
			r := s.cycle(Wake{Why: "start", Resolve: true, Audit: true})["web"]
			if got := kinds(r.Plan, mirror.Refuse)["production/docker.io/library/api:1.3.0"]; got != mirror.Soaking {
				t.Errorf("wiped %t: reason %q, want %q\n%s", wiped, got, mirror.Soaking, details(r.Plan))
			}
		}
		if text := s.file(name); strings.Contains(text, "2026-11-01") {
			t.Errorf("wiped %t: the claim stays:\n%s", wiped, text)
		}
	}
}

// A set that moves together goes back to a release with an entry that the next one did not have, as a whole: with its
// time gates closed and, where that is so, on a machine that knows nothing.
func TestRevert_OfAnAtomicSetBringsBackAnEntryThatLeft(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"tag", "path"} {
		for _, wiped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s wiped=%t", layout, wiped), func(t *testing.T) {
				s, images, _ := twoReleases(t, layout)
				less := []mirror.Reference{s.pushSigned("docker.io/apps/app00:stable", "less")}
				s.commit("any time", map[string]string{"desired/policy.yaml": vendorPolicy, "desired/ess/images_digests.yml": manyDigests(less)})
				s.sync()
				for _, stage := range []string{"staging", "production"} {
					s.release(stage, less)
					s.sync()
				}
				record := func() mirror.Standing {
					return must(s.line.state.Lines("ess"))(t)["production"]
				}
				if got := record(); len(got) != 1 {
					t.Fatalf("production carries %v", got)
				}
				s.commit("nights only", map[string]string{"desired/policy.yaml": nightGates})
				s.sync()
				if wiped {
					s.wipe()
				}
				s.release("production", images[1])
				s.open()
				r := s.cycle(Wake{Why: "start", Resolve: true, Audit: true})["ess"]
				got := record()
				if len(got) != 2 || got["app00/app00"].Image != images[1][0] || got["app01/app01"].Image != images[1][1] {
					t.Fatalf("production carries %v\n%s", got, details(r.Plan))
				}
				held := must(s.line.holds(s.line.fleet.Load()))(t)
				if _, _, ok := held.Over("ess", "production", "app01/app01"); !ok {
					t.Errorf("what came back is not held:\n%s", s.file("rendered/demo/holds.yaml"))
				}
				// Half of an older release beside what comes from below is no rollback.
				next := s.pushSigned("docker.io/apps/app00:stable", "next")
				s.commit("release 4", map[string]string{"desired/ess/images_digests.yml": manyDigests([]mirror.Reference{next})})
				s.sync()
				s.release("staging", []mirror.Reference{next})
				s.sync()
				s.release("production", []mirror.Reference{next, images[0][1]})
				r = s.cycle(Wake{Why: "poll"})["ess"]
				if refused := kinds(r.Plan, mirror.Refuse); len(refused) != 2 {
					t.Errorf("a mixed release came\n%s", details(r.Plan))
				}
			})
		}
	}
}
