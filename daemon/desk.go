package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	deskWithin  = 10 * time.Minute    // one turn of the desk, all proposals of it
	firstAgain  = 15 * time.Second    // how long after a failed turn the next one comes; doubled up to forge.poll
	lookBack    = 14 * 24 * time.Hour // how long ago a proposal may have been merged whose end is still told
	lookOverlap = 10 * time.Minute    // for a forge whose clock is behind
)

// desk is where proposals are looked at, one turn after another, beside the cycles: what a merge would do is told on
// each, what became of a merge is told on its commit, and proposals of our own are opened. Nothing of it is needed to
// know what stands, and nothing of it needs to survive a restart.
type desk struct {
	signal    chan struct{}
	consulted consulted

	mu      sync.Mutex
	all     bool // every open proposal is to be looked at
	numbers map[int]bool
	heads   string             // the head of the branch at the last call
	steps   map[string]outcome // by set: how its last step ended
	looked  time.Time          // when a turn last ended
	trouble *mirror.Problem    // why it did not end well

	turn     sync.Mutex // one at a time; guards what follows
	listed   time.Time  // when the forge was last asked for all
	reviewed map[int]reviewed
	merges   map[int]merge
	over     map[int]time.Time // merges whose end was told, and when
}

func newDesk() *desk {
	return &desk{signal: make(chan struct{}, 1), numbers: map[int]bool{}, steps: map[string]outcome{}, reviewed: map[int]reviewed{}, merges: map[int]merge{}, over: map[int]time.Time{}}
}

// errand is what the desk was called for.
type errand struct {
	all     bool
	numbers []int
}

// callDesk makes the desk look at proposals by their numbers, or at all that are open when none is given. It never
// waits; calls before a turn are one.
func (l *Line) callDesk(numbers ...int) {
	if l.desk != nil {
		l.desk.call(errand{all: len(numbers) == 0, numbers: numbers})
	}
}

func (d *desk) call(e errand) {
	d.keep(e)
	select {
	case d.signal <- struct{}{}:
	default:
	}
}

// take gives what the desk was called for since it was asked last; false where it was not.
func (d *desk) take() (errand, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := errand{d.all, slices.Sorted(maps.Keys(d.numbers))}
	d.all = false
	clear(d.numbers)
	return e, e.all || len(e.numbers) > 0
}

// cycled calls the desk where a cycle found or made anything new: the branch moved, or tags did.
func (l *Line) cycled(reports []Report) {
	f := l.fleet.Load()
	if f == nil || l.desk == nil {
		return
	}
	l.desk.mu.Lock()
	moved := l.desk.heads != f.head || slices.ContainsFunc(reports, func(r Report) bool { return len(r.Moved) > 0 })
	l.desk.heads = f.head
	l.desk.mu.Unlock()
	if moved {
		l.callDesk()
	}
}

// attend is the loop of the desk, until ctx ends. A forge that is slow or down holds up nothing but the desk.
func (l *Line) attend(ctx context.Context) error {
	poll := time.NewTicker(l.deskPoll())
	defer poll.Stop()
	again := time.NewTimer(time.Hour)
	again.Stop()
	defer again.Stop()
	said, wait := complaints{}, firstAgain
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
			l.callDesk()
			continue
		case <-again.C:
		case <-l.desk.signal:
		}
		e, called := l.desk.take()
		if !called {
			continue
		}
		err := l.serve(ctx, e)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.attended(err)
		if err == nil {
			clear(said)
			wait = firstAgain
			continue
		}
		l.complainOf("proposals could not be looked at", err, said)
		l.desk.keep(e)
		again.Reset(l.until(err, wait))
		wait = min(2*wait, max(firstAgain, l.deskPoll()))
	}
}

// keep notes an errand without calling, such as one that was not done.
func (d *desk) keep(e errand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = d.all || e.all
	for _, n := range e.numbers {
		d.numbers[n] = true
	}
}

// deskPoll is how often the desk looks without being called.
func (l *Line) deskPoll() time.Duration { return cmp.Or(l.config.Forge.Poll, 5*time.Minute) }

// until is how long to leave the forge alone: as long as it says, else as given.
func (l *Line) until(err error, wait time.Duration) time.Duration {
	if limited := (*forge.LimitedError)(nil); errors.As(err, &limited) {
		return max(firstAgain, limited.Until.Sub(l.now()))
	}
	return wait
}

// attendOnce is one turn over everything, for a line that does not run on. What goes wrong in it is told and changes
// nothing of what was synced.
func (l *Line) attendOnce(ctx context.Context) {
	if l.offline || l.temporary || ctx.Err() != nil || l.fleet.Load() == nil {
		return
	}
	if err := l.serve(ctx, errand{all: true}); err != nil && ctx.Err() == nil {
		l.complainOf("proposals could not be looked at", err, complaints{})
	}
}

// serve is one turn of the desk.
func (l *Line) serve(ctx context.Context, e errand) error {
	l.desk.turn.Lock()
	defer l.desk.turn.Unlock()
	f := l.fleet.Load()
	if f == nil {
		return nil // the first cycle calls again
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deskWithin, fmt.Errorf("proposals took longer than %s", deskWithin))
	defer cancel()
	if l.forge == nil {
		return l.proposeDue(ctx, f, nil)
	}
	open, err := l.proposals(ctx, e)
	if err != nil {
		return err
	}
	var errs []error
	if e.all {
		errs = append(errs, l.proposeDue(ctx, f, open))
	}
	errs = append(errs, l.tellMerges(ctx, f)) // whoever merged is waiting for it
	r := &reviewer{line: l, fleet: f, called: e.numbers}
	defer r.close(context.WithoutCancel(ctx))
	for _, p := range open {
		if ctx.Err() != nil {
			break
		}
		if err := r.review(ctx, p); err != nil {
			errs = append(errs, fmt.Errorf("proposal #%d: %w", p.Number, err))
		}
		if errors.Is(err, forge.ErrLimited) {
			break
		}
	}
	return errors.Join(append(errs, context.Cause(ctx))...)
}

// proposals gives the open proposals of an errand, and notes those that were merged.
func (l *Line) proposals(ctx context.Context, e errand) (open []forge.Proposal, err error) {
	var found []forge.Proposal
	if e.all {
		began := l.now()
		since := began.Add(-lookBack)
		if !l.desk.listed.IsZero() {
			since = l.desk.listed.Add(-lookOverlap)
		}
		if found, err = l.forge.Proposals(ctx, forge.Query{Base: l.config.Git.Branch, Since: since}); err != nil {
			return nil, fmt.Errorf("list proposals: %w", err)
		}
		l.desk.listed = began
	} else {
		for _, n := range e.numbers {
			p, err := l.forge.Proposal(ctx, n)
			if errors.Is(err, forge.ErrNotFound) {
				continue // such as an issue, which has a number too
			}
			if err != nil {
				return nil, fmt.Errorf("proposal #%d: %w", n, err)
			}
			found = append(found, p)
		}
	}
	going := map[int]bool{}
	for _, p := range found {
		switch {
		case p.Base != l.config.Git.Branch:
		case p.State == forge.Open:
			going[p.Number] = true
			open = append(open, p)
		case p.State == forge.Merged:
			l.desk.sawMerge(p)
		}
	}
	if e.all {
		maps.DeleteFunc(l.desk.reviewed, func(n int, _ reviewed) bool { return !going[n] })
		maps.DeleteFunc(l.desk.over, func(_ int, at time.Time) bool { return l.now().Sub(at) > lookBack })
	}
	return open, nil
}

// complainOf tells trouble when it is new, and again after a while.
func (l *Line) complainOf(message string, err error, said complaints) {
	now := l.now()
	l.logTrouble(message, err, func(p mirror.Problem) bool {
		key := p.Code + " " + p.What + " " + p.Where.String()
		if at, told := said[key]; told && now.Sub(at) < remind {
			return false
		}
		said[key] = now
		return true
	})
}
