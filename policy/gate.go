package policy

import (
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Facts are what the record, Git, the forge and others say of what a plan would move.
type Facts struct {
	Record mirror.Record                      // only lines that are trusted: it is believed
	Asked  map[mirror.Stage]map[string]Asking // by stage and entry; only of what is to move above the first stage
}

// Asking is how a line came into a stage file.
type Asking struct {
	Commit      string    // of the branch, that brought the line; "" while it is only proposed
	At          time.Time // when it was committed
	Marked      string    // why it is a rollback, as the stage file says; "" where it does not
	Proposal    int       // that brought the commit; 0 for none
	Author      string    // of the proposal
	RequestedBy string    // who asked the daemon for it
	Approvals   []Approval
	Statuses    map[string]bool   // by context: whether the check succeeded; absent where it has not ended
	Answers     map[string]Answer // by the name of the call
	Unknown     string            // why the forge could not be asked; what needs it stays closed
}

// Approval is somebody who approved the stage file as it was merged.
type Approval struct {
	By    string // login
	Owner bool   // CODEOWNERS names them for the stage file
}

// Answer is what somebody outside says of a promotion.
type Answer struct {
	Allow   bool
	Reason  string
	Unknown string // why there is no answer
}

// Wants is what the gates of a stage need to know besides the record.
type Wants struct {
	Proposal bool     // approvals: who approved it
	Owners   bool     // whether CODEOWNERS names them
	Statuses []string // contexts of commit statuses
	Calls    []string // names of those who are asked
}

// Gate refuses the copies and moves of a plan that may not happen whatever is signed: images on the deny
// list, at every stage, and above the first stage those that stood neither in the stage below nor before
// in this very stage, which would be a rollback. It is pure; record must hold only lines that are trusted,
// since it is believed.
func (p Policy) Gate(pl mirror.Plan, set mirror.Set, facts Facts, at time.Time) mirror.Plan {
	record := facts.Record
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
