package policy

import (
	"cmp"
	"slices"

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
