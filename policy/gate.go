package policy

import (
	"cmp"
	"slices"
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
	Touched     bool      // people pushed to the daemon's proposal: it takes one approval more
	Approvals   []Approval
	Statuses    map[string]bool   // by context: whether the check succeeded; absent where it has not ended
	Running     map[string]bool   // the checks that somebody set and that have not ended
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

// Gate refuses the copies and moves of a plan that may not happen whatever is signed: images on the deny list, at
// every stage, and above the first stage what would change there while one of its gates is closed. At a first stage,
// where nothing can be asked for, a gate is closed: a set does not get around it by leaving out the stages below. What was looked at
// carries all its gates with their reasons. It is pure; facts.Record must hold only lines that are trusted, since it
// is believed, and set.Wanted what each stage is to carry.
func (p Policy) Gate(pl mirror.Plan, set mirror.Set, facts Facts, at time.Time) mirror.Plan {
	pl.Actions = slices.Clone(pl.Actions)
	pl = p.release(pl, set, at)
	stages := map[mirror.Stage]promotion{}
	for i, a := range pl.Actions {
		if a.Kind != mirror.Copy && a.Kind != mirror.Tag {
			continue
		}
		if _, ok := stages[a.Stage]; !ok {
			stages[a.Stage] = p.promotion(set, a.Stage, facts, pl.Before, at)
		}
		pl.Actions[i] = p.gated(a, stages[a.Stage])
	}
	return pl
}

// gated gives an action with its gates, refused where one of them is closed.
func (p Policy) gated(a mirror.Action, m promotion) mirror.Action {
	why := p.denies(a.Image)
	switch first := a.Stage == m.set.Stages.First(); {
	case why != "" && (first || !m.changes(a.Key.Entry, a.Image)):
		a.Kind, a.Reason = mirror.Refuse, mirror.Because(mirror.Denied, "%s", why)
		return a
	case m.below == "" && !first:
		a.Kind, a.Reason = mirror.Refuse, mirror.Because(mirror.NotBelow, "set %s has no stage %q", m.set.Name, a.Stage)
		return a
	case !m.changes(a.Key.Entry, a.Image):
		return a
	case first && m.guarded():
		a.Kind, a.Reason = mirror.Refuse, mirror.Because(mirror.NotBelow, "a gate guards stage %s, which set %s fills from upstream; put a stage below it", a.Stage, m.set.Name)
		return a
	case first:
		return a
	}
	asking := m.asked[a.Key.Entry]
	a.Gates, a.Asked, a.Proposal, a.Rollback = p.gates(a, m), asking.Commit, asking.Proposal, m.returns(a) && !m.rises(a)
	a.Warnings = append(a.Warnings, m.notes(a)...)
	closed, ok := decisive(a.Gates)
	if !ok {
		return a
	}
	a.Kind, a.Reason = mirror.Refuse, mirror.Reason{Code: closed.Code, Detail: closed.Why}
	if a.Reason.Waits() {
		a.Until = m.until(a)
	}
	return a
}

// decisive gives the closed gate that is told first: one that no waiting opens, then one that people or checks
// open, then one that time opens.
func decisive(gates []mirror.Gate) (first mirror.Gate, closed bool) {
	rank := func(g mirror.Gate) int {
		switch {
		case !mirror.Because(g.Code, "").Waits():
			return 0
		case g.Until.IsZero():
			return 1
		}
		return 2
	}
	for _, g := range gates {
		if !g.Open && (!closed || rank(g) < rank(first)) {
			first, closed = g, true
		}
	}
	return first, closed
}

// promotion is what changes at one stage of a set, with all that its gates go by.
type promotion struct {
	demands
	set          mirror.Set
	stage, below mirror.Stage // below is "" for the first stage and for one that the set does not have
	record       mirror.Record
	before       mirror.Record      // as the plan was made from it, also what nobody proved yet: it only ever closes a gate
	newest       map[string]version // of a set of packages: the newest that stands here, by name
	asked        map[string]Asking
	at           time.Time
	mixed        bool      // of an atomic set: something changes to what never stood here
	youngest     time.Time // of an atomic set: when the last entry has soaked
	other        []string  // where whole is asked: the entries that stand otherwise below
}

func (p Policy) promotion(set mirror.Set, stage mirror.Stage, facts Facts, before mirror.Record, at time.Time) promotion {
	m := promotion{demands: p.demands(set.Name, stage), set: set, stage: stage, record: facts.Record, before: before, asked: facts.Asked[stage], at: at}
	m.below, _ = set.Stages.Below(stage)
	if m.whole {
		m.other = m.otherBelow()
	}
	if set.Packages {
		m.newest = newestAt(facts.Record.At(stage))
	}
	if !set.Atomic {
		return m
	}
	for _, line := range set.Wanted[stage] {
		if !m.changes(line.Entry, line.Image) {
			continue
		}
		m.mixed = m.mixed || !m.stoodBefore(line.Entry, line.Image)
		if soaked, ok := m.soaked(line.Entry, line.Image); ok && soaked.After(m.youngest) {
			m.youngest = soaked
		}
	}
	return m
}

// changes says whether an image is another one than stands here.
func (m promotion) changes(entry string, image mirror.Reference) bool {
	line, stands := m.record.At(m.stage)[entry]
	return !stands || line.Image != image
}

// stoodBefore says whether an image that does not stand here stood here before.
func (m promotion) stoodBefore(entry string, image mirror.Reference) bool {
	return m.changes(entry, image) && m.record.Stood(m.stage, entry, image)
}

// returns says whether an action is a rollback: it returns to what stood here. A set that moves together does so only
// as a whole: a part of an older release beside a newer one is nothing that anybody tested.
func (m promotion) returns(a mirror.Action) bool {
	return m.stoodBefore(a.Key.Entry, a.Image) && !m.mixed
}

// rises says whether an action brings what stands in the stage below now and no older version than stands here: what
// stood here before is promoted again after a rollback, which is no rollback itself.
func (m promotion) rises(a mirror.Action) bool {
	below, stands := m.record.At(m.below)[a.Key.Entry]
	older, _ := m.older(a)
	return stands && below.Image == a.Image && !older
}

// gates gives the gates of an action in the order in which they are told.
func (p Policy) gates(a mirror.Action, m promotion) []mirror.Gate {
	asking, known := m.asked[a.Key.Entry]
	if !known {
		asking.Unknown = "which commit asks for it is not known"
	}
	asking.Marked = cmp.Or(asking.Marked, m.set.Marked[m.stage])
	gates := []mirror.Gate{p.notDenied(a), m.previous(a)}
	if m.timed() {
		gates = append(gates, m.timeGates(a)...)
	}
	gates = append(gates, m.peopleGates(asking)...)
	gates = append(gates, m.contentGates(a, asking.Marked)...)
	if m.timed() {
		gates = append(gates, m.inTime(a, asking, known))
	}
	return gates
}

func (p Policy) notDenied(a mirror.Action) mirror.Gate {
	if why := p.denies(a.Image); why != "" {
		return closed("denied", mirror.Denied, "%s", why)
	}
	return open("denied", "no deny list names it")
}

// previous is open for what stood in the stage below or here.
func (m promotion) previous(a mirror.Action) mirror.Gate {
	switch {
	case m.record.Stood(m.below, a.Key.Entry, a.Image):
		return open("previous", "it stands or stood in %s", m.below)
	case m.stoodBefore(a.Key.Entry, a.Image):
		return exempt("previous", "it stood here before")
	}
	return closed("previous", mirror.NotBelow, "it never stood in %s; promote it there first", m.below)
}

func open(name, format string, args ...any) mirror.Gate {
	return mirror.Gate{Name: name, Open: true, Why: mirror.Because("", format, args...).Detail}
}

func exempt(name, format string, args ...any) mirror.Gate {
	g := open(name, format, args...)
	g.Exempt = true
	return g
}

func closed(name string, code mirror.ReasonCode, format string, args ...any) mirror.Gate {
	return mirror.Gate{Name: name, Code: code, Why: mirror.Because("", format, args...).Detail}
}
