package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

// Way is how a promotion comes into the stage file.
type Way string

// The ways of a promotion.
const (
	ByProposal Way = "pr"     // people merge it: a proposal, or a pushed branch where there is no forge
	ByCommit   Way = "direct" // a commit on the branch
)

// PromoteOrder asks for a promotion, or for a rollback.
type PromoteOrder struct {
	Set     string
	Stage   mirror.Stage // that is to change
	Entries []string     // those that are named; none for the whole set
	Way     Way          // "": a proposal where a forge is configured, else a commit
	By      string       // who asks: their login at the forge, who cannot approve it
	Newest  bool         // of each package only its newest version
	Freeze  string       // freezes the channel of Stage under this name, instead of a promotion
	Back    bool         // to what the stage file listed before
	Commit  string       // of a rollback: whose stage file is to come back; "" for the last other one
	Reason  string       // of a rollback
}

// PromotedOutcome is what came of asking for a promotion, in one stable word.
type PromotedOutcome string

// The outcomes of a promotion.
const (
	PromotedNothing   PromotedOutcome = "nothing"   // the stage file says so already
	PromotedRefused   PromotedOutcome = "refused"   // something is in the way that no waiting mends
	PromotedOpened    PromotedOutcome = "opened"    // a proposal
	PromotedRenewed   PromotedOutcome = "renewed"   // an open proposal has the new content
	PromotedAdopted   PromotedOutcome = "adopted"   // an open proposal is there, and stays as it is
	PromotedPushed    PromotedOutcome = "pushed"    // a branch; people open the proposal
	PromotedCommitted PromotedOutcome = "committed" // a commit on the branch
)

// Promoted is what came of asking for a promotion.
type Promoted struct {
	Set        string          `json:"set"`
	From       mirror.Stage    `json:"from"` // the stage below
	Stage      mirror.Stage    `json:"stage"`
	Entries    []string        `json:"entries,omitempty"` // that were named; none for the whole set
	Rollback   bool            `json:"rollback,omitempty"`
	Frozen     string          `json:"frozen,omitempty"` // the name of the frozen channel that is made of Stage
	Outcome    PromotedOutcome `json:"outcome"`
	Moves      []PromotedLine  `json:"moves"`
	Gates      []mirror.Gate   `json:"gates"`         // of all entries together: closed where one of them is closed
	Why        []string        `json:"why,omitempty"` // of what is refused, or left as it is
	Commit     string          `json:"commit,omitempty"`
	Branch     string          `json:"branch,omitempty"`
	Proposal   int             `json:"proposal,omitempty"`
	URL        string          `json:"url,omitempty"`
	Superseded []int           `json:"superseded,omitempty"` // proposals that this one takes the place of
}

// Promote changes what a stage file lists to what stands in the stage below, or, for a rollback, to what it listed
// before: by a proposal or by a commit. Nothing moves by it: the line judges what was merged. What a gate says that no
// waiting mends is refused at once, as an outcome; what cannot be read, or a name that is none, as mirror.Problems.
func (l *Line) Promote(ctx context.Context, o PromoteOrder) (Promoted, error) {
	// One word, as logins are: who asked is read from the commit again, and cannot approve it.
	o.By = strings.TrimPrefix(strings.Join(strings.Fields(mirror.OneLine(o.By)), "_"), "@")
	if o.Way == "" {
		if o.Way = ByCommit; l.forge != nil {
			o.Way = ByProposal
		}
	}
	if l.offline {
		return Promoted{}, fmt.Errorf("promote %s: %w", o.Set, mirror.ErrOffline)
	}
	if o.Way == ByCommit {
		return l.promoteDirectly(ctx, o)
	}
	if err := l.proposing.take(ctx); err != nil { // the desk proposes, too
		return Promoted{}, fmt.Errorf("promote %s: %w", o.Set, err)
	}
	defer l.proposing.release()
	for range supersedes {
		f, a, done, err := l.prepared(ctx, o)
		if err != nil || done.Outcome != "" {
			return done, err
		}
		done, err = l.openOrAdopt(ctx, f, a, nil)
		if !errors.Is(err, errOvertaken) {
			return done, err
		}
	}
	return Promoted{}, fmt.Errorf("promote %s: %d times in a row: %w", o.Set, supersedes, errOvertaken)
}

// prepared reads the newest head and gives the promotion that an order comes to; an outcome where there is nothing left
// to do.
func (l *Line) prepared(ctx context.Context, o PromoteOrder) (*fleet, ascent, Promoted, error) {
	f, err := l.refresh(ctx)
	if err != nil {
		return f, ascent{}, Promoted{}, err
	}
	a, done, err := l.consider(ctx, f, o)
	return f, a, done, err
}

// consider gives the promotion that an order comes to at a fleet, with its gates; an outcome where it is refused, or
// there is nothing to do.
func (l *Line) consider(ctx context.Context, f *fleet, o PromoteOrder) (ascent, Promoted, error) {
	if err := slices.Clone(f.refused).Err(); err != nil {
		return ascent{}, Promoted{}, err // nothing is built on that head
	}
	a, why, err := l.ascend(ctx, f, o)
	if err == nil && len(why) == 0 {
		why, err = l.heldBack(f, a)
	}
	if err != nil {
		return a, Promoted{}, err
	}
	done := a.promoted()
	switch {
	case len(why) > 0:
		done.Outcome, done.Why = PromotedRefused, why
		return a, done, nil
	case len(a.moves) == 0:
		done.Outcome, done.Why = PromotedNothing, a.unmet()
		return a, done, nil
	}
	if a.frozen != "" {
		return a, done, nil // nothing moves: no gate has a say
	}
	a.gates = l.gatesOf(f, a, l.now())
	done = a.promoted()
	for _, g := range done.Gates {
		if !g.Open && !(mirror.Reason{Code: g.Code}).Waits() {
			done.Outcome, done.Why = PromotedRefused, append(done.Why, g.Why)
		}
	}
	if wants := f.policy.Wants(o.Set, o.Stage); o.Way == ByCommit && wants.Proposal && done.Outcome == "" {
		done.Outcome, done.Why = PromotedRefused, []string{fmt.Sprintf("stage %s wants approvals, which a commit without a proposal never has", o.Stage)}
	}
	return a, done, nil
}

// promoteDirectly makes the promotion a commit on the newest head.
func (l *Line) promoteDirectly(ctx context.Context, o PromoteOrder) (Promoted, error) {
	if !l.config.Trust.Fleet.IsZero() {
		return Promoted{}, mirror.Problems{{Code: "PRM005", What: "promote " + mirror.OneLine(o.Set) + ": a commit of ours to stages/ would not count",
			Why: "trust.fleet asks that people sign what changes stages/", Fix: "promote by a proposal: --pr"}}
	}
	l.publishing.Lock()
	defer l.publishing.Unlock()
	for range supersedes {
		f, err := l.atHead(ctx)
		if err != nil {
			return Promoted{}, err
		}
		a, done, err := l.consider(ctx, f, o)
		if err != nil || done.Outcome != "" {
			return done, err
		}
		done, err = l.commitAscent(ctx, f, a)
		if errors.Is(err, git.ErrRejected) {
			l.metrics.conflicts.Inc()
			continue
		}
		return done, err
	}
	return Promoted{}, fmt.Errorf("promote %s: the branch moved %d times in a row: %w", o.Set, supersedes, git.ErrRejected)
}

// commitAscent commits a promotion on the head of a fleet. The caller holds publishing.
func (l *Line) commitAscent(ctx context.Context, f *fleet, a ascent) (Promoted, error) {
	done := a.promoted()
	change := a.change(f.desired.Files, l.newID(), l.now())
	commit, err := l.git.Commit(ctx, f.head, change)
	if err != nil {
		return done, fmt.Errorf("promote %s: %w", a.set.Name, gitError(err))
	}
	done.Outcome, done.Commit = PromotedCommitted, commit
	l.wakes.add(Wake{Why: "promoted", Sets: []string{a.set.Name}})
	return done, nil
}

// change is the commit that makes a stage file what a promotion wants; files are those of the fleet.
func (a ascent) change(files mirror.Files, run string, at time.Time) git.Change {
	written, gone := a.file.Write(files, a.document())
	c := git.Change{Files: written, Message: a.message(run), At: at}
	if len(gone) == 0 {
		return c
	}
	// Single files cannot be taken away, a folder's can: all others of it are written as they are.
	dir := "stages/" + a.set.Name
	c.Owned, c.Files = []string{dir}, mirror.Files{}
	for _, name := range files.Under(dir) {
		if !slices.Contains(gone, name) {
			c.Files[name] = files[name]
		}
	}
	for name, body := range written {
		c.Files[name] = body
	}
	return c
}

// maxMoveLines bounds how many lines of a message, and of the text of a proposal, name single entries.
const maxMoveLines = 100

// message is what the commit of a promotion says.
func (a ascent) message(run string) string {
	to := map[bool]string{false: "to", true: "at"}[a.back]
	text := fmt.Sprintf("%s: %s %s %s\n\n", a.set.Name, a.facts("").Summary(), to, a.stage)
	if a.set.Packages && !a.back {
		text = publish.PackagesTitle(a.facts("")) + "\n\n"
	}
	for i, m := range a.moves {
		if i == maxMoveLines {
			text += fmt.Sprintf("and %d more\n", len(a.moves)-i)
			break
		}
		text += m.String() + "\n"
	}
	if a.reason != "" {
		text += "\nReason: " + a.reason + "\n" // never a line of its own: it could read as a trailer
	}
	text += "\n"
	if a.by != "" {
		text += requestedBy + ": " + a.by + "\n"
	}
	return text + mirror.Trailer + ": " + run + "\n"
}

// requestedBy is the trailer that names who asked the daemon for a commit.
const requestedBy = "Requested-By"
