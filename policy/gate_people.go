package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// peopleGates are those that people, checks and others outside open.
func (m promotion) peopleGates(asking Asking) (gates []mirror.Gate) {
	if len(m.approvals) > 0 {
		gates = append(gates, m.approved(asking))
	}
	if len(m.statuses) > 0 {
		gates = append(gates, m.checked(asking))
	}
	if len(m.calls) > 0 {
		gates = append(gates, m.allowed(asking))
	}
	return gates
}

func (m promotion) approved(asking Asking) mirror.Gate {
	switch {
	case asking.Unknown != "":
		return closed("approvals", mirror.NotKnown, "who approved it is not known: %s", mirror.OneLine(asking.Unknown))
	case asking.Commit != "" && asking.Proposal == 0:
		return closed("approvals", mirror.NotApproved, "it came by a direct push, which nobody can approve; ask for it by a proposal")
	}
	why := ""
	for _, one := range m.approvals {
		by := one.counting(asking)
		need, of := one.Count, "approvals"
		if asking.Touched {
			need++
		}
		if one.Owners {
			of += " by owners"
		}
		text := fmt.Sprintf("%d of %d %s", len(by), need, of)
		if len(by) > 0 {
			text += ": " + strings.Join(by, ", ")
		}
		if asking.Touched {
			text += "; one more than else, since people pushed to it"
		}
		if len(by) < need {
			return closed("approvals", mirror.NotApproved, "%s", text)
		}
		why = cmp.Or(why, text)
	}
	return open("approvals", "%s", why)
}

// counting gives those whose approvals count, once each: not who wrote the proposal, and not who asked for it.
func (a approvals) counting(asking Asking) (by []string) {
	same := func(x string) func(string) bool { return func(y string) bool { return strings.EqualFold(x, y) } }
	for _, one := range asking.Approvals {
		own := strings.EqualFold(one.By, asking.Author) || strings.EqualFold(one.By, asking.RequestedBy)
		if one.By == "" || own || a.Owners && !one.Owner || slices.ContainsFunc(by, same(one.By)) {
			continue
		}
		by = append(by, one.By)
	}
	for i := range by {
		by[i] = mirror.OneLine(by[i])
	}
	slices.Sort(by)
	return by
}

func (m promotion) checked(asking Asking) mirror.Gate {
	for _, name := range m.statuses {
		switch good, ended := asking.Statuses[name]; {
		case good:
		case ended:
			return closed("statuses", mirror.NotChecked, "%s has failed", name)
		case asking.Unknown != "":
			return closed("statuses", mirror.NotKnown, "whether %s succeeded is not known: %s", name, mirror.OneLine(asking.Unknown))
		case asking.Running[name]:
			return closed("statuses", mirror.NotChecked, "%s has not ended", name)
		default:
			return closed("statuses", mirror.NotChecked, "nobody has set %s yet", name)
		}
	}
	return open("statuses", "%s succeeded", strings.Join(m.statuses, ", "))
}

func (m promotion) allowed(asking Asking) mirror.Gate {
	var said []string
	for _, name := range m.calls {
		answer, asked := asking.Answers[name]
		reason := mirror.OneLine(answer.Reason)
		switch {
		case !asked:
			return closed("calls", mirror.NotKnown, "%s was not asked yet", name)
		case answer.Unknown != "":
			return closed("calls", mirror.NotKnown, "%s gave no answer: %s", name, mirror.OneLine(answer.Unknown))
		case !answer.Allow:
			return closed("calls", mirror.NotAllowed, "%s says no: %s", name, cmp.Or(reason, "it gave no reason"))
		}
		said = append(said, strings.TrimSuffix(name+" says yes: "+reason, ": "))
	}
	return open("calls", "%s", strings.Join(said, "; "))
}
