package policy

import (
	"cmp"
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// namedStage is a stage that a document names, and where.
type namedStage struct {
	stage mirror.Stage
	where mirror.Position
}

// UnknownStages tells of the stages that the floor names and that known does not have, each once, in the order of the
// document. One floor may be for several fleets, so that this is no mistake; but a rule for a misspelt stage holds
// nowhere.
func (p Policy) UnknownStages(known []mirror.Stage) (all mirror.Problems) {
	told := slices.Clone(known)
	var names []string
	for _, stage := range known {
		names = append(names, string(stage))
	}
	for _, l := range p.layers {
		inOrder := slices.SortedFunc(slices.Values(l.named), func(a, b namedStage) int {
			return cmp.Or(a.where.Line-b.where.Line, a.where.Column-b.where.Column)
		})
		for _, n := range inOrder {
			if l.floor && !slices.Contains(told, n.stage) {
				told = append(told, n.stage)
				all.Add("POL032", n.where, didYouMean(string(n.stage), names), "the floor names the stage %q, which no set of this fleet has", n.stage)
				all[len(all)-1].Why = "what it asks at that stage is asked of nothing here"
			}
		}
	}
	return all
}

// UnknownSets tells of the globs in gates of the floor that match none of the sets, in the order of the document. As
// with stages that is no mistake; but a gate for a misspelt set guards nothing.
func (p Policy) UnknownSets(sets []mirror.Set) (all mirror.Problems) {
	var known []string
	for _, set := range sets {
		known = append(known, set.Name)
	}
	for _, l := range p.layers {
		for _, g := range l.gates {
			for i, pattern := range g.Sets {
				if l.floor && !slices.ContainsFunc(known, func(set string) bool { return doublestar.MatchUnvalidated(pattern, set) }) {
					all.Add("POL071", g.sets[i], didYouMean(pattern, known), "a gate of the floor is for %q, which no set of this fleet matches", pattern)
					all[len(all)-1].Why = "what it asks is asked of nothing here"
				}
			}
		}
	}
	return all
}
