package daemon

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// What the record says stands and nobody proved, such as after the state was lost, is judged within the budget of what
// stands, and the set is stepped until all of it is.
func TestProve_JudgesWithinTheBudget(t *testing.T) {
	t.Parallel()
	s, images := signedSite(t, 3)
	s.policy(strings.Replace(twoRules, "rules:", "rules:\n  - {match: \"**\", stages: [staging], require: {signers: [vendor]}}", 1))
	s.promote("many", "snapshot", "staging")
	s.sync()
	s.commit("nobody asks for staging", map[string]string{"stages/many/staging.yaml": ""})
	s.sync()
	s.wipe()
	s.config += "trust: {rejudging: 4}\n"
	s.open()
	// What is planned takes none of the budget: nobody knows any more that the tags of the first stage are ours.
	for step, left := range []int{2, 0} {
		w := Wake{Why: "retry", Local: true}
		if step == 0 {
			w = Wake{Why: "start", Resolve: true, Audit: true}
		}
		if _, stepped := s.cycle(w)["many"]; !stepped {
			t.Fatalf("step %d: the set was not stepped", step)
		}
		if n := s.line.progress("many").unjudged(); n != left {
			t.Errorf("step %d: %d are left to be judged, want %d", step, n, left)
		}
	}
	if _, stepped := s.cycle(Wake{Why: "retry", Local: true})["many"]; stepped {
		t.Error("a set is stepped although all of it is judged")
	}
	lines := must(s.line.state.Lines("many"))(t)
	for _, stage := range []mirror.Stage{"snapshot", "staging"} {
		if len(lines[stage]) != len(images) {
			t.Errorf("%d of %d lines stand at %s", len(lines[stage]), len(images), stage)
		}
		for entry, line := range lines[stage] {
			if !line.Proven {
				t.Errorf("%s at %s is not proven", entry, stage)
			}
		}
	}
}
