package plan

import (
	"fmt"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// kept gives the versions of packages that stand at a stage and that its file lists no more, each as refused: a package
// never disappears from a channel because a line is missing. Policy says which of them may leave all the same.
func (c *computation) kept(stage mirror.Stage) (actions []mirror.Action) {
	if !c.set.Packages {
		return nil
	}
	listed := map[string]bool{}
	for _, line := range c.set.Wanted[stage] {
		listed[line.Entry] = true
	}
	gone := unlisted(c.rec, stage, listed)
	slices.Sort(gone)
	file := mirror.Position{File: fmt.Sprintf("stages/%s/%s.yaml", c.set.Name, stage)}
	for _, entry := range gone {
		actions = append(actions, refuse(c.action(stage, entry, c.rec.At(stage)[entry].Image, file),
			mirror.Because(mirror.Removes, "it stands here and the stage file no longer lists it; a version of a package does not leave %s by that", stage)))
	}
	return actions
}

// leaves says whether an entry that its stage file lists no more may leave the stage. Of packages only those do that policy
// names.
func leaves(set mirror.Set, p mirror.Plan, stage mirror.Stage, entry string) bool {
	return !set.Packages || p.Released[stage][entry]
}
