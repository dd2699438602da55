package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/poundlock/poundlock/daemon"
)

// waitingLines tells, for each set, what was merged and waits beside what stands, and what automation leaves as it is.
func waitingLines(sets []daemon.SetStatus, now time.Time) (lines []string) {
	for _, s := range sets {
		var text []string
		for _, w := range s.Waiting {
			line := fmt.Sprintf("  ~ %s waits: %s: %s", w.Stage, namesText(w.Entries), w.Reason)
			if asked := askedText(w.Asked, w.Proposal); asked != "" {
				line += "; asked by " + asked
			}
			if !now.IsZero() && w.Until.After(now) {
				line += ", in " + age(w.Until, now)
			}
			text = append(text, clean(line))
		}
		for _, h := range s.Holds {
			place := string(h.Stage)
			if h.Entry != "" {
				place += " " + h.Entry
			}
			text = append(text, clean(fmt.Sprintf("  = %s %s", place, h.Hold)))
		}
		if len(text) > 0 {
			lines = append(lines, "set "+clean(s.Set)+":\n"+strings.Join(text, "\n"))
		}
	}
	return lines
}

// namesText names the first few of some entries.
func namesText(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// askedText names what asks for a promotion; "" where nothing is known to.
func askedText(commit string, proposal int) string {
	text := ""
	if proposal > 0 {
		text = fmt.Sprintf("#%d", proposal)
	}
	if commit != "" {
		text = strings.TrimSpace(text + " commit " + commit[:min(12, len(commit))])
	}
	return text
}
