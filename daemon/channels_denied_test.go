package daemon

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
)

// holds lists what a channel of the set elastic serves.
func (s *packageSite) holds(channel string) string {
	s.t.Helper()
	at := epr.Name{Set: "elastic", Channel: channel}.In(s.line.local.Host, s.line.local.Prefix)
	tagged, err := s.line.registry.Resolve(s.t.Context(), at)
	if err != nil {
		return "nothing"
	}
	var names []string
	for _, i := range must(epr.ReadContents(s.t.Context(), s.line.registry, at.WithDigest(tagged.Digest)))(s.t).Items {
		names = append(names, i.Package.String())
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestDenied_IsServedNoLonger(t *testing.T) {
	t.Parallel()
	s := frozenSite(t)
	s.promotes(PromoteOrder{Set: "elastic", Stage: "production", Freeze: "9.3.0"}, PromotedCommitted)
	s.promotes(PromoteOrder{Set: "elastic", Stage: "staging", Entries: []string{"system"}}, PromotedCommitted)
	s.sync()
	if got := s.holds("9.3.0") + "; " + s.holds("staging"); got != "nginx-1.0.0; nginx-1.0.0 system-2.0.0" {
		t.Fatalf("before: %s", got)
	}
	bad := must(s.line.state.Record("elastic"))(t).At("production")["nginx-1.0.0"].Image
	s.commit("denied", map[string]string{"desired/policy.yaml": strings.Replace(makerPolicy, "rules:", fmt.Sprintf("deny: {digests: [%q]}\nrules:", bad.Digest), 1)})
	s.trySync()
	for channel, want := range map[string]string{"snapshot": "nginx-1.1.0 system-2.0.0", "staging": "system-2.0.0", "production": "", "9.3.0": ""} {
		if got := s.holds(channel); got != want {
			t.Errorf("%s serves %q, want %q", channel, got, want)
		}
	}
	if !strings.Contains(s.stands("production"), "nginx-1.0.0") {
		t.Error("it stands no longer: nobody took it away")
	}

	// A new frozen channel that lists it is refused, whoever wrote the document.
	if p, err := s.line.Promote(t.Context(), PromoteOrder{Set: "elastic", Stage: "production", Freeze: "9.4.0", Way: ByCommit}); err != nil || p.Outcome == PromotedCommitted || !strings.Contains(strings.Join(p.Why, " "), "deny.digests") {
		t.Errorf("frozen: %+v, %v", p, err)
	}
	s.commit("by hand", map[string]string{"stages/elastic/frozen/9.4.0.yaml": "version: 1\nfrom: production\nentries:\n  nginx-1.0.0: " + bad.String() + "\n"})
	o, _ := s.trySync()
	if !slices.ContainsFunc(o["elastic"].Plan.Actions, func(a mirror.Action) bool {
		return a.Stage == "9.4.0" && a.Reason.Code == mirror.Denied
	}) || s.holds("9.4.0") != "nothing" {
		t.Errorf("the plan says %+v, it serves %s", o["elastic"].Plan.Actions, s.holds("9.4.0"))
	}

	// The deny is lifted: what stands is served again.
	s.commit("lifted", map[string]string{"desired/policy.yaml": makerPolicy})
	s.trySync()
	if got := s.holds("9.3.0") + "; " + s.holds("production"); got != "nginx-1.0.0; nginx-1.0.0" {
		t.Errorf("lifted: %s", got)
	}
}
