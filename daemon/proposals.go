package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

// proposer is what the process remembers of the proposals that it made.
type proposer struct {
	slot     chan struct{}            // has room for one: the desk makes proposals, and orders do. Its holder has what follows
	open     map[int]Event            // those of ours that were open when they were listed last
	declined map[string]bool          // by identity and candidate: people closed it without merging
	asked    map[string]time.Time     // by identity and candidate: when the forge was asked whether they did
	pushed   map[string]mirror.Digest // by branch, without a forge: the candidate that it was pushed with
	told     map[string]string        // by set and stage: what keeps automation from acting, as it was told last
}

func newProposer() *proposer {
	return &proposer{slot: make(chan struct{}, 1), open: map[int]Event{}, declined: map[string]bool{}, asked: map[string]time.Time{}, pushed: map[string]mirror.Digest{}, told: map[string]string{}}
}

// take waits until nobody else makes proposals, or ctx ends. Who has it gives it back by release.
func (p *proposer) take(ctx context.Context) error {
	select {
	case p.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("proposals are being made: %w", context.Cause(ctx))
	}
}

func (p *proposer) release() { <-p.slot }

// decline remembers that people closed a proposal. Who forgets it asks the forge again.
func (p *proposer) decline(key string) {
	if len(p.declined) >= maxAsked {
		clear(p.declined)
	}
	p.declined[key] = true
}

// ours is an open proposal of one identity.
type ours struct {
	forge.Proposal
	mark    proposalMark
	touched string // what people changed about it, in words; "" for nothing
}

// openOrAdopt opens a proposal for a promotion, or takes the open one of the same identity: as it is where it says the
// same or people changed it, with the new content while nobody reviewed it, else by another one in its place. open are
// the open proposals as far as they are known already. The caller holds proposing.
func (l *Line) openOrAdopt(ctx context.Context, f *fleet, a ascent, open []forge.Proposal) (Promoted, error) {
	if l.forge == nil {
		return l.proposeBranch(ctx, f, a)
	}
	if open == nil {
		var err error
		if open, err = l.forge.Proposals(ctx, forge.Query{Base: l.config.Git.Branch}); err != nil {
			return Promoted{}, fmt.Errorf("list proposals: %w", err)
		}
	}
	same, err := l.identical(ctx, a, open)
	if err != nil {
		return Promoted{}, err
	}
	for _, p := range same {
		if p.touched != "" {
			return adopted(a, p, "people changed "+p.touched+", so it is left to them"), nil
		}
	}
	if len(same) == 0 {
		return l.openNew(ctx, f, a, open, nil)
	}
	newest := same[0]
	if a.by == "" {
		a.by = newest.mark.By // who asked for it first cannot approve it afterwards either
	}
	current, err := l.says(ctx, f, a, newest.HeadCommit)
	if err != nil {
		return Promoted{}, err
	}
	if current && newest.mark.Candidate == a.candidate() {
		done := adopted(a, newest, "")
		return l.supersede(ctx, done, same[1:])
	}
	reviews, err := l.forge.Reviews(ctx, newest.Number)
	if err != nil {
		return Promoted{}, fmt.Errorf("reviews of #%d: %w", newest.Number, err)
	}
	// Some forges count a comment as a review, and ours stand there, too.
	if slices.ContainsFunc(reviews, func(r forge.Review) bool { return r.By != newest.Author }) {
		return l.openNew(ctx, f, a, open, same)
	}
	done, err := l.renew(ctx, f, a, newest)
	if err != nil {
		return done, err
	}
	return l.supersede(ctx, done, same[1:])
}

// adopted is the answer for a proposal that stays as it is.
func adopted(a ascent, p ours, why string) Promoted {
	done := a.promoted()
	done.Outcome, done.Commit, done.Branch, done.Proposal, done.URL = PromotedAdopted, p.HeadCommit, p.Head, p.Number, p.URL
	if why != "" {
		done.Why = []string{why}
	}
	return done
}

// identical gives the open proposals of the same identity, newest first. One that somebody else opened, or whose head is
// in another repository, is none of ours whatever its text says: whoever can read ours can copy its mark.
func (l *Line) identical(ctx context.Context, a ascent, open []forge.Proposal) (same []ours, err error) {
	id := a.identity(l.config.Site)
	for _, p := range open {
		mark, rest, marked := markOf(p.Body)
		if !marked || mark.ID != id || p.Foreign || p.State != forge.Open {
			continue
		}
		if mine, err := l.opened(ctx, p); err != nil {
			return nil, err
		} else if !mine {
			continue
		}
		one := ours{Proposal: p, mark: mark}
		made, err := l.madeByUs(ctx, p.Head, p.HeadCommit, a.set.Name)
		switch {
		case err != nil:
			return nil, err
		case !made:
			one.touched = "its branch"
		case mark.textOf(p.Title, rest) != mark.Text:
			one.touched = "its title or text"
		}
		same = append(same, one)
	}
	return same, nil
}

// opened says whether our own account opened a proposal.
func (l *Line) opened(ctx context.Context, p forge.Proposal) (bool, error) {
	us, err := l.forge.Self(ctx)
	if err != nil {
		return false, fmt.Errorf("ask whom our credential is of: %w", err)
	}
	return us != "" && strings.EqualFold(p.Author, us), nil
}

// madeByUs says whether the head of a branch is a commit of ours that changes nothing but stage files of a set.
func (l *Line) madeByUs(ctx context.Context, branch, commit, set string) (bool, error) {
	if err := l.git.Bring(ctx, "refs/heads/"+branch, commit); err != nil {
		return false, fmt.Errorf("fetch branch %s: %w", branch, gitError(err))
	}
	made, err := l.git.Made(commit, "stages/"+set)
	if err != nil {
		return false, fmt.Errorf("head of branch %s: %w", branch, err)
	}
	return made, nil
}

// says whether merging a commit makes the stage file list just what the promotion wants.
func (l *Line) says(ctx context.Context, f *fleet, a ascent, head string) (bool, error) {
	files, conflicts, err := l.git.MergedFiles(ctx, f.head, head, "stages/"+a.set.Name)
	if err != nil && !errors.As(err, new(mirror.Problems)) {
		return false, fmt.Errorf("merge of %s: %w", brief(head), err)
	}
	return err == nil && len(conflicts) == 0 && mirror.Lists(files, a.document(), a.file.Lines), nil
}

// openNew pushes a branch and opens a proposal, in the place of others where there are some.
func (l *Line) openNew(ctx context.Context, f *fleet, a ascent, open []forge.Proposal, instead []ours) (Promoted, error) {
	w, body, err := l.wording(a)
	if err != nil {
		return Promoted{}, err
	}
	branch, commit, err := l.pushNew(ctx, f, a, w.Branch, open)
	if err != nil {
		return Promoted{}, err
	}
	p, err := l.forge.Propose(ctx, forge.New{Head: branch, Base: l.config.Git.Branch, Title: w.Title, Body: body, Labels: w.Labels})
	if err != nil {
		return Promoted{}, fmt.Errorf("open a proposal for %s: %w", branch, err)
	}
	done := a.promoted()
	done.Outcome, done.Commit, done.Branch, done.Proposal, done.URL = PromotedOpened, commit, branch, p.Number, p.URL
	l.tellProposed(done, a)
	return l.supersede(ctx, done, instead)
}

// tellProposed tells of a proposal that was opened or renewed, and lets the desk write what it would do.
func (l *Line) tellProposed(done Promoted, a ascent) {
	l.emit(Event{Type: EventProposed, Set: done.Set, Stage: done.Stage, Commit: done.Commit, By: a.by, Number: done.Proposal, URL: done.URL,
		Reason: string(done.Outcome) + ": " + a.facts(l.config.Site).Summary()})
	if done.Proposal > 0 {
		l.callDesk(done.Proposal)
	}
}

// renew gives an open proposal that nobody reviewed the new content: first its branch, then its text.
func (l *Line) renew(ctx context.Context, f *fleet, a ascent, p ours) (Promoted, error) {
	w, body, err := l.wording(a)
	if err != nil {
		return Promoted{}, err
	}
	if _, err := l.unmoved(ctx, f); err != nil {
		return Promoted{}, err
	}
	commit, err := l.git.Branch(ctx, p.Head, p.HeadCommit, f.head, a.change(f.desired.Files, l.newID(), l.now()))
	if errors.Is(err, git.ErrRejected) {
		return adopted(a, p, "somebody pushed to its branch just now"), nil
	}
	if err != nil {
		return Promoted{}, fmt.Errorf("push %s: %w", p.Head, gitError(err))
	}
	if err := l.forge.Change(ctx, p.Number, forge.Change{Title: &w.Title, Body: &body, Labels: w.Labels}); err != nil {
		return Promoted{}, fmt.Errorf("edit #%d: %w", p.Number, err)
	}
	done := adopted(a, p, "")
	done.Outcome, done.Commit = PromotedRenewed, commit
	l.tellProposed(done, a)
	return done, nil
}

// supersede closes proposals of the same identity that another one took the place of.
func (l *Line) supersede(ctx context.Context, done Promoted, old []ours) (Promoted, error) {
	for _, p := range old {
		if err := l.retire(ctx, p, done.Proposal, fmt.Sprintf("Superseded by %s: the stage below moved on after this one was reviewed.", done.URL)); err != nil {
			return done, err
		}
		done.Superseded = append(done.Superseded, p.Number)
	}
	return done, nil
}

// retire closes a proposal of ours, which says why, and deletes its branch; by is the one that took its place, or its own number.
func (l *Line) retire(ctx context.Context, p ours, by int, why string) error {
	if _, err := l.forge.Comment(ctx, p.Number, "poundlock:superseded", why); err != nil {
		return fmt.Errorf("comment on #%d: %w", p.Number, err)
	}
	if body, ok := superseded(p.Proposal, by); ok { // so that nobody takes it for declined
		if err := l.forge.Change(ctx, p.Number, forge.Change{Body: &body}); err != nil {
			return fmt.Errorf("edit #%d: %w", p.Number, err)
		}
	}
	if err := l.forge.Close(ctx, p.Number); err != nil {
		return fmt.Errorf("close #%d: %w", p.Number, err)
	}
	if p.touched != "" {
		return nil // what people pushed is theirs
	}
	// The forge keeps what was reviewed. A branch that somebody pushes to just now is not where it was, and stays.
	if err := l.git.DeleteBranch(ctx, p.Head, p.HeadCommit); err != nil && !errors.Is(err, git.ErrRejected) {
		l.log.Warn("the branch of a proposal that is over is not deleted", keyRef, p.Head, keyError, err)
	}
	return nil
}
