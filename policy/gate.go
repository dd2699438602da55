package policy

import (
	"github.com/poundlock/poundlock/internal/mirror"
)

// Gate refuses the copies and moves of a plan that may not happen whatever is signed: images on the deny
// list, at every stage, and above the first stage those that stood neither in the stage below nor before
// in this very stage, which would be a rollback. It is pure; record must hold only lines that are trusted,
// since it is believed.
func (p Policy) Gate(pl mirror.Plan, set mirror.Set, record mirror.Record) mirror.Plan {
	actions := make([]mirror.Action, len(pl.Actions))
	for i, a := range pl.Actions {
		if reason, ok := p.closed(a, set, record); ok {
			a.Kind, a.Reason = mirror.Refuse, reason
		}
		actions[i] = a
	}
	pl.Actions = actions
	return pl
}

// closed says why the gate is closed for an action.
func (p Policy) closed(a mirror.Action, set mirror.Set, record mirror.Record) (mirror.Reason, bool) {
	if a.Kind != mirror.Copy && a.Kind != mirror.Tag {
		return mirror.Reason{}, false
	}
	if why := p.denies(a.Image); why != "" {
		return mirror.Because(mirror.Denied, "%s", why), true
	}
	if a.Stage == set.Stages.First() {
		return mirror.Reason{}, false
	}
	below, ok := set.Stages.Below(a.Stage)
	switch {
	case !ok:
		return mirror.Because(mirror.NotBelow, "set %s has no stage %q", set.Name, a.Stage), true
	case record.At(below).Stood(a.Key.Entry, a.Image), record.At(a.Stage).Stood(a.Key.Entry, a.Image):
		return mirror.Reason{}, false
	}
	return mirror.Because(mirror.NotBelow, "it never stood in %s; promote it there first", below), true
}
