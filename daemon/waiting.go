package daemon

import (
	"fmt"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Wait is a line of a stage file that was merged and does not stand yet, since a gate waits for time, people or checks.
type Wait struct {
	Stage    mirror.Stage      `json:"stage"`
	Entry    string            `json:"entry"`
	Image    mirror.Reference  `json:"image"` // asked for
	Code     mirror.ReasonCode `json:"code"`
	Reason   string            `json:"reason"`
	Until    time.Time         `json:"until,omitzero"` // when time alone lets it come; zero where something else is closed, too
	Asked    string            `json:"asked,omitempty"`
	Proposal int               `json:"proposal,omitempty"`
	Since    time.Time         `json:"since"` // when we first saw it wait for this
	Gates    []mirror.Gate     `json:"gates"` // that are closed
}

// waiting says whether an action is a promotion that waits.
func waiting(a mirror.Action) bool {
	return a.Kind == mirror.Refuse && a.Reason.Waits() && len(a.Gates) > 0
}

// waits gives what of a plan waits. Since when, is as it was before.
func waits(p mirror.Plan, before []Wait, at time.Time) []Wait {
	all := []Wait{}
	was := map[string][]Wait{} // by entry
	for _, w := range before {
		was[w.Entry] = append(was[w.Entry], w)
	}
	for _, a := range p.Actions {
		if !waiting(a) {
			continue
		}
		w := Wait{Stage: a.Stage, Entry: a.Key.Entry, Image: a.Image, Code: a.Reason.Code, Reason: a.Reason.String(), Until: a.Until.UTC(),
			Asked: a.Asked, Proposal: a.Proposal, Since: at.UTC(), Gates: slices.DeleteFunc(slices.Clone(a.Gates), func(g mirror.Gate) bool { return g.Open })}
		// Time alone opens nothing while people, checks or others keep a gate closed.
		if a.Until.IsZero() || slices.ContainsFunc(w.Gates, func(g mirror.Gate) bool { return g.Until.IsZero() }) {
			w.Until = time.Time{}
		}
		if i := slices.IndexFunc(was[w.Entry], func(o Wait) bool { return o.Image == w.Image && o.same(w) }); i >= 0 {
			w.Since = was[w.Entry][i].Since
		}
		all = append(all, w)
	}
	return all
}

// same says whether two entries wait for the same thing.
func (w Wait) same(o Wait) bool {
	return w.Stage == o.Stage && w.Asked == o.Asked && w.Code == o.Code
}

// wait remembers what waits, and tells of it: once for what one commit asks for at a stage and one reason, also when
// the daemon is started anew.
func (l *Line) wait(v *view, at time.Time) {
	before, err := l.state.Waits(v.set.Name)
	if err != nil {
		l.log.Debug("what waits cannot be read", keySet, v.set.Name, keyError, err)
	}
	now := waits(v.plan, before, at)
	if err := l.state.setWaits(v.set.Name, now); err != nil {
		l.log.Warn("what waits is not kept", keySet, v.set.Name, keyError, err)
	}
	for i, w := range now {
		if slices.ContainsFunc(before, w.same) || slices.ContainsFunc(now[:i], w.same) {
			continue
		}
		e := Event{Type: EventWaiting, Run: v.run, Set: v.set.Name, Stage: w.Stage, Reason: w.Reason, Code: w.Code, Commit: w.Asked, Number: w.Proposal,
			URL: l.progress(v.set.Name).gates.page(w.Proposal)}
		if same := countFunc(now, w.same); same > 1 {
			e.Reason += fmt.Sprintf(" (%s and %d more)", w.Entry, same-1)
		} else {
			e.Entry, e.Image = w.Entry, w.Image
		}
		l.emit(e)
	}
}

func countFunc[T any](all []T, is func(T) bool) (n int) {
	for _, one := range all {
		if is(one) {
			n++
		}
	}
	return n
}

// Waits gives what of a set waits, as the last step found it.
func (s *State) Waits(set string) ([]Wait, error) { return listed[Wait](s, bucketWaits, set) }

// setWaits replaces what waits.
func (s *State) setWaits(set string, all []Wait) error { return setListed(s, bucketWaits, set, all) }
