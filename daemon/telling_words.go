package daemon

import (
	"slices"

	"github.com/poundlock/poundlock/internal/notify"
)

// telling is how an event is told.
type telling struct {
	what     string
	severity notify.Severity
	usual    bool // it is told where the configuration names no events
	lasts    bool // it is a trouble that goes on until it is over: told once, and again after a while
}

// tellings says how each type of event is told.
var tellings = map[EventType]telling{
	EventCopied:       {"image copied", notify.Info, false, false},
	EventCopyFailed:   {"copy failed, it is tried again", notify.Warning, false, false},
	EventMoved:        {"tag moved", notify.Info, false, false},
	EventCommitted:    {"committed", notify.Info, false, false},
	EventRefused:      {"refused", notify.Warning, true, true},
	EventMissing:      {"not found upstream", notify.Warning, true, true},
	EventFailed:       {"could not be done, it is tried again", notify.Warning, false, true},
	EventWarned:       {"admitted with a warning", notify.Warning, true, true},
	EventRunFailed:    {"run failed, it is tried again", notify.Error, true, true},
	EventTriggered:    {"somebody asked for a run", notify.Info, false, false},
	EventSuspended:    {"suspended", notify.Warning, true, true},
	EventResumed:      {"resumed", notify.Info, true, false},
	EventReloaded:     {"configuration reloaded", notify.Info, false, false},
	EventReloadFailed: {"changed configuration refused, the old one stays", notify.Error, true, false},
	EventHeadRefused:  {"commit of the fleet repository refused", notify.Error, true, true},
	EventHeadAccepted: {"the newest commit of the fleet repository counts again", notify.Info, true, false},
	EventRewritten:    {"history of the fleet repository rewritten", notify.Error, true, true},
	EventAcknowledged: {"rewritten history acknowledged", notify.Info, true, false},
	EventProposed:     {"promotion proposed", notify.Info, true, false},
	EventDeclined:     {"proposal declined", notify.Info, true, false},
	EventWaiting:      {"promotion waits", notify.Info, true, true},
	EventPromoted:     {"promoted", notify.Info, true, false},
	EventRolledBack:   {"rolled back", notify.Warning, true, false},
	EventHeld:         {"held: automation leaves it alone", notify.Info, true, false},
	EventReleased:     {"released: automation takes care of it again", notify.Info, true, false},
	EventHookRefused:  {"webhook that is not genuine", notify.Warning, true, false},
	EventOverdue:      {"scheduled look overdue", notify.Error, true, false},
	EventForgeFailed:  {"proposals cannot be looked at", notify.Error, true, false},
	EventForgeBack:    {"proposals can be looked at again", notify.Info, true, false},
}

// lasts says whether a trouble is still there; known is false while nothing has been looked at yet.
func (l *Line) lasts(e Event) (lasts, known bool) {
	f := l.fleet.Load()
	if f == nil {
		return false, false
	}
	if e.Set != "" {
		if _, ok := f.desired.Set(e.Set); !ok {
			return false, true
		}
	}
	switch e.Type {
	case EventHeadRefused:
		return len(f.refused) > 0, true
	case EventRewritten:
		return f.rewritten != nil || l.replaced.Load() != nil, true
	case EventSuspended:
		_, suspended := l.Suspended(e.Set)
		return suspended, true
	case EventRunFailed:
		return l.progress(e.Set).trouble() != nil, true
	case EventWarned:
		remarks, err := l.state.Remarks(e.Set)
		return slices.ContainsFunc(remarks, func(r Remark) bool { return r.Stage == e.Stage && r.Entry == e.Entry && len(r.Warnings) > 0 }), err == nil
	}
	return l.progress(e.Set).troubles(string(e.Stage) + " " + e.Entry)
}

// troubles says whether the last plan of a set had trouble with a stage and entry, as actionKey names them; known is
// false before there was one.
func (p *progress) troubles(key string) (has, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, has = p.said[key]
	return has, p.said != nil
}
