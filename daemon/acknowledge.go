package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Acknowledged is what came of acknowledging a head.
type Acknowledged struct {
	Commit string `json:"commit"`           // the head, which is accepted now
	Was    string `json:"was,omitempty"`    // the one before
	Needed bool   `json:"needed,omitempty"` // something waited for it
}

// Acknowledge accepts a rewritten history of the fleet repository, so that the stages above the first go on. commit
// must be the head, or one since which only rendered/ changed; empty takes the head as it is. by says who did it.
// Commits that are not signed as they must be are not accepted by it: mirror.Problems tell.
func (l *Line) Acknowledge(ctx context.Context, commit, by string) (Acknowledged, error) {
	if l.config.Trust.Fleet.IsZero() {
		return Acknowledged{}, mirror.Problems{{Code: "GIT032", What: "nothing is acknowledged here: trust.fleet is not configured, so no history is compared with another",
			Fix: "write trust.fleet into the configuration, as docs/trust.md says under Signed fleets"}}
	}
	l.publishing.Lock()
	defer l.publishing.Unlock()
	f, err := l.atHead(ctx)
	if f == nil {
		return Acknowledged{}, err
	}
	if f.refused != nil {
		return Acknowledged{}, slices.Clone(f.refused).Err()
	}
	took, err := l.acknowledgeState(ctx, f)
	if err != nil {
		return Acknowledged{}, err
	}
	f = l.fleet.Load()
	if is, err := l.isHead(ctx, f, commit); err != nil || !is {
		return Acknowledged{}, errors.Join(err, mirror.Problems{{Code: "GIT032", What: fmt.Sprintf("%s is not the head of the fleet repository", mirror.OneLine(commit)),
			Why: "the head is " + f.head, Fix: "look at that one, then `poundlock acknowledge " + f.head + "`"}})
	}
	was := cmp.Or(l.accepted(), l.config.Trust.Fleet.Since)
	a := Acknowledged{Commit: f.head, Was: was, Needed: took || f.rewritten != nil}
	if f.rewritten == nil {
		return a, nil
	}
	if err := l.state.setAccepted(f.head, l.config.Git.Path, l.now()); err != nil {
		return a, fmt.Errorf("acknowledge %s: %w", brief(f.head), err)
	}
	l.put(headTrust{}.of(f.at(f.head)), "")
	l.metrics.head(headTrust{})
	l.emit(Event{Type: EventAcknowledged, Commit: f.head, Reason: "in place of " + was, By: mirror.OneLine(by)})
	l.wakes.add(Wake{Why: "acknowledged", Audit: true})
	return a, nil
}

// isHead says whether a person who names a commit means the head: its id or the beginning of it, or one since which
// we only recorded what stands.
func (l *Line) isHead(ctx context.Context, f *fleet, commit string) (bool, error) {
	const least = 12 // characters of an id: fewer are soon found for another commit
	if commit == "" || len(commit) >= least && strings.HasPrefix(f.head, strings.ToLower(commit)) {
		return true, nil
	}
	if !commitID.MatchString(commit) || !l.git.Holds(commit) {
		return false, nil
	}
	if below, err := l.git.Ancestor(ctx, commit, f.head); err != nil || !below {
		return false, err
	}
	inputs, err := l.git.Inputs(commit)
	return err == nil && inputs == f.inputs, err
}
