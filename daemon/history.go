package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
)

// EventType is what kind of thing happened, in one stable word.
type EventType string

// The events, in about the order in which a set meets them.
const (
	EventCopied       EventType = "copied"        // content of an entry is whole in the local registry
	EventCopyFailed   EventType = "copy-failed"   // a copy ended in an error; a retry may help
	EventMoved        EventType = "moved"         // a stage tag names other content now
	EventCommitted    EventType = "committed"     // record and overrides were committed
	EventRefused      EventType = "refused"       // policy or a gate says no
	EventMissing      EventType = "missing"       // upstream has no such thing
	EventFailed       EventType = "failed"        // could not be done now
	EventWarned       EventType = "warned"        // policy admits it, and warns: an exception ends soon, a rule is not enforced
	EventRunFailed    EventType = "run-failed"    // a step of a set ended in an error as a whole
	EventTriggered    EventType = "triggered"     // someone asked for a run
	EventSuspended    EventType = "suspended"     // someone paused a set
	EventResumed      EventType = "resumed"       // someone let it go on
	EventReloaded     EventType = "reloaded"      // a changed configuration is in force
	EventReloadFailed EventType = "reload-failed" // a changed configuration was refused, the old one stays
	EventHeadRefused  EventType = "head-refused"  // a commit of the fleet repository is not signed as it must be, the last accepted one stays
	EventHeadAccepted EventType = "head-accepted" // after one that was refused: the newest head is in force again
	EventRewritten    EventType = "rewritten"     // the fleet repository has another history than before; the upper stages wait where trust.fleet is set
	EventAcknowledged EventType = "acknowledged"  // someone accepted that
	EventProposed     EventType = "proposed"      // a proposal for a promotion was opened or renewed
	EventDeclined     EventType = "declined"      // people closed it without merging
	EventWaiting      EventType = "waiting"       // a merged promotion waits for time, people or checks
	EventPromoted     EventType = "promoted"      // what a stage file asks for stands at its stage
	EventRolledBack   EventType = "rolled-back"   // a stage returned to what stood there before
	EventHeld         EventType = "held"          // automation leaves entries of a stage alone from now on
	EventReleased     EventType = "released"      // and no longer does
	EventHookRefused  EventType = "hook-refused"  // somebody sent a webhook that is not genuine
	EventOverdue      EventType = "overdue"       // a scheduled look did not happen in time
	EventForgeFailed  EventType = "forge-failed"  // proposals could not be looked at; it is tried again
	EventForgeBack    EventType = "forge-back"    // after that: they can be again
)

// EventTypes lists every type of event.
func EventTypes() []EventType {
	return []EventType{EventCopied, EventCopyFailed, EventMoved, EventCommitted, EventRefused, EventMissing, EventFailed, EventWarned, EventRunFailed,
		EventTriggered, EventSuspended, EventResumed, EventReloaded, EventReloadFailed,
		EventHeadRefused, EventHeadAccepted, EventRewritten, EventAcknowledged,
		EventProposed, EventDeclined, EventWaiting, EventPromoted, EventRolledBack, EventHeld, EventReleased, EventHookRefused, EventOverdue,
		EventForgeFailed, EventForgeBack}
}

// Event is one thing that happened, for logs, for `events` and for whoever follows the daemon.
type Event struct {
	ID     string            `json:"id"` // ULID: sorts by time
	At     time.Time         `json:"at"`
	Type   EventType         `json:"type"`
	Run    string            `json:"run,omitempty"` // the run it belongs to
	Set    string            `json:"set,omitempty"`
	Entry  string            `json:"entry,omitempty"`
	Stage  mirror.Stage      `json:"stage,omitempty"`
	Image  mirror.Reference  `json:"image,omitzero"`
	Bytes  int64             `json:"bytes,omitempty"` // blob bytes that crossed
	Commit string            `json:"commit,omitempty"`
	Reason string            `json:"reason,omitempty"`
	Code   mirror.ReasonCode `json:"code,omitempty"`     // of the reason
	By     string            `json:"by,omitempty"`       // who asked for it
	Number int               `json:"proposal,omitempty"` // of the proposal
	URL    string            `json:"url,omitempty"`      // of its page
	Where  mirror.Position   `json:"where,omitzero"`
	Fix    string            `json:"fix,omitempty"` // what mends it
}

// Filter chooses events. Zero fields choose all.
type Filter struct {
	Set   string
	Type  EventType
	Since time.Time
	N     int // at most so many, the newest
}

func (f Filter) wants(e Event) bool {
	return (f.Set == "" || f.Set == e.Set) && (f.Type == "" || f.Type == e.Type) && !e.At.Before(f.Since)
}

// pick gives what the filter chooses of events in order of time, newest last.
func (f Filter) pick(events []Event) []Event {
	chosen := []Event{}
	for _, e := range events {
		if f.wants(e) {
			chosen = append(chosen, e)
		}
	}
	if f.N > 0 && len(chosen) > f.N {
		chosen = chosen[len(chosen)-f.N:]
	}
	return chosen
}

// history is what happened since it was written down last, and who follows what happens.
type history struct {
	writing   sync.Mutex // held from take until what was taken is written
	mu        sync.Mutex
	pending   []Event
	runs      []Run
	followers map[chan Event]bool
}

// maxBehind is how many events a follower may be behind before it is let go.
const maxBehind = 1024

// add keeps an event until keep writes it, and tells the followers. One that does not listen is let go: it
// finds its channel closed. Nothing here waits.
func (h *history) add(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pending = append(h.pending, e); len(h.pending) > keptEvents {
		h.pending = h.pending[1:]
	}
	for c := range h.followers {
		select {
		case c <- e:
		default:
			close(c)
			delete(h.followers, c)
		}
	}
}

// take gives what is to be written down, with these runs. The caller holds writing.
func (h *history) take(runs []Run) ([]Run, []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	runs, events := append(h.runs, runs...), h.pending
	h.runs, h.pending = nil, nil
	return runs, events
}

// back takes back what could not be written, the newest of it.
func (h *history) back(runs []Run, events []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.runs = runs[max(0, len(runs)-keptRuns):]
	events = append(events, h.pending...)
	h.pending = events[max(0, len(events)-keptEvents):]
}

// follow gives a channel of everything that happens from now on, until stop. It is closed when its reader is
// too far behind.
func (h *history) follow() (events <-chan Event, stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(chan Event, maxBehind)
	if h.followers == nil {
		h.followers = map[chan Event]bool{}
	}
	h.followers[c] = true
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.followers, c)
	}
}

// newID gives an id that sorts by time.
func (l *Line) newID() string { return processIDs.next(l.now()) }

// emit tells everyone who listens of something that happened: the log, the metrics, the followers, and the
// history, which is written with the run. It never waits and never fails.
func (l *Line) emit(e Event) { l.emitAll([]Event{e}) }

// emitAll is emit of what may be many of a kind. The log tells the first of each type and reason, and how many are like
// it; the others are debug.
func (l *Line) emitAll(all []Event) {
	type kind struct {
		Type EventType
		Code mirror.ReasonCode
	}
	count := map[kind]int{}
	for _, e := range all {
		count[kind{e.Type, e.Code}]++
	}
	told := map[kind]bool{}
	for _, e := range all {
		e.ID, e.At, e.Reason = l.newID(), l.now().UTC(), wire.Mask(e.Reason)
		e.Fix = wire.Mask(e.Fix)
		k := kind{e.Type, e.Code}
		shown := e
		if more := count[k] - 1; more > 0 && !told[k] {
			shown.Reason += fmt.Sprintf(" (and of %d more)", more)
		}
		l.logEvent(shown, told[k])
		told[k] = true
		l.happened(e)
	}
}

// happened counts an event, and gives it to the followers and the history.
func (l *Line) happened(e Event) {
	l.stir()
	switch e.Type {
	case EventCopied:
		l.metrics.copied.WithLabelValues(e.Image.Host, "copied").Add(float64(e.Bytes))
	case EventCopyFailed:
		l.metrics.copied.WithLabelValues(e.Image.Host, "failed").Add(float64(e.Bytes))
	}
	l.shared.events.add(e)
	if l.teller != nil {
		l.teller.take(e)
	}
}

// eventLogs says how an event reads in the log. What is told there in another way is debug.
var eventLogs = map[EventType]struct {
	level slog.Level
	text  string
}{
	EventCopied:       {slog.LevelInfo, "image copied"},
	EventCopyFailed:   {slog.LevelError, "copy failed"},
	EventMoved:        {slog.LevelInfo, "tag moved"},
	EventCommitted:    {slog.LevelInfo, "committed"},
	EventRefused:      {slog.LevelWarn, "refuse"},
	EventMissing:      {slog.LevelWarn, "missing"},
	EventFailed:       {slog.LevelWarn, "failed"},
	EventWarned:       {slog.LevelWarn, "policy warns"},
	EventRunFailed:    {slog.LevelDebug, "run failed"}, // the cycle tells it, with those of all sets
	EventTriggered:    {slog.LevelInfo, "triggered"},
	EventSuspended:    {slog.LevelWarn, "suspended"},
	EventResumed:      {slog.LevelInfo, "resumed"},
	EventReloaded:     {slog.LevelInfo, "configuration reloaded"},
	EventReloadFailed: {slog.LevelDebug, "reload failed"}, // the service tells it, a line for each problem
	EventHeadRefused:  {slog.LevelDebug, "head refused"},  // the cycle tells it, a line for each commit
	EventHeadAccepted: {slog.LevelInfo, "the newest head counts again"},
	EventRewritten:    {slog.LevelWarn, "the history of the fleet repository was rewritten"},
	EventAcknowledged: {slog.LevelInfo, "rewritten history acknowledged"},
	EventProposed:     {slog.LevelInfo, "promotion proposed"},
	EventDeclined:     {slog.LevelInfo, "proposal declined"},
	EventWaiting:      {slog.LevelInfo, "promotion waits"},
	EventPromoted:     {slog.LevelInfo, "promoted"},
	EventRolledBack:   {slog.LevelWarn, "rolled back"},
	EventHeld:         {slog.LevelInfo, "held"},
	EventReleased:     {slog.LevelInfo, "released"},
	EventHookRefused:  {slog.LevelWarn, "webhook refused"},
	EventOverdue:      {slog.LevelWarn, "a scheduled look is overdue"},
	EventForgeFailed:  {slog.LevelDebug, "the forge is in trouble"}, // the desk tells it, a line for each problem
	EventForgeBack:    {slog.LevelInfo, "the forge is well again"},
}

// logEvent writes an event to the log; like says that one like it is told there.
func (l *Line) logEvent(e Event, like bool) {
	as := eventLogs[e.Type]
	if like {
		as.level = slog.LevelDebug
	}
	if shown := []EventType{EventCopied, EventCopyFailed, EventRefused, EventMissing, EventFailed, EventWarned}; l.arrive != nil && slices.Contains(shown, e.Type) {
		as.level = slog.LevelDebug // a command shows these itself
	}
	facts := []slog.Attr{}
	add := func(key, value string) {
		if value != "" {
			facts = append(facts, slog.String(key, value))
		}
	}
	add(keySet, e.Set)
	add(keyEntry, e.Entry)
	add(keyStage, string(e.Stage))
	if !e.Image.IsZero() {
		add(keyRef, e.Image.String())
	}
	if e.Type == EventCopied || e.Bytes > 0 {
		facts = append(facts, slog.Int64(keyBytes, e.Bytes))
	}
	add(keyCode, string(e.Code))
	add(keyCommit, e.Commit)
	if e.Type == EventCommitted {
		add(keyCycle, e.Run)
	}
	if e.Type == EventCopyFailed || e.Type == EventRunFailed || e.Type == EventReloadFailed {
		add(keyError, e.Reason)
	} else {
		add(keyReason, e.Reason)
	}
	add(keyWhere, e.Where.String())
	add(keyFix, e.Fix)
	add(keyBy, e.By)
	l.log.LogAttrs(context.Background(), as.level, as.text, facts...)
}

// keep writes down what happened since the last time, and the run that it belongs to, in one transaction. The
// line does not fail because its history cannot be kept.
func (l *Line) keep(runs ...Run) {
	if l.shared == nil || l.state == nil {
		return // it did not come to anything
	}
	h := l.shared.events
	h.writing.Lock() // who reads the history next finds all of it
	defer h.writing.Unlock()
	runs, events := h.take(runs)
	if len(events)+len(runs) == 0 {
		return
	}
	if err := l.state.keep(runs, events); err != nil {
		h.back(runs, events)
		l.log.Warn("history not kept; it is tried again", keyError, err)
	}
}

// Events gives what the filter chooses of what happened, in order of time.
func (l *Line) Events(f Filter) ([]Event, error) {
	l.keep()
	all, err := l.state.Events(0)
	slices.Reverse(all)
	return f.pick(all), err
}
