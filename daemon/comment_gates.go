package daemon

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// gates writes the gates of each set and stage with what is missing; entries of which a gate says the same share it.
func (v review) gates(s *sheet, rows []plan.Row) {
	type group struct {
		set   string
		stage mirror.Stage
	}
	type said struct {
		gate    mirror.Gate
		entries []string
	}
	groups, order := map[group][]said{}, []group{}
	of := map[group]int{} // entries
	for _, a := range rows {
		at := group{a.Key.Set, a.Stage}
		if len(a.Gates) == 0 {
			continue
		}
		if of[at]++; of[at] == 1 {
			order = append(order, at)
		}
		for _, g := range a.Gates {
			i := slices.IndexFunc(groups[at], func(o said) bool { return o.gate == g })
			if i < 0 {
				i = len(groups[at])
				groups[at] = append(groups[at], said{gate: g})
			}
			groups[at][i].entries = append(groups[at][i].entries, a.Key.Entry)
		}
	}
	for _, at := range order {
		all := groups[at]
		slices.SortStableFunc(all, func(a, b said) int { return cmp.Compare(openness(a.gate), openness(b.gate)) })
		s.part(fmt.Sprintf("\n#### Gates of %s at %s\n\n", fit(at.set), fit(string(at.stage))))
		for _, one := range all {
			s.add(gateItem(one.gate, one.entries, of[at]))
		}
	}
}

func openness(g mirror.Gate) int {
	if g.Open {
		return 1
	}
	return 0
}

func gateItem(g mirror.Gate, entries []string, of int) string {
	mark, word := "✔", "open"
	switch {
	case !g.Open:
		mark, word = "✘", "closed"
	case g.Exempt:
		word = "open, a rollback"
	case g.Warning != "":
		mark = "⚠"
	}
	text := fmt.Sprintf("- %s **%s** %s: %s", mark, fit(g.Name), word, fit(g.Why))
	if g.Warning != "" {
		text += "; " + fit(g.Warning)
	}
	if until := g.Until.UTC().Format(time.RFC3339); !g.Open && !g.Until.IsZero() && !strings.Contains(g.Why, until) {
		text += ", until " + until
	}
	if len(entries) < of {
		const shown = 5
		names := entries[:min(shown, len(entries))]
		text += " (" + fit(strings.Join(names, ", "))
		if len(entries) > shown {
			text += fmt.Sprintf(" and %d more", len(entries)-shown)
		}
		text += ")"
	}
	return text + "\n"
}
