package daemon

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// WaitStatus is what one commit asks for at a stage and one reason keeps waiting.
type WaitStatus struct {
	Stage    mirror.Stage      `json:"stage"`
	Entries  []string          `json:"entries"`
	Code     mirror.ReasonCode `json:"code"`
	Reason   string            `json:"reason"` // of the first of them
	Since    time.Time         `json:"since"`
	Until    time.Time         `json:"until,omitzero"` // when time alone may let the first of them come
	Asked    string            `json:"asked,omitempty"`
	Proposal int               `json:"proposal,omitempty"`
}

// HoldStatus is a place that automation leaves as it is.
type HoldStatus struct {
	Stage mirror.Stage `json:"stage"`
	Entry string       `json:"entry,omitempty"` // absent: all of the stage
	mirror.Hold
}

// waitStatus gathers what waits for the same.
func waitStatus(waits []Wait) (all []WaitStatus) {
	for i, w := range waits {
		if slices.ContainsFunc(waits[:i], w.same) {
			continue
		}
		s := WaitStatus{Stage: w.Stage, Code: w.Code, Reason: w.Reason, Since: w.Since, Until: w.Until, Asked: w.Asked, Proposal: w.Proposal}
		for _, o := range waits[i:] {
			if !w.same(o) {
				continue
			}
			s.Entries, s.Until = append(s.Entries, o.Entry), earliest(s.Until, o.Until)
			if o.Since.Before(s.Since) {
				s.Since = o.Since
			}
		}
		all = append(all, s)
	}
	return all
}

// waitingOf gives what of a set waits, as far as that can be read.
func (l *Line) waitingOf(set string) []WaitStatus {
	waits, err := l.state.Waits(set)
	if err != nil {
		l.log.Debug("what waits cannot be read", keySet, set, keyError, err)
	}
	return waitStatus(waits)
}

// holdStatus gives what of a set is held.
func holdStatus(held mirror.Holds, set string) (all []HoldStatus) {
	for _, place := range held.Sorted() {
		if place.Set == set {
			all = append(all, HoldStatus{Stage: place.Stage, Entry: place.Entry, Hold: held[place]})
		}
	}
	return all
}

// wait gives what keeps the image that is wanted for an entry at a stage waiting; nil where nothing does.
func (g *glance) wait(set string, stage mirror.Stage, entry string, wanted mirror.Reference) *Wait {
	all := g.waits[set]
	i := slices.IndexFunc(all, func(w Wait) bool { return w.Stage == stage && w.Entry == entry && w.Image == wanted })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// askedBy names what asks for a promotion; "" where nothing is known to.
func askedBy(commit string, proposal int) string {
	text := ""
	if proposal > 0 {
		text = fmt.Sprintf("#%d", proposal)
	}
	return strings.TrimSpace(text + " " + commit[:min(12, len(commit))])
}
