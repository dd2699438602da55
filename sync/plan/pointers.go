package plan

import (
	"maps"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Pointers lists the local tags that Compute wants to know, each once: one for every entry of a stage, so
// that an audit of what stands costs one request per entry. For a promotion that is still to be made the tag
// of the stage below comes on top, from which its content can be taken.
func Pointers(local mirror.Local, set mirror.Set, candidates []mirror.Candidate, rec mirror.Record) []mirror.Reference {
	var pointers []mirror.Reference
	seen := map[mirror.Reference]bool{}
	add := func(stage mirror.Stage, entry string, image mirror.Reference) {
		if p := local.Pointer(set, stage, entry, image); p.Tag != "" && !seen[p] {
			seen[p] = true
			pointers = append(pointers, p)
		}
	}
	// What stands and is not wanted any more is asked too: only the registry can confirm it.
	recorded := func(stage mirror.Stage) {
		for _, entry := range slices.Sorted(maps.Keys(rec.At(stage))) {
			add(stage, entry, rec.At(stage)[entry].Image)
		}
	}
	for _, c := range candidates {
		if c.Err == nil {
			add(set.Stages.First(), c.Entry.Name, c.Image)
		}
	}
	recorded(set.Stages.First())
	for _, stage := range set.Stages.Upper() {
		below, _ := set.Stages.Below(stage)
		for _, line := range set.Wanted[stage] {
			add(stage, line.Entry, line.Image)
			if rec.At(stage)[line.Entry].Image != line.Image {
				add(below, line.Entry, line.Image)
			}
		}
		recorded(stage)
	}
	return pointers
}
