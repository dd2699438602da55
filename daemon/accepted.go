package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

// headTrust is what the signatures of its commits say of a head of the fleet repository. The zero value: it counts.
type headTrust struct {
	head      string          // that was judged
	refused   mirror.Problems // why it does not count
	rewritten *mirror.Problem // it does not descend from what was accepted last: the upper stages wait
}

// of gives a fleet that was read at such a head.
func (t headTrust) of(f *fleet) *fleet {
	f.refused, f.refusedHead, f.rewritten = nil, "", t.rewritten
	return f
}

// accepting remembers the last judgement of a head, since a head that is refused is asked about at every look.
type accepting struct {
	mu   sync.Mutex
	key  string
	last headTrust
}

// accepts judges a head by who signed the commits that lead to it. Everything that reads a head, moves a tag for it
// or builds a commit on it asks here first: a commit of ours on top of what was not accepted would vouch for it.
func (l *Line) accepts(ctx context.Context, head string) (headTrust, error) {
	if l.config.Trust.Fleet.IsZero() {
		return headTrust{}, nil
	}
	trust, print, problems := fleetSigners(l.config)
	since := l.config.Trust.Fleet.Since
	if since != "" && !l.git.Holds(since) {
		p := adviser{l.config}.problem("CFG066", "trust.fleet.since", "trust.fleet.since names no commit of the fleet repository: %s", since)
		p.Why = "nobody knows which history is accepted as it is, so nothing moves"
		p.Fix = "name a commit of the branch, as `git rev-parse` prints it"
		problems = append(problems, p)
	}
	if len(problems) > 0 {
		return headTrust{head: head, refused: problems}, nil
	}
	last := l.accepted()
	if last == head {
		return headTrust{}, nil
	}
	at := l.now()
	key := fmt.Sprintf("%s %s %s %d", head, last, print, at.Unix()/3600) // an hour: keys expire
	l.accepting.mu.Lock()
	defer l.accepting.mu.Unlock()
	if l.accepting.key == key {
		return l.accepting.last, nil
	}
	// What was accepted last is known even where the clone lost it: then all of the history is judged, or that above
	// since, and commits of ours do not stand in for it.
	anchor, descends := cmp.Or(last, since), true
	if anchor != "" {
		var err error
		if descends, err = l.git.Ancestor(ctx, anchor, head); err != nil {
			return headTrust{}, err
		}
	}
	trust.Own, trust.At, trust.OwnCounts = l.git.Own(), at, last == ""
	trust.OwnIn, trust.OwnFiles, trust.Since = l.renderedDir(), l.editable(), since
	trust.Accepted = l.kept()
	judged, err := l.git.Judge(ctx, head, trust)
	if err != nil {
		return headTrust{}, fmt.Errorf("signatures of the commits up to %s: %w", brief(head), err)
	}
	t := headTrust{head: head, refused: l.unsigned(judged, head)}
	if !descends && t.refused == nil {
		p := l.overwritten(last, head)
		t.rewritten = &p
	}
	l.accepting.key, l.accepting.last = key, t
	return t, nil
}

// accepted gives the commit that was accepted last for the files that are read; "" for none.
func (l *Line) accepted() string {
	commit, _ := l.state.Accepted(l.config.Git.Path)
	return commit
}

// kept gives the commits that are accepted with their history, which the clone must not lose.
func (l *Line) kept() []string {
	return slices.DeleteFunc([]string{l.accepted(), l.config.Trust.Fleet.Since, l.state.acceptedState()}, func(commit string) bool { return commit == "" })
}

// shownUnsigned is how many commits that do not count are told of one by one.
const shownUnsigned = 5

// unsigned tells of the commits that must not have changed desired/ or stages/.
func (l *Line) unsigned(judged git.Judged, head string) mirror.Problems {
	var ps mirror.Problems
	for i, u := range judged.Unaccepted {
		if i == shownUnsigned {
			break
		}
		p := adviser{l.config}.problem("GIT030", "trust.fleet", "commit %s by %s (%s) does not count: %s", u.Commit, u.Author, mirror.Shorten(u.Subject, 80), u.Why)
		p.Why = "who changes desired/, stages/ or " + l.suspensionFile() + " must sign it, also where a later commit is signed; " + l.inForce() + ", and nothing moves"
		if more := len(judged.Unaccepted) + judged.More - shownUnsigned; i == shownUnsigned-1 && more > 0 {
			p.Why = fmt.Sprintf("%d more like it; ", more) + p.Why
		}
		p.Fix = "take the commit out of the branch and make it anew, signed: a commit on top does not help. Where the branch must stay, look at its changes and set trust.fleet.since to " + head
		if u.Merge {
			p.Fix = "merge with a signature of an allowed signer, or set trust.fleet.forge to the key of the forge. " + strings.ToUpper(p.Fix[:1]) + p.Fix[1:]
		}
		ps = append(ps, p)
	}
	return ps
}

// inForce says what is in force while the newest head does not count.
func (l *Line) inForce() string {
	if last := l.accepted(); last == "" || !l.git.Holds(last) {
		return "no fleet is known that was accepted before, so none is in force"
	}
	return "the last fleet that was accepted stays in force"
}

// overwritten tells of a history that is another one than before, or than the configuration names where last is "".
func (l *Line) overwritten(last, head string) mirror.Problem {
	was := "which was accepted last"
	if last == "" {
		last, was = l.config.Trust.Fleet.Since, "which trust.fleet.since names"
	}
	p := adviser{l.config}.problem("GIT031", "trust.fleet", "the history of the fleet repository was rewritten: %s does not descend from %s, %s", head, last, was)
	p.Why = "all of it is signed, and yet it may take back what was decided; stages above the first stay as they are"
	p.Fix = "compare the two: `git log " + brief(last) + "..." + brief(head) + "`, then `poundlock acknowledge " + head + "`"
	return p
}

// stillTrusted makes sure that a newer head than the one of f may be acted for as f is.
func (l *Line) stillTrusted(ctx context.Context, f *fleet, head string) error {
	t, err := l.accepts(ctx, head)
	if err != nil {
		return err
	}
	if t.refused != nil || (t.rewritten == nil) != (f.rewritten == nil) {
		return publish.ErrSuperseded // the next look tells why
	}
	return nil
}

// fetchTrusted is Fetch for who is about to commit on what comes.
func (l *Line) fetchTrusted(ctx context.Context, f *fleet) (string, error) {
	head, err := l.git.Fetch(ctx)
	if err == nil {
		err = l.stillTrusted(ctx, f, head)
	}
	return head, err
}

// lastGood is the fleet that stays in force while the newest head does not count: the last one, also of the process
// before. The error tells why where there is none.
func (l *Line) lastGood(last *fleet, t headTrust, below floor) (*fleet, error) {
	if last == nil {
		commit := l.accepted()
		if !l.git.Holds(commit) {
			return nil, t.refused.Err()
		}
		inputs, err := l.git.Inputs(commit)
		if err != nil {
			return nil, gitError(err)
		}
		if last, err = l.read(nil, commit, inputs, below); err != nil {
			return nil, errors.Join(t.refused.Err(), err)
		}
	}
	if last.floor != below.print { // the floor is this machine's own, whatever is wrong with the head
		var err error
		if last, err = l.under(last, *last, below); err != nil {
			return nil, err
		}
	}
	if last.refusedHead == t.head && reflect.DeepEqual(last.refused, t.refused) {
		return last, nil
	}
	kept := *last
	kept.refused, kept.refusedHead = t.refused, t.head
	return &kept, nil
}

// trouble gives what is wrong with the newest head, while another fleet than its own is in force.
func (f *fleet) trouble() error {
	if len(f.refused) > 0 {
		return slices.Clone(f.refused).Err() // which sorts
	}
	return f.mistake
}

// holdUpper keeps everything above the first stage as it is while nobody acknowledged a rewritten history: no tag
// moves there, no line leaves the record, and what is rendered keeps its bytes. It gives the set as it is to be
// recorded.
func (f *fleet) holdUpper(p mirror.Plan, set mirror.Set) (mirror.Plan, mirror.Set) {
	if f.rewritten == nil {
		return p, set
	}
	for i, a := range p.Actions {
		if a.Stage == set.Stages.First() || !does(a) {
			continue
		}
		p.Actions[i].Kind, p.Actions[i].Reason = mirror.Refuse, mirror.Because(mirror.Held, "the history of the fleet repository was rewritten, and nobody acknowledged that yet")
		p.Actions[i].Reason.Problem, p.Actions[i].Reason.Fix = f.rewritten.Code, f.rewritten.Fix
	}
	set.Listed = map[mirror.Stage]bool{} // as without stage files: what stands stays
	return p, set
}

// accept remembers the head of a fleet that is put in force as the last accepted one, and tells of one that is not.
func (l *Line) accept(last, next *fleet) {
	if l.config.Trust.Fleet.IsZero() {
		return
	}
	switch {
	case next.refused != nil:
		if last == nil || !reflect.DeepEqual(last.refused, next.refused) {
			p := next.refused[0]
			l.emit(Event{Type: EventHeadRefused, Commit: next.refusedHead, Reason: p.What, Where: p.Where, Fix: p.Fix})
		}
		return
	case last != nil && last.refused != nil:
		l.emit(Event{Type: EventHeadAccepted, Commit: next.head, Reason: "in place of " + last.refusedHead + ", which was refused"})
	}
	switch {
	case next.rewritten != nil:
		if last == nil || last.rewritten == nil {
			l.emit(Event{Type: EventRewritten, Commit: next.head, Reason: next.rewritten.What, Fix: next.rewritten.Fix})
		}
		return
	}
	if l.accepted() != next.head {
		if err := l.state.setAccepted(next.head, l.config.Git.Path, l.now()); err != nil {
			l.log.Warn("the accepted commit is not remembered", keyCommit, next.head, keyError, err)
		}
	}
}

var (
	bucketAccepted = []byte("accepted") // head -> the commit of the fleet repository that was accepted last
	keyAccepted    = []byte("head")
)

// acceptedCommit is how it is written.
type acceptedCommit struct {
	Commit string    `json:"commit"`
	Path   string    `json:"path,omitempty"` // of the fleet inside the repository: nothing else was judged
	At     time.Time `json:"at"`
}

// Accepted gives the commit of the fleet repository that was accepted last for the fleet at a path in it; false where
// none was, or a state that was deleted forgot it.
func (s *State) Accepted(path string) (commit string, ok bool) {
	v, ok := s.get(bucketAccepted, string(keyAccepted))
	var a acceptedCommit
	if !ok || json.Unmarshal([]byte(v), &a) != nil || !commitID.MatchString(a.Commit) || a.Path != strings.Trim(path, "/") {
		return "", false
	}
	return a.Commit, true
}

func (s *State) setAccepted(commit, path string, at time.Time) error {
	b, err := json.Marshal(acceptedCommit{commit, strings.Trim(path, "/"), at.UTC()})
	if err != nil {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketAccepted).Put(keyAccepted, b) })
}
