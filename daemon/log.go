package daemon

import (
	"fmt"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Keys of log attributes, so that one fact has one name everywhere.
const (
	keyAddress  = "address"
	keyBy       = "by"
	keyBytes    = "bytes"
	keyCode     = "code"
	keyCommit   = "commit"
	keyConfig   = "config"
	keyEvents   = "events"
	keyEntry    = "entry"
	keyDigest   = "digest"
	keyError    = "error"
	keyFix      = "fix"
	keyHook     = "webhook"
	keyNotifier = "notifier"
	keyNext     = "next"
	keyReason   = "reason"
	keyRef      = "ref"
	keySet      = "set"
	keySets     = "sets"
	keyStage    = "stage"
	keyState    = "stateDir"
	keyVersion  = "version"
	keyWake     = "wake" // what made the line look
	keyWhat     = "what"
	keyWhere    = "where"
	keyWhy      = "why"
	keyWithin   = "within"
	keyCycle    = "cycle"
)

// logTrouble tells of an error as the problems that it is, a line each, with what a person can do about it; nil for
// those that were told already. Its whole text goes to the debug level.
func (l *Line) logTrouble(message string, err error, news func(mirror.Problem) bool, facts ...any) {
	for _, p := range Advise(l.config, err) {
		if news(p) {
			l.log.Error(message, append(slices.Clip(facts), adviceOf(p)...)...)
		}
	}
	l.log.Debug(message, append(slices.Clip(facts), keyError, err)...)
}

// adviceOf gives a problem as log attributes.
func adviceOf(p mirror.Problem) []any {
	facts := []any{keyCode, p.Code, keyWhat, p.What}
	if at := p.Where.String(); at != "" {
		if p.Where.Commit != "" {
			at = fmt.Sprintf("%s (commit %.10s)", at, p.Where.Commit)
		}
		facts = append(facts, keyWhere, at)
	}
	if p.Why != "" {
		facts = append(facts, keyWhy, p.Why)
	}
	if p.Fix != "" {
		facts = append(facts, keyFix, p.Fix)
	}
	return facts
}
