package daemon

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// A state that was lost makes nothing that stands disappear from Git, whatever keeps it from being judged: a rule that
// refuses it, or a registry that does not answer. Once it can be judged, all of it is proven again.
func TestLostState_TakesNothingAwayThatItCannotJudge(t *testing.T) {
	t.Parallel()
	const each = 2
	for name, tt := range map[string]struct{ trouble, mend func(s *site) }{
		"a rule that refuses it": {
			trouble: func(s *site) { s.policy(strings.ReplaceAll(promotable, "signers: [vendor]", "signers: [other]")) },
			mend:    func(s *site) { s.policy(promotable) },
		},
		"a registry that does not say what lies beside it": {
			trouble: func(s *site) {
				s.local.Proxy().Break(testenv.Always(func(r *http.Request) bool {
					return testenv.KindOf(r) == testenv.ReferrerList || strings.Contains(r.URL.Path, "/manifests/sha256-")
				}, testenv.Fault{Status: http.StatusServiceUnavailable}))
			},
			mend: func(s *site) { s.local.Proxy().Break(nil) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, images := signedSite(t, each)
			s.commit("overrides", map[string]string{"desired/policy.yaml": promotable,
				"desired/many.yaml": "version: 1\nsource: {kind: list, file: many.txt}\nlayout: path\nrender: {containerd: {}}\n"})
			s.sync()
			s.promote("many", "snapshot", "staging")
			s.sync()
			tt.trouble(s)
			before, head := s.end(), s.git.Head()
			if before["file rendered/demo/many/staging/certs.d/docker.io/hosts.toml"] == "" {
				t.Fatalf("no overrides: %v", slices.Sorted(maps.Keys(before)))
			}
			s.wipe()
			s.open()
			for step, w := range []Wake{{Why: "start", Resolve: true, Audit: true}, {Why: "poll"}, {Why: "schedule", Resolve: true, Audit: true}} {
				s.now = s.now.Add(time.Hour)
				s.cycle(w)
				if now := s.git.Head(); now != head {
					t.Fatalf("step %d: a commit %s after %s:\n%s", step, now, head, s.file("rendered/demo/record/many/snapshot.yaml"))
				}
			}
			lines := must(s.line.state.Lines("many"))(t)
			for _, stage := range []mirror.Stage{"snapshot", "staging"} {
				if len(lines[stage]) != len(images) {
					t.Errorf("%d of %d lines are known at %s", len(lines[stage]), len(images), stage)
				}
				for entry, line := range lines[stage] {
					if line.Proven {
						t.Errorf("%s at %s is taken for proven", entry, stage)
					}
				}
			}
			s.open() // another process knows the same
			tt.mend(s)
			head = s.git.Head()
			s.now = s.now.Add(time.Hour)
			s.sync()
			for stage, standing := range must(s.line.state.Lines("many"))(t) {
				for entry, line := range standing {
					if !line.Proven {
						t.Errorf("%s at %s is not proven again", entry, stage)
					}
				}
			}
			if now := s.git.Head(); now != head {
				t.Errorf("a commit %s after %s", now, head)
			}
			if after := s.end(); !maps.Equal(after, before) {
				t.Errorf("tags or overrides changed: %v, before %v", after, before)
			}
		})
	}
}

// promotable wants the vendor's signature at every stage.
var promotable = strings.Replace(twoRules, "rules:", "rules:\n  - {match: \"**\", stages: [staging], require: {signers: [vendor]}}", 1)
