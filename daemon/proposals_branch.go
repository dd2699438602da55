package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	pushTries = 5                    // branches that are tried before a proposal is left for later
	maxAsked  = 1000                 // contents whose end is remembered; the forge is asked again for others
	maxEnded  = 1000                 // proposals that are over among which one that was declined is looked for
	longAgo   = 180 * 24 * time.Hour // how far back the forge is asked what became of a proposal
)

// errOvertaken says that what a promotion was decided by is over: the branch moved, or somebody opened a proposal,
// after they were read. It is decided anew, so that what was merged a moment ago is not proposed again.
var errOvertaken = errors.New("the branch or the proposals are others than a moment ago")

// unmoved gives what the refs name now, where that is what f was read from: what another daemon of this site recorded
// meanwhile counts as well.
func (l *Line) unmoved(ctx context.Context, f *fleet) (git.Listing, error) {
	listing, err := l.git.Listing(ctx)
	switch {
	case err != nil:
		return listing, gitError(err)
	case listing.Branch(l.config.Git.Branch) != f.head, l.apart() && listing.Branch(l.config.Git.State()) != f.state:
		return listing, errOvertaken
	}
	return listing, nil
}

// pushNew pushes a promotion to a branch that no open proposal has, and that none had which people reviewed.
func (l *Line) pushNew(ctx context.Context, f *fleet, a ascent, branch string, open []forge.Proposal) (name, commit string, err error) {
	for range pushTries {
		listing, err := l.unmoved(ctx, f)
		if err != nil {
			return "", "", err
		}
		n := lastNumber(listing, branch)
		name := numbered(branch, max(1, n))
		old := listing.Branch(name)
		if n > 0 {
			reusable, err := l.reusable(ctx, a, name, old, open)
			if err != nil {
				return "", "", err
			}
			if !reusable {
				name, old = numbered(branch, n+1), ""
			}
		}
		commit, err = l.git.Branch(ctx, name, old, f.head, a.change(f.desired.Files, l.newID(), l.now()))
		if errors.Is(err, git.ErrRejected) {
			continue
		}
		if err != nil {
			return "", "", fmt.Errorf("push %s: %w", name, gitError(err))
		}
		return name, commit, nil
	}
	return "", "", fmt.Errorf("push %s: somebody else pushed %d times in a row: %w", branch, pushTries, git.ErrRejected)
}

// lastNumber gives the highest number of a branch that is there already; 0 for none.
func lastNumber(listing git.Listing, branch string) (last int) {
	if listing.Branch(branch) != "" {
		last = 1
	}
	for ref := range listing.Refs {
		if digits, ok := strings.CutPrefix(ref, "refs/heads/"+branch+"-"); ok {
			if n, err := strconv.Atoi(digits); err == nil && n > last && numbered(branch, n) == strings.TrimPrefix(ref, "refs/heads/") {
				last = n
			}
		}
	}
	return last
}

// reusable says whether a branch that is there may be written again: it is ours, and what was proposed by it was
// merged, or nothing ever was.
func (l *Line) reusable(ctx context.Context, a ascent, name, at string, open []forge.Proposal) (bool, error) {
	if slices.ContainsFunc(open, func(p forge.Proposal) bool { return p.Head == name && !p.Foreign }) {
		return false, nil
	}
	if made, err := l.madeByUs(ctx, name, at, a.set.Name); err != nil || !made {
		return false, err
	}
	before, err := l.forge.Proposals(ctx, forge.Query{Base: l.config.Git.Branch, Head: name, Since: l.now().Add(-longAgo)})
	if errors.Is(err, forge.ErrTooMany) {
		return false, nil // what was proposed by it is not known
	}
	if err != nil {
		return false, fmt.Errorf("list proposals of %s: %w", name, err)
	}
	if slices.ContainsFunc(before, func(p forge.Proposal) bool { return p.State == forge.Open && !p.Foreign }) {
		return false, errOvertaken
	}
	return !slices.ContainsFunc(before, func(p forge.Proposal) bool { return p.State != forge.Merged }), nil
}

// proposeBranch pushes a promotion where there is no forge: people open the proposal, or merge. A branch of ours is
// written anew; one that people added commits to is left to them.
func (l *Line) proposeBranch(ctx context.Context, f *fleet, a ascent) (Promoted, error) {
	w, _, err := l.wording(a)
	if err != nil {
		return Promoted{}, err
	}
	listing, err := l.unmoved(ctx, f)
	if err != nil {
		return Promoted{}, err
	}
	done, old := a.promoted(), listing.Branch(w.Branch)
	done.Outcome, done.Branch, done.Commit = PromotedAdopted, w.Branch, old
	if old != "" {
		made, err := l.madeByUs(ctx, w.Branch, old, a.set.Name)
		if err != nil {
			return Promoted{}, err
		}
		if !made {
			done.Why = []string{"people changed its branch, so it is left to them"}
			return done, nil
		}
		if current, err := l.says(ctx, f, a, old); err != nil || current {
			return done, err
		}
	}
	if done.Commit, err = l.git.Branch(ctx, w.Branch, old, f.head, a.change(f.desired.Files, l.newID(), l.now())); err != nil {
		return Promoted{}, fmt.Errorf("push %s: %w", w.Branch, gitError(err))
	}
	done.Outcome = PromotedPushed
	l.proposing.pushed[w.Branch] = a.candidate()
	l.tellProposed(done, a)
	return done, nil
}

// wasDeclined says whether people closed a proposal of this identity and content without merging it, and tells that
// once. The forge is asked, so that a new machine knows it too. One that is not among the newest that are over counts for
// nothing: what is proposed again moves nothing, and people who decline it again are heard for as long again; while
// automation that stopped for good in a busy repository would be seen by nobody.
func (l *Line) wasDeclined(ctx context.Context, a ascent) (bool, error) {
	if l.forge == nil {
		return l.tookAway(ctx, a)
	}
	key := a.identity(l.config.Site) + " " + a.candidate().String()
	if l.proposing.declined[key] {
		return true, nil
	}
	if at, asked := l.proposing.asked[key]; asked && l.now().Sub(at) < l.deskPoll() {
		return false, nil
	}
	ended, err := l.forge.Proposals(ctx, forge.Query{Base: l.config.Git.Branch, Since: l.now().Add(-longAgo), Most: maxEnded})
	if err != nil {
		return false, fmt.Errorf("list proposals: %w", err)
	}
	if len(l.proposing.asked) > maxAsked {
		clear(l.proposing.asked)
	}
	l.proposing.asked[key] = l.now()
	for _, p := range ended {
		mark, _, marked := markOf(p.Body)
		if p.State != forge.Declined || !marked || p.Foreign || mark.Superseded > 0 || mark.ID != a.identity(l.config.Site) || mark.Candidate != a.candidate() {
			continue
		}
		if mine, err := l.opened(ctx, p); err != nil {
			return false, err
		} else if !mine {
			continue // who may read may open one and close it
		}
		l.proposing.decline(key)
		return true, nil
	}
	return false, nil
}

// tookAway says whether people deleted the branch that this process pushed with just this content: without a forge that
// is how they decline.
func (l *Line) tookAway(ctx context.Context, a ascent) (bool, error) {
	w, _, err := l.wording(a)
	if err != nil || l.proposing.pushed[w.Branch] != a.candidate() {
		return false, err
	}
	listing, err := l.git.Listing(ctx)
	if err != nil {
		return false, gitError(err)
	}
	return listing.Branch(w.Branch) == "", nil
}

// tellDeclined tells of proposals of ours that were open before and that people closed without merging.
func (l *Line) tellDeclined(ctx context.Context, open []forge.Proposal) error {
	now := map[int]Event{}
	for _, p := range open {
		mark, _, marked := markOf(p.Body)
		if !marked || p.Foreign {
			continue
		}
		if mine, err := l.opened(ctx, p); err != nil {
			return err
		} else if !mine {
			continue
		}
		e, known := l.proposing.open[p.Number]
		if !known {
			e = Event{Type: EventDeclined, Set: mirror.OneLine(mark.Set), Stage: mirror.Stage(mirror.OneLine(string(mark.Stage))), Number: p.Number, URL: p.URL, Reason: mirror.OneLine(p.Title)}
		}
		now[p.Number] = e
	}
	var errs []error
	for _, n := range slices.Sorted(maps.Keys(l.proposing.open)) {
		if _, still := now[n]; still {
			continue
		}
		p, err := l.forge.Proposal(ctx, n)
		if err != nil && !errors.Is(err, forge.ErrNotFound) {
			errs = append(errs, fmt.Errorf("proposal #%d: %w", n, err))
			now[n] = l.proposing.open[n]
			continue
		}
		if mark, _, marked := markOf(p.Body); err == nil && p.State == forge.Declined && marked && mark.Superseded == 0 {
			l.emit(l.proposing.open[n])
			l.proposing.decline(mark.ID + " " + mark.Candidate.String())
		}
	}
	l.proposing.open = now
	return errors.Join(errs...)
}
