package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

// What was merged and waits is shown beside what stands, with who asks for it, what it waits for and until when.
func TestStatus_ShowsWhatWaitsAndWhatIsHeld(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	set := daemon.SetStatus{Set: "ess",
		Waiting: []daemon.WaitStatus{{Stage: "production", Entries: []string{"a", "b", "c", "d\x1b[31m"}, Code: mirror.Soaking, Reason: "it has to stand in staging for 24h",
			Until: now.Add(5 * time.Hour), Asked: strings.Repeat("c0ffee", 7), Proposal: 7}},
		Holds: []daemon.HoldStatus{{Stage: "production", Entry: "a", Hold: mirror.Hold{Reason: "rolled back", By: "rollback"}}}}
	lines := waitingLines([]daemon.SetStatus{{Set: "idle"}, set}, now)
	want := "set ess:\n  ~ production waits: a, b, c and 1 more: it has to stand in staging for 24h; asked by #7 commit c0ffeec0ffee, in 5h\n  = production a held by rollback: rolled back"
	if len(lines) != 1 || lines[0] != want {
		t.Errorf("got %q\nwant %q", lines, want)
	}
}
