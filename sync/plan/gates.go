package plan

import (
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Gates tells the gates of a promotion in one line: the open ones by their name, those that are closed with the reason
// where the action does not give it. It is "" where there is nothing that people configured, and no other gate is
// closed than the one that the action's own reason tells.
func Gates(a mirror.Action) string {
	var told []string
	more := false
	for _, g := range a.Gates {
		own := g.Name == "denied" || g.Name == "previous" // every promotion has these two
		switch {
		case !g.Open:
			text := g.Name + " ✗"
			if g.Why != a.Reason.Detail {
				text += " " + g.Why
			}
			told, more = append(told, text), more || !own || g.Why != a.Reason.Detail
		case g.Name == "denied":
		case g.Exempt:
			told, more = append(told, g.Name+" ✔ (rollback)"), true
		default:
			told, more = append(told, g.Name+" ✔"), more || !own
		}
	}
	if !more {
		return ""
	}
	return "gates: " + strings.Join(told, ", ")
}
