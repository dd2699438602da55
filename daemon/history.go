package daemon

import (
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
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
	EventRunFailed    EventType = "run-failed"    // a step of a set ended in an error as a whole
	EventTriggered    EventType = "triggered"     // someone asked for a run
	EventSuspended    EventType = "suspended"     // someone paused a set
	EventResumed      EventType = "resumed"       // someone let it go on
	EventReloaded     EventType = "reloaded"      // a changed configuration is in force
	EventReloadFailed EventType = "reload-failed" // a changed configuration was refused, the old one stays
)

// Event is one thing that happened, for logs, for `events` and for whoever follows the daemon.
type Event struct {
	ID     string           `json:"id"` // ULID: sorts by time
	At     time.Time        `json:"at"`
	Type   EventType        `json:"type"`
	Run    string           `json:"run,omitempty"` // the run it belongs to
	Set    string           `json:"set,omitempty"`
	Entry  string           `json:"entry,omitempty"`
	Stage  mirror.Stage     `json:"stage,omitempty"`
	Image  mirror.Reference `json:"image,omitzero"`
	Bytes  int64            `json:"bytes,omitempty"` // blob bytes that crossed
	Commit string           `json:"commit,omitempty"`
	Reason string           `json:"reason,omitempty"`
	By     string           `json:"by,omitempty"` // who asked for it
	Where  mirror.Position  `json:"where,omitzero"`
}

// Run is one step of the line for one set: why it was made, and what came of it.
type Run struct {
	ID        string          `json:"id"` // ULID; the Poundlock-Cycle trailer of its commit
	Set       string          `json:"set"`
	Why       string          `json:"why"` // what woke it: start, poll, schedule, audit, retry, copied, a name
	Began     time.Time       `json:"began"`
	Ended     time.Time       `json:"ended"`
	Outcome   Outcome         `json:"outcome"`
	Inputs    string          `json:"inputs"` // the commit that was worked from
	Commit    string          `json:"commit,omitempty"`
	Moved     int             `json:"moved"`     // tags
	ToCopy    int             `json:"toCopy"`    // entries still on their way
	Refused   int             `json:"refused"`   // entries
	Missing   int             `json:"missing"`   // entries
	Failed    int             `json:"failed"`    // entries
	Unchanged int             `json:"unchanged"` // entries
	Bytes     int64           `json:"bytes"`     // blob bytes that crossed since the run before
	Problem   *mirror.Problem `json:"problem,omitempty"`
}

// Outcome is how a run ended.
type Outcome string

// The outcomes of a run.
const (
	OutcomeDone    Outcome = "done"    // as desired, as far as it is admitted: nothing refused, nothing missing
	OutcomeCopying Outcome = "copying" // content is on its way; another run follows
	OutcomePartial Outcome = "partial" // the rest is done, something is refused or missing
	OutcomeFailed  Outcome = "failed"  // the step or some entries failed; it is tried again
)

// emit tells everyone who listens of something that happened.
func (l *Line) emit(Event) {}
