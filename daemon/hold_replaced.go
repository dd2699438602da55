package daemon

import (
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// rolledBack gives the rollbacks of what was moved and, beside each, the entries that it takes the place of: in a set
// whose entries are named by their tags, going back means that another entry comes and the newer one leaves. Both are
// held, or automation would bring the newer one again.
func rolledBack(set mirror.Set, before mirror.Record, moved []mirror.Done) (back []mirror.Done) {
	for _, d := range moved {
		if d.Err != nil || !d.Action.Rollback {
			continue
		}
		back = append(back, d)
		stage := d.Action.Stage
		for _, entry := range sortedKeys(before.At(stage)) {
			image := before.At(stage)[entry].Image
			listed := slices.ContainsFunc(set.Wanted[stage], func(w mirror.Wanted) bool { return w.Entry == entry })
			if listed || image.Name() != d.Action.Image.Name() {
				continue
			}
			replaced := d
			replaced.Action.Key.Entry = entry
			back = append(back, replaced)
		}
	}
	return back
}
