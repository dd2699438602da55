package plan

import (
	"fmt"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Stale warns of upstream tags that are meant to move and have not for as long as the set says: what is fed by them gets no
// news, and no error says so. The words stay the same from day to day, so that each is told once.
func Stale(set mirror.Set, record mirror.Record, p mirror.Plan, at time.Time) mirror.Plan {
	if set.StaleAfter <= 0 || !set.Follow || set.Packages {
		return p
	}
	pinned := map[string]bool{}
	for _, e := range set.Entries {
		pinned[e.Name] = e.Image.HasDigest() || e.Image.Tag == ""
	}
	for i, a := range p.Actions {
		line, stands := record.At(a.Stage)[a.Key.Entry]
		if a.Kind != mirror.Unchanged || a.Stage != set.Stages.First() || a.Key.Entry == "" || pinned[a.Key.Entry] || !stands || line.Image != a.Image || at.Sub(line.Since) < set.StaleAfter {
			continue
		}
		p.Actions[i].Warnings = append(p.Actions[i].Warnings, fmt.Sprintf("the upstream tag %s has not moved since %s, for longer than staleAfter (%s): see whether it is still published",
			a.Image.WithDigest(mirror.Digest{}), line.Since.UTC().Format(time.DateOnly), set.StaleAfter))
	}
	return p
}
