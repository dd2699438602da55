package plan

import (
	"github.com/poundlock/poundlock/internal/mirror"
)

// Hold keeps the entries of an atomic set together above the first stage: where one of a stage is refused,
// missing or failed, or was to change and is left out, no tag of that stage moves. It is applied after policy
// had its say, and again gives the plan's After.
func Hold(set mirror.Set, p mirror.Plan) mirror.Plan {
	actions := append([]mirror.Action(nil), p.Actions...)
	for _, stage := range set.Stages.Upper() {
		if !set.Atomic {
			break
		}
		var waits, left []string
		for _, a := range actions {
			if a.Stage == stage && a.Kind == mirror.Skip && a.Old != a.New {
				left = append(left, a.Key.Entry)
			}
			if a.Stage == stage && (a.Kind == mirror.Refuse || a.Kind == mirror.Missing || a.Kind == mirror.Failed) {
				waits = append(waits, a.Key.Entry)
			}
		}
		for i, a := range actions {
			switch {
			case a.Stage != stage || !changes(a):
			case len(left) > 0:
				actions[i] = refuse(a, mirror.Because(mirror.NotWhole, "the set moves together at this stage, and %s not selected", are(left)))
			case len(waits) > 0 && a.Kind == mirror.Tag:
				actions[i] = refuse(a, mirror.Because(mirror.Held, "the set moves together and %s cannot", names(waits)))
			}
		}
	}
	p.Actions = actions
	p.After = after(set, p)
	return p
}

// Ready gives the tag actions that may move now. Content that is still to be copied holds back every tag of
// its stage in an atomic set: a half release is one that nobody tested.
func Ready(set mirror.Set, p mirror.Plan) []mirror.Action {
	waits := map[mirror.Stage]bool{}
	for _, a := range p.Actions {
		if set.Atomic && a.Stage != set.Stages.First() && a.Kind == mirror.Copy {
			waits[a.Stage] = true
		}
	}
	var ready []mirror.Action
	for _, a := range Hold(set, p).Actions {
		if a.Kind == mirror.Tag && !waits[a.Stage] {
			ready = append(ready, a)
		}
	}
	return ready
}

func are(all []string) string {
	if len(all) == 1 {
		return all[0] + " is"
	}
	return names(all) + " are"
}
