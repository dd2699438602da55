package plan

import (
	"errors"
	"fmt"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestUnfetched_SaysWhatIsInTheWayOfAPackage(t *testing.T) {
	bad := mirror.Problem{Code: "PKG006", What: "no manifest.yml", Why: "it is no package", Fix: "build it again"}
	for name, tt := range map[string]struct {
		err  error
		kind mirror.Kind
		code mirror.ReasonCode
		fix  string
	}{
		"never seen":     {fmt.Errorf("resolve: %w", mirror.ErrNotFetched), mirror.Fetch, mirror.NotFetched, ""},
		"seen and bad":   {fmt.Errorf("%w: %w", mirror.ErrRefused, bad), mirror.Refuse, mirror.BadContent, "build it again"},
		"cannot be had":  {errors.New("503"), mirror.Failed, mirror.UpstreamFailed, ""},
		"a bad question": {bad, mirror.Failed, mirror.UpstreamFailed, ""},
	} {
		a := unfetched(mirror.Action{Kind: mirror.Failed, Reason: mirror.Because(mirror.UpstreamFailed, "x")}, tt.err)
		if a.Kind != tt.kind || a.Reason.Code != tt.code || a.Reason.Fix != tt.fix {
			t.Errorf("%s: %s %+v", name, a.Kind, a.Reason)
		}
	}
	d := NewDocument(Sizes{}, mirror.Plan{Set: "elastic", Actions: []mirror.Action{{Kind: mirror.Fetch}}})
	if d.Totals.Fetch != 1 || !d.Totals.Changes() || d.Totals.Unchanged != 0 || d.Totals.Counts() != "1 to fetch, 0 unchanged" {
		t.Errorf("totals: %+v, %q", d.Totals, d.Totals.Counts())
	}
}
