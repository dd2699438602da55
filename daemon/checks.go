package daemon

import (
	"fmt"
	"slices"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
)

// The checks that are told on commits: on the head of a proposal what a merge would do and what policy says of it, on
// the commit of a merge what became of it.
const (
	checkPlan   = "poundlock/plan"
	checkPolicy = "poundlock/policy"
	checkSync   = "poundlock/sync"
)

// ofPlan are the reasons of refusals that no policy has a word in: they are of how things lie.
var ofPlan = []mirror.ReasonCode{mirror.Collision, mirror.ForeignTag, mirror.Incomplete, mirror.NotWhole, mirror.BasedOnMoved, mirror.LocalFailed}

// checks gives what is told on the head of the proposal: what a merge would do, and what policy says of it.
func (v review) checks() [2]forge.Status {
	does, says := forge.Status{Context: checkPlan, Result: forge.Success}, forge.Status{Context: checkPolicy, Result: forge.Success}
	if len(v.problems) > 0 {
		first := v.problems[0]
		does.Result, does.Text = forge.Failure, oneLine(fmt.Sprintf("%s: %s %s %s", count(len(v.problems), "problem"), first.Code, first.Where, first.What))
		says.Result, says.Text = forge.Failure, "not judged: see "+checkPlan
		return [2]forge.Status{does, says}
	}
	if len(v.touched) == 0 {
		does.Text, says.Text = "changes nothing that is mirrored", "nothing to be judged"
		return [2]forge.Status{does, says}
	}
	type gate struct {
		set, name string
		stage     mirror.Stage
	}
	var broken, unknown, refused, awaits, times []string
	told := map[gate]bool{} // one gate for all entries that wait for it
	for _, a := range v.rows() {
		text := fmt.Sprintf("%s at %s: %s", a.Key, a.Stage, a.Reason)
		switch {
		case a.Kind == mirror.Failed:
			unknown = append(unknown, text)
		case a.Kind == mirror.Missing, a.Kind == mirror.Refuse && slices.Contains(ofPlan, a.Reason.Code):
			broken = append(broken, text)
		case a.Kind == mirror.Refuse && a.Reason.Code != mirror.Held && a.Reason.Code != mirror.Paused:
			refused = append(refused, text)
		}
		for _, g := range a.Gates {
			switch at := (gate{a.Key.Set, g.Name, a.Stage}); {
			case g.Open:
			case asksOthers(g.Code):
				if !told[at] {
					awaits, told[at] = append(awaits, g.Name+": "+g.Why), true
				}
			case g.Until.IsZero():
			default:
				times = append(times, g.Name+": "+g.Why)
			}
		}
	}
	does.Text = v.plan.Totals.Counts()
	switch {
	case len(broken) > 0:
		does.Result, does.Text = forge.Failure, broken[0]+more(broken)
	case len(unknown) > 0:
		does.Result, does.Text = forge.Pending, unknown[0]+more(unknown)
	}
	says.Text = "all that would move is admitted"
	switch {
	case len(refused) > 0:
		says.Result, says.Text = forge.Failure, "refused: "+refused[0]+more(refused)
	case len(awaits) > 0:
		says.Result, says.Text = forge.Pending, "waits for "+awaits[0]+more(awaits)
	case len(times) > 0:
		says.Text = "admitted; after the merge it waits for " + times[0]
	}
	does.Text, says.Text = oneLine(does.Text), oneLine(says.Text)
	return [2]forge.Status{does, says}
}

// oneLine makes text from elsewhere fit for a check, which everybody may read.
func oneLine(s string) string { return mirror.OneLine(wire.Mask(s)) }
