package policy

import (
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// ExceptionInfo is one exception of a document, as people are shown it.
type ExceptionInfo struct {
	Name   string          // host/repository, or host/repository@sha256:...
	Until  time.Time       // the first moment at which it does not hold any more
	Reason string          // why it is needed
	Where  mirror.Position // in its document
}

// Ended says whether the exception is over at a moment: then it lifts nothing any more.
func (e ExceptionInfo) Ended(at time.Time) bool { return !at.Before(e.Until) }

// EndsSoon says whether it still holds at a moment, and ends within the days before which people are warned (14).
func (e ExceptionInfo) EndsSoon(at time.Time) bool {
	return !e.Ended(at) && !at.Before(e.Until.Add(-warnBefore))
}

// Exceptions lists the exceptions by document, in the order in which they are written, those that are over among
// them: a policy has no clock.
func (p Policy) Exceptions() []ExceptionInfo {
	var all []ExceptionInfo
	for _, l := range p.layers {
		for _, e := range l.exceptions {
			all = append(all, ExceptionInfo{Name: e.told().Match, Until: e.Until, Reason: e.Reason, Where: e.where})
		}
	}
	return all
}
