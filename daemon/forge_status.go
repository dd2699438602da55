package daemon

import (
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// ForgeStatus is how proposals fared when the desk last looked at them.
type ForgeStatus struct {
	URL        string          `json:"url"`
	Repository string          `json:"repository"`
	LookedAt   time.Time       `json:"lookedAt,omitzero"`
	Problem    *mirror.Problem `json:"problem,omitempty"` // why not all of it could be done; it is tried again
}

// attended remembers how a turn of the desk ended, and tells where trouble begins or ends: what stands goes on without a
// forge, so nobody would notice an expired token.
func (l *Line) attended(err error) {
	if l.forge == nil {
		return
	}
	var problem *mirror.Problem
	if err != nil {
		problem = l.problem(err)
	}
	d := l.desk
	d.mu.Lock()
	before := d.trouble
	d.trouble, d.looked = problem, l.now().UTC()
	d.mu.Unlock()
	ok := 1.0
	if problem != nil {
		ok = 0
	}
	l.metrics.forgeOK.Set(ok)
	switch {
	case problem != nil && before == nil:
		l.emit(Event{Type: EventForgeFailed, Reason: problem.What, Fix: problem.Fix})
	case problem == nil && before != nil:
		l.emit(Event{Type: EventForgeBack, Reason: "after: " + before.What})
	}
}

// forgeStatus gives how the forge is; nil where none is configured.
func (l *Line) forgeStatus() *ForgeStatus {
	if l.forge == nil || l.desk == nil {
		return nil
	}
	s := &ForgeStatus{}
	s.URL, s.Repository = l.config.ForgePlace()
	l.desk.mu.Lock()
	defer l.desk.mu.Unlock()
	s.LookedAt, s.Problem = l.desk.looked, l.desk.trouble
	return s
}
