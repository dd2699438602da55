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

// nightGates lets new releases into production on Sunday nights, after a day in staging.
const nightGates = vendorPolicy + `gates:
  - stages: [production]
    soak: 24h
    windows: [{days: [sun], from: "02:00", to: "04:00"}]
    applyWithin: 240h
`

// twoReleases is a site of an ESS set with two images. Release 1 stood in production, where release 2 stands; since then
// nothing moves there but at night. before is the end as it was while release 1 stood in production.
func twoReleases(t *testing.T, layout string) (s *site, images [2][]mirror.Reference, before map[string]string) {
	t.Helper()
	s = newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nlayout: " + layout + "\nrender: {element: {name: ess-images, namespace: ess}}\n"})
	for release := range images {
		for i := range 2 {
			images[release] = append(images[release], s.pushSigned(fmt.Sprintf("docker.io/apps/app%02d:stable", i), fmt.Sprint(release, i)))
		}
		s.commit(fmt.Sprintf("release %d", release+1), map[string]string{"desired/ess/images_digests.yml": manyDigests(images[release])})
		s.sync()
		for _, stage := range []string{"staging", "production"} {
			s.now = s.now.Add(time.Hour)
			s.release(stage, images[release])
			s.sync()
		}
		if release == 0 {
			before = s.end()
		}
	}
	s.commit("nights only", map[string]string{"desired/policy.yaml": nightGates})
	s.sync()
	return s, images, before
}

// release merges a stage file with the images of an ESS set.
func (s *site) release(stage string, images []mirror.Reference) string {
	s.t.Helper()
	text := "version: 1\nentries:\n"
	for i, r := range images {
		text += fmt.Sprintf("  app%02d/app%02d: %s\n", i, i, r)
	}
	return s.commit("promote ess to "+stage, map[string]string{"stages/ess/" + stage + ".yaml": text})
}

// production gives of an end what belongs to production.
func production(end map[string]string) map[string]string {
	end = maps.Clone(end)
	maps.DeleteFunc(end, func(name, _ string) bool {
		return !strings.Contains(name, "production") || strings.HasSuffix(name, ".sig") // signatures of both stay
	})
	return end
}

// With the state directory wiped, the upstream stopped, the window closed and a soak of a day, a plain revert of the
// last promotion brings tags and overrides back in one cycle, and is held from then on.
func TestRevert_BringsTheReleaseBackInOneCycle(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"tag", "path"} {
		t.Run(layout, func(t *testing.T) {
			s, images, before := twoReleases(t, layout)
			s.wipe()
			s.upstream.Proxy().Break(testenv.Always(everything, testenv.Fault{Status: http.StatusServiceUnavailable}))
			revert := s.release("production", images[0])
			s.open()
			r := s.cycle(Wake{Why: "start", Resolve: true, Audit: true})["ess"]
			after := production(s.end())
			if want := production(before); len(want) < 3 || !maps.Equal(after, want) {
				t.Fatalf("production is\n%v\nwant\n%v\n%s", after, want, details(r.Plan))
			}
			log := must(s.git.Log())(t)
			want := []publish.Promoted{{Set: "ess", Stage: "production", Commit: revert, Rollback: true}}
			if got := publish.ParsePromoted(log[0].Message); !slices.Equal(got, want) {
				t.Errorf("the commit names %v, want %v:\n%s", got, want, log[0].Message)
			}
			held := must(s.line.holds(s.line.fleet.Load()))(t)
			for _, entry := range []string{"app00/app00", "app01/app01"} {
				if _, _, ok := held.Over("ess", "production", entry); !ok {
					t.Errorf("%s is not held: %s", entry, s.file("rendered/demo/holds.yaml"))
				}
			}
			s.open()
			s.cycle(Wake{Why: "start", Resolve: true, Audit: true})
			if got := s.events(EventRolledBack); len(got) != 1 || got[0].Commit != revert || got[0].Stage != "production" {
				t.Errorf("events of the rollback: %+v", got)
			}
		})
	}
}

// events gives what of a type is remembered.
func (s *site) events(of EventType) []Event {
	s.t.Helper()
	return must(s.line.Events(Filter{Type: of}))(s.t)
}

// What people write into the record makes nothing a rollback, whatever was lost: only what a commit of ours says does.
func TestRecord_ClaimsOfPeopleOpenNoGate(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"tag", "path"} {
		for _, wiped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s wiped=%t", layout, wiped), func(t *testing.T) {
				s, images, _ := twoReleases(t, layout)
				third := []mirror.Reference{s.pushSigned("docker.io/apps/app00:stable", "third 0"), s.pushSigned("docker.io/apps/app01:stable", "third 1")}
				s.commit("release 3", map[string]string{"desired/ess/images_digests.yml": manyDigests(third)})
				s.sync()
				s.release("staging", third)
				s.sync()
				// Twice, with a cycle in between that writes the record anew: what is copied from a claim stays one.
				for round := range 2 {
					if wiped {
						s.wipe()
					}
					name := "rendered/demo/record/ess/production.yaml"
					forged := s.file(name)
					for i := range third {
						forged = strings.Replace(forged, "was: ["+images[0][i].String(), "was: ["+third[i].String()+", "+images[0][i].String(), 1)
					}
					if round == 0 {
						if forged == s.file(name) {
							t.Fatalf("nothing forged in\n%s", forged)
						}
						s.commit("it stood here before", map[string]string{name: forged})
					}
					s.release("production", third)
					s.open()
					r := s.cycle(Wake{Why: "start", Resolve: true, Audit: true})["ess"]
					for i := range third {
						key := fmt.Sprintf("production/app%02d/app%02d", i, i)
						if got := kinds(r.Plan, mirror.Refuse)[key]; got != mirror.Soaking {
							t.Errorf("round %d: %s: reason %q, want %q\n%s", round, key, got, mirror.Soaking, details(r.Plan))
						}
					}
				}
			})
		}
	}
}

// A promotion that waits for its time applies by itself when that comes, also on a new machine, which knows since when
// a release stands below; what is asked for is shown beside what stands meanwhile, and told once.
func TestWaiting_AppliesByItself(t *testing.T) {
	t.Parallel()
	s, images, _ := twoReleases(t, "tag")
	third := []mirror.Reference{images[1][0], s.pushSigned("docker.io/apps/app01:stable", "third 1")}
	s.commit("release 3", map[string]string{"desired/ess/images_digests.yml": manyDigests(third)})
	s.sync()
	s.release("staging", third)
	s.sync() // Saturday, 13:00: the day is over in the night to Monday, outside of the window
	asked := s.release("production", third)
	s.now = s.now.Add(13*time.Hour + 30*time.Minute) // Sunday, 02:30
	s.sync()
	wait := s.status("ess").Waiting
	if len(wait) != 1 || wait[0].Code != mirror.Soaking || wait[0].Asked != asked || !slices.Equal(wait[0].Entries, []string{"app01/app01"}) {
		t.Fatalf("it waits for %+v", wait)
	}
	opens := wait[0].Until
	if want := time.Date(2026, 11, 29, 2, 0, 0, 0, time.UTC); !opens.Equal(want) {
		t.Errorf("it waits until %s, want %s", opens, want)
	}
	one := must(s.line.Trace(t.Context(), "app01/app01"))(t).Found[0].Stages[2]
	if one.Waits == nil || one.Image != images[1][1] || one.Wanted != third[1] || one.Trouble != nil {
		t.Errorf("the trace shows %+v", one)
	}
	s.wipe()
	s.open()
	s.cycle(Wake{Why: "start", Resolve: true, Audit: true})
	s.open()
	s.cycle(Wake{Why: "start", Resolve: true, Audit: true})
	if got := s.events(EventWaiting); len(got) != 1 {
		t.Errorf("%d events that it waits, want 1: %+v", len(got), got)
	}
	if got := s.line.progress("ess").nextLook(); !got.Equal(opens) {
		t.Errorf("it is looked at again at %s, want %s", got, opens)
	}
	s.now = opens.Add(-time.Second)
	if r := s.cycle(Wake{Why: "retry", Local: true}); len(r) != 0 {
		t.Errorf("stepped before its time: %+v", r)
	}
	s.now = opens
	r := s.cycle(Wake{Why: "retry", Local: true})["ess"]
	if got := s.tag("mirror/docker.io/apps/app01", "ess-app01.app01-production"); got != third[1].Digest {
		t.Fatalf("production names %s, want %s\n%s", got, third[1].Digest, details(r.Plan))
	}
	if got := s.status("ess").Waiting; len(got) != 0 {
		t.Errorf("it still waits for %+v", got)
	}
	if got := s.events(EventPromoted); len(got) != 1 || got[0].Commit != asked || got[0].Entry != "app01/app01" {
		t.Errorf("events of the promotion: %+v", got)
	}
	line := must(s.line.state.Lines("ess"))(t)["production"]["app01/app01"]
	if line.Commit != asked || line.Stood[images[1][1].Digest] < 24*time.Hour {
		t.Errorf("the record has %+v", line)
	}
}

func (s *site) status(set string) SetStatus {
	s.t.Helper()
	status := must(s.line.Status(s.t.Context()))(s.t)
	i := slices.IndexFunc(status.Sets, func(one SetStatus) bool { return one.Set == set })
	if i < 0 {
		s.t.Fatalf("no set %s in %+v", set, status)
	}
	return status.Sets[i]
}
