package daemon

import (
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// upstreamBecomes replaces a package upstream by other bytes under the same version.
func (s *packageSite) upstreamBecomes(seed string) {
	s.t.Helper()
	must(0, s.epr.Put(testenv.EPRPackage{Name: "nginx", Version: "1.20.0", Seed: seed, Description: seed}))(s.t)
}

// TestChannels_OverwritingAVersion takes new bytes of one version through all stages: the first takes them, the second notes
// it, and the last refuses them and keeps what it has, also when its line is gone.
func TestChannels_OverwritingAVersion(t *testing.T) {
	t.Parallel()
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.20.0"})
	s.open()
	s.sync()
	promote := func(stage mirror.Stage) mirror.Plan {
		t.Helper()
		lines := []string{"version: 1", "entries:"}
		below, _ := mirror.Stages(mirror.DefaultStages).Below(stage)
		record := must(s.line.state.Record("elastic"))(t)
		for entry, line := range record.At(below) {
			lines = append(lines, "  "+entry+": "+line.Image.String())
		}
		s.commit("ask", map[string]string{"stages/elastic/" + string(stage) + ".yaml": strings.Join(lines, "\n") + "\n"})
		return s.sync()["elastic"].Plan
	}
	promote("staging")
	promote("production")
	if s.stands("production") != "nginx-1.20.0" {
		t.Fatalf("in production: %q", s.stands("production"))
	}
	first := must(s.line.state.Record("elastic"))(t).At("production")["nginx-1.20.0"].Image
	s.upstreamBecomes("again")
	s.sync()
	if now := must(s.line.state.Record("elastic"))(t).At("snapshot")["nginx-1.20.0"].Image; now == first || now.IsZero() {
		t.Fatalf("the first stage did not follow: %s", now)
	}
	promote("staging")
	events := must(s.line.state.Events(100))(t)
	if !slices.ContainsFunc(events, func(e Event) bool {
		return e.Type == EventWarned && e.Stage == "staging" && strings.Contains(e.Reason, "other bytes take the place of nginx-1.20.0")
	}) {
		t.Errorf("nothing notes that staging has other bytes now: %+v", events)
	}
	p := promote("production")
	refused := kinds(p, mirror.Refuse)
	if refused["production/nginx-1.20.0"] != mirror.Overwrites {
		t.Errorf("refused: %v", refused)
	}
	s.commit("ask", map[string]string{"stages/elastic/production.yaml": "version: 1\nentries: {}\n"})
	refused = kinds(s.sync()["elastic"].Plan, mirror.Refuse)
	if refused["production/nginx-1.20.0"] != mirror.Removes || must(s.line.state.Record("elastic"))(t).At("production")["nginx-1.20.0"].Image != first {
		t.Errorf("refused: %v; in production: %q", refused, s.stands("production"))
	}
}
