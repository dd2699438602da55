package daemon

import (
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// What could not be asked when a plan was made is left out by it, and does not make it stale once it can be.
func TestCompare_LeavesOutWhatWasNotKnown(t *testing.T) {
	key, digest := mirror.Key{Set: "web", Entry: "web"}, mirror.DigestOf([]byte("x"))
	then := plan.Set{Set: "web", Actions: []plan.Row{{Action: mirror.Action{Key: key, Stage: "dev", Kind: mirror.Failed}}}}
	now := plan.Set{Set: "web", Actions: []plan.Row{{Action: mirror.Action{Key: key, Stage: "dev", Kind: mirror.Copy, New: digest}}}}
	compare(then, now, func(_ mirror.Position, format string, args ...any) { t.Errorf(format, args...) })
}
