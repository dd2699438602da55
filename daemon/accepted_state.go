package daemon

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

// acceptsState says what is wrong with a commit of the branch that takes rendered/: of what lies there, the files that
// people may change must be changed by signed commits, too, and nobody may take back what was there.
func (l *Line) acceptsState(ctx context.Context, state string) (mirror.Problems, error) {
	if !l.apart() || l.config.Trust.Fleet.IsZero() {
		return nil, nil
	}
	last := l.state.acceptedState()
	if last == state {
		return nil, nil
	}
	if last != "" {
		descends := false
		if state != "" {
			var err error
			if descends, err = l.git.Ancestor(ctx, last, state); err != nil {
				return nil, err
			}
		}
		if !descends {
			return mirror.Problems{l.overwrittenState(last, state)}, nil
		}
	}
	trust, _, problems := fleetSigners(l.config)
	if len(problems) > 0 {
		return problems, nil
	}
	trust.Own, trust.At, trust.OwnCounts, trust.OwnIn = l.git.Own(), l.now(), last == "", l.renderedDir()
	trust.OwnFiles, trust.OnlyOwnFiles, trust.Accepted = l.editable(), true, []string{last}
	judged, err := l.git.Judge(ctx, state, trust)
	if err != nil {
		return nil, fmt.Errorf("signatures of the commits up to %s: %w", brief(state), err)
	}
	return l.unsignedState(judged), nil
}

// codeStateRewritten is the problem that acknowledging mends.
const codeStateRewritten = "GIT035"

func (l *Line) overwrittenState(last, state string) mirror.Problem {
	is := brief(state) + " does not descend from " + last
	if state == "" {
		is = "it is gone, and was at " + last
	}
	p := adviser{l.config}.problem(codeStateRewritten, "git.stateBranch", "the history of branch %s was rewritten: %s", l.config.Git.State(), is)
	p.Why = "it may take back that sets are suspended or held, so every set is held"
	p.Fix = "put the branch back to " + last + ", or accept it as it is: `poundlock acknowledge`"
	return p
}

func (l *Line) unsignedState(judged git.Judged) mirror.Problems {
	var ps mirror.Problems
	for i, u := range judged.Unaccepted {
		if i == shownUnsigned {
			break
		}
		p := adviser{l.config}.problem("GIT034", "trust.fleet", "commit %s by %s (%s) on branch %s does not count: %s", u.Commit, u.Author, mirror.Shorten(u.Subject, 80), l.config.Git.State(), u.Why)
		p.Why = "who suspends or holds sets must sign it; nobody knows which are meant to be, so every set is held"
		p.Fix = "take the commit out of the branch and make it anew, signed: a commit on top does not help"
		ps = append(ps, p)
	}
	return ps
}

// atState gives the fleet with rendered/ as the clone has it, where that is in a branch of its own.
func (l *Line) atState(ctx context.Context, f *fleet) (*fleet, error) {
	if !l.apart() {
		return f, nil
	}
	state, err := l.git.StateHead()
	if err != nil {
		return nil, fmt.Errorf("branch %s: %w", l.config.Git.State(), err)
	}
	wrong, err := l.acceptsState(ctx, state)
	if err != nil {
		return nil, gitError(err)
	}
	if f.state == state && slices.EqualFunc(f.stateWrong, wrong, func(a, b mirror.Problem) bool { return a.Code == b.Code && a.What == b.What }) {
		return f, nil
	}
	next := *f
	next.state, next.stateWrong = state, wrong
	return &next, nil
}

// acceptState remembers where the branch that takes rendered/ is, once it is in force.
func (l *Line) acceptState(f *fleet) {
	if !l.apart() || l.config.Trust.Fleet.IsZero() || f.stateWrong != nil || f.state == "" || l.state.acceptedState() == f.state {
		return
	}
	if err := l.state.setAcceptedState(f.state); err != nil {
		l.log.Warn("the accepted commit is not remembered", keyCommit, f.state, keyError, err)
	}
}

// acknowledgeState accepts a rewritten history of the branch that takes rendered/; took is false where it is none. What
// is not signed as it must be is not accepted by it. The caller holds publishing.
func (l *Line) acknowledgeState(ctx context.Context, f *fleet) (took bool, err error) {
	if len(f.stateWrong) == 0 || f.stateWrong[0].Code != codeStateRewritten {
		return false, nil
	}
	if err := l.state.setAcceptedState(""); err != nil {
		return false, fmt.Errorf("acknowledge branch %s: %w", l.config.Git.State(), err)
	}
	next, err := l.atState(ctx, f)
	if err != nil {
		return false, err
	}
	if len(next.stateWrong) > 0 {
		return false, slices.Clone(next.stateWrong).Err()
	}
	if next, err = l.pausing(next); err != nil {
		return false, err
	}
	l.put(next, "")
	return true, nil
}

var keyAcceptedState = []byte("state") // in bucketAccepted

// acceptedState gives the commit of the branch that takes rendered/ that was accepted last; "" for none.
func (s *State) acceptedState() string {
	v, ok := s.get(bucketAccepted, string(keyAcceptedState))
	if !ok || !commitID.MatchString(v) {
		return ""
	}
	return v
}

// setAcceptedState forgets it where the commit is "".
func (s *State) setAcceptedState(commit string) error {
	return s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketAccepted).Put(keyAcceptedState, []byte(commit)) })
}
