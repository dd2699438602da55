package mirror

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// KeptLeft is how many entries that left a stage the record remembers there. Those that left first are forgotten first:
// people return to what stood last, and a set whose tags change for years must not grow for as long.
const KeptLeft = 1000

// Past gives what is remembered of an entry at a stage: its line or, where it left, its past, which has no image.
func (r Record) Past(stage Stage, entry string) Line {
	if line, stands := r.Stages[stage][entry]; stands {
		return line
	}
	return r.Left[stage][entry]
}

// Stood says whether image stands at a stage or stood there within what is kept.
func (r Record) Stood(stage Stage, entry string, image Reference) bool {
	past := r.Past(stage, entry)
	return !image.IsZero() && (past.Image == image || slices.Contains(past.Was, image))
}

// Known visits all images that stand or stood anywhere, as far as that is kept. The places have no set.
func (r Record) Known() iter.Seq2[Place, Reference] {
	return func(yield func(Place, Reference) bool) {
		for _, stages := range []map[Stage]Standing{r.Stages, r.Left} {
			for stage, standing := range stages {
				for entry, line := range standing {
					for _, image := range slices.Concat([]Reference{line.Image}, line.Was) {
						if !image.IsZero() && !yield(Place{Stage: stage, Entry: entry}, image) {
							return
						}
					}
				}
			}
		}
	}
}

// Put makes line stand for an entry at a stage, as Standing.Put does, also for one that had left it: its past counts
// again.
func (r Record) Put(stage Stage, entry string, line Line) {
	if r.Stages[stage] == nil {
		r.Stages[stage] = Standing{}
	}
	standing := r.Stages[stage]
	_, stands := standing[entry]
	if past, left := r.Left[stage][entry]; left && !stands {
		standing[entry] = past
		line.Again = true
	}
	delete(r.Left[stage], entry)
	standing.Put(entry, line)
}

// Leave takes an entry out of a stage and keeps what is known to have stood there, the longest gone of all least.
func (r *Record) Leave(stage Stage, entry string, at time.Time) {
	line, stands := r.Stages[stage][entry]
	if !stands {
		return
	}
	delete(r.Stages[stage], entry)
	past := Line{Since: at.UTC().Truncate(time.Second), Vouched: map[Digest]string{}, Recorded: line.Recorded}
	was, claimed := line.before()
	past.Was, past.Claimed = was[:min(len(was), KeptReferences)], claimed[:min(len(claimed), KeptReferences)]
	for _, image := range past.Was {
		if commit := line.Vouches(image); commit != "" {
			past.Vouched[image.Digest] = commit
		}
	}
	past.Stood = line.stood(past)
	if len(past.Was)+len(past.Recorded) == 0 {
		return // nothing of it would ever be believed
	}
	if r.Left == nil {
		r.Left = map[Stage]Standing{}
	}
	if r.Left[stage] == nil {
		r.Left[stage] = Standing{}
	}
	r.Left[stage][entry] = past
}

// Forget forgets what left first where a stage remembers more than KeptLeft.
func (r Record) Forget() {
	for _, left := range r.Left {
		if len(left) <= KeptLeft {
			continue
		}
		first := slices.SortedFunc(maps.Keys(left), func(a, b string) int {
			return cmp.Or(left[a].Since.Compare(left[b].Since), strings.Compare(a, b))
		})
		for _, entry := range first[:len(left)-KeptLeft] {
			delete(left, entry)
		}
	}
}
