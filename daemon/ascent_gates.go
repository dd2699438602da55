package daemon

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// gatesOf gives what the gates of the stage say of a promotion as if it were merged now, by entry that moves.
func (l *Line) gatesOf(f *fleet, a ascent, at time.Time) map[string][]mirror.Gate {
	set := a.asked()
	asked := map[string]policy.Asking{}
	for _, m := range a.moves {
		asked[m.Entry] = policy.Asking{At: at, Marked: a.file.Rollback, RequestedBy: a.by}
	}
	facts := policy.Facts{Record: a.record, Asked: map[mirror.Stage]map[string]policy.Asking{a.stage: asked}}
	var actions []mirror.Action
	for _, m := range a.moves {
		if m.New.IsZero() {
			continue // it leaves the stage file; its content and tag stay
		}
		here := a.record.At(a.stage)[m.Entry]
		actions = append(actions, mirror.Action{Kind: mirror.Tag, Key: mirror.Key{Set: set.Name, Entry: m.Entry}, Stage: a.stage, Image: m.New,
			To: l.local.Pointer(set, a.stage, m.Entry, m.New), Old: here.Image.Digest, New: m.New.Digest})
	}
	gates := map[string][]mirror.Gate{}
	for _, action := range f.policy.Gate(mirror.Plan{Set: set.Name, Actions: actions}, set, facts, at).Actions {
		gates[action.Key.Entry] = action.Gates
	}
	return gates
}

// asked gives the set as it would be if the promotion were merged.
func (a ascent) asked() mirror.Set {
	set := a.set
	set.Wanted, set.Listed = map[mirror.Stage][]mirror.Wanted{}, map[mirror.Stage]bool{a.stage: true}
	for stage, lines := range a.set.Wanted {
		set.Wanted[stage], set.Listed[stage] = lines, a.set.Listed[stage] || stage == a.stage
	}
	set.Wanted[a.stage] = nil
	for _, entry := range sortedKeys(a.file.Lines) {
		set.Wanted[a.stage] = append(set.Wanted[a.stage], mirror.Wanted{Entry: entry, Image: a.file.Lines[entry]})
	}
	return set
}

// together gives each gate once for all entries: closed where it is closed for one of them, with the reasons that there
// are and the latest moment at which time opens it.
func together(by map[string][]mirror.Gate) []mirror.Gate {
	all := []mirror.Gate{}
	for _, entry := range sortedKeys(by) {
		for _, g := range by[entry] {
			i := slices.IndexFunc(all, func(o mirror.Gate) bool { return o.Name == g.Name })
			switch {
			case i < 0:
				if !g.Open && len(by) > 1 {
					g.Why = entry + ": " + g.Why
				}
				all = append(all, g)
			case all[i].Open && !g.Open:
				g.Why = fmt.Sprintf("%s: %s", entry, g.Why)
				all[i] = g
			case !all[i].Open && !g.Open && g.Until.After(all[i].Until):
				all[i].Until = g.Until
			case all[i].Open && g.Open:
				all[i].Exempt, all[i].Warning = all[i].Exempt && g.Exempt, cmp.Or(all[i].Warning, g.Warning)
			}
		}
	}
	return all
}
