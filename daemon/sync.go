package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

const (
	setsAtOnce = 4 // sets whose steps run side by side
	supersedes = 5 // times in a row that a cycle starts over because the inputs moved meanwhile
)

// Sync runs the line until every set is at rest: all that policy admits is copied, tagged and committed, or
// has failed. The reports are the last one of each set.
func (l *Line) Sync(ctx context.Context, w Wake) ([]Report, error) {
	last := map[string]Report{}
	defer l.answer()()
	w.Strict = true
	reports, err := l.cycle(ctx, w)
	take(last, reports)
	// A set whose step failed does not stop the copies of the others from being tagged and committed.
	for l.busy() {
		next, ended := l.arrival(ctx)
		if ended != nil {
			err = errors.Join(err, ended)
			break
		}
		if len(next.Sets) == 0 {
			continue // packages were compared, and are what they were
		}
		next.Only = w.Only
		reports, failed := l.cycle(ctx, next)
		take(last, reports)
		err = errors.Join(err, failed)
	}
	for rest := l.unjudged(w); err == nil && len(rest) > 0; rest = l.unjudged(w) {
		reports, err = l.cycle(ctx, Wake{Why: "judging", Local: true, Sets: rest, Only: w.Only})
		take(last, reports)
	}
	if err == nil && l.idle() {
		l.sweep(ctx)
	}
	err = errors.Join(err, l.settleChannels(ctx))
	if made, failed := l.makeBesides(ctx); len(made) > 0 { // its name goes into what is rendered
		reports, err2 := l.cycle(ctx, Wake{Why: "distribution made", Local: true, Sets: made, Only: w.Only})
		take(last, reports)
		err = errors.Join(err, failed, err2)
	} else {
		err = errors.Join(err, failed)
	}
	l.attendOnce(ctx)
	return l.asLeft(inOrder(last)), err
}

// answer lets the commands ask how far this is, until what it gives is called. A sync does its work without, too.
func (l *Line) answer() (end func()) {
	shown := newFace(l.metrics, l.now)
	shown.line.Store(l)
	commands, err := shown.listenSocket(l.config)
	if err != nil {
		l.log.Debug("commands cannot ask how far the sync is", keyError, err)
		return func() {}
	}
	return func() {
		if err := commands.close(); err != nil {
			l.log.Warn("the socket was not closed in order", keyError, err)
		}
	}
}

// take puts later reports over earlier ones: what is left is the newest, what was done adds up.
func take(last map[string]Report, reports []Report) {
	for _, r := range reports {
		r.Moved, r.Bytes = append(last[r.Set].Moved, r.Moved...), r.Bytes+last[r.Set].Bytes
		r.Commit = cmp.Or(r.Commit, last[r.Set].Commit)
		last[r.Set] = r
	}
}

func inOrder(last map[string]Report) []Report {
	all := []Report{}
	for _, name := range sortedKeys(last) {
		all = append(all, last[name])
	}
	return all
}

// sweep cancels uploads of an earlier process that nobody takes up. One that cannot be cancelled is left to
// the registry's own purge.
func (l *Line) sweep(ctx context.Context) {
	if err := l.mover.Sweep(ctx); err != nil {
		l.log.Warn("uploads left open", keyError, err)
	}
}

// unjudged lists the sets of which so much stands that a changed policy takes more than one step to judge it.
func (l *Line) unjudged(w Wake) (sets []string) {
	f := l.fleet.Load()
	if f == nil {
		return nil
	}
	for _, set := range f.desired.Sets {
		if _, suspended := l.Suspended(set.Name); !suspended && w.allows(set.Name) && l.progress(set.Name).judgesOn(l.now()) {
			sets = append(sets, set.Name)
		}
	}
	return sets
}

func (l *Line) busy() bool {
	f := l.fleet.Load()
	if f == nil {
		return false
	}
	for _, set := range f.desired.Sets {
		if l.works(set.Name) {
			return true
		}
	}
	return false
}

// cycle looks at Git once and steps every set that has a reason to. Nothing else happens when neither the
// inputs changed nor anything is due. The reports are nil when the fleet repository could not be read, so that
// no set was looked at.
func (l *Line) cycle(ctx context.Context, w Wake) ([]Report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.config.Limits.Cycle, errCycleDeadline)
	defer cancel()
	for try := 1; ; try++ {
		reports, err := l.cycleOnce(ctx, w)
		if err == nil {
			reports, err = l.lift(ctx, w, reports)
		}
		if try >= supersedes || !errors.Is(err, publish.ErrSuperseded) {
			if cause := context.Cause(ctx); err != nil && errors.Is(cause, errCycleDeadline) {
				err = fmt.Errorf("%w: %w", cause, err)
			}
			if !w.Local || err != nil {
				l.setReady(err)
			}
			return reports, err
		}
		w.Local = false
	}
}

// lift steps sets again of which something rose to a stage while something else waited for just that: a
// promotion that was merged together with what it promotes. Each round needs a tag that moved, so it ends.
func (l *Line) lift(ctx context.Context, w Wake, reports []Report) ([]Report, error) {
	last := map[string]Report{}
	take(last, reports)
	for {
		var sets []string
		for _, r := range reports {
			if len(r.Moved) > 0 && slices.ContainsFunc(r.Plan.Actions, waitsBelow) {
				sets = append(sets, r.Set)
			}
		}
		if len(sets) == 0 {
			return inOrder(last), nil
		}
		var err error
		reports, err = l.cycleOnce(ctx, Wake{Why: "lifted", Local: true, Sets: sets, Only: w.Only})
		take(last, reports)
		if err != nil {
			return inOrder(last), err
		}
	}
}

func waitsBelow(a mirror.Action) bool {
	return a.Kind == mirror.Refuse && a.Reason.Code == mirror.NotBelow
}

var errCycleDeadline = errors.New("the cycle took longer than limits.cycle")

func (l *Line) cycleOnce(ctx context.Context, w Wake) ([]Report, error) {
	f := l.fleet.Load()
	var mistake error // in the newest commit, while the last good one stays in force
	if !w.Local || f == nil {
		if f, mistake = l.refresh(ctx); f == nil || mistake != nil && w.Strict {
			return nil, mistake
		}
	}
	if err := l.limit.check(f.desired); err != nil {
		return nil, err
	}
	if f.held != nil || f.refused != nil {
		return nil, slices.Concat(f.refused, f.held).Err()
	}
	at := l.now()
	if f = l.withListings(ctx, f, w, at, -1); ctx.Err() != nil {
		return nil, ctx.Err()
	}
	reports := make([]Report, len(f.desired.Sets))
	errs := make([]error, len(f.desired.Sets))
	var group errgroup.Group
	group.SetLimit(setsAtOnce)
	for i, set := range f.desired.Sets {
		if _, suspended := l.Suspended(set.Name); suspended || !w.allows(set.Name) || !w.steps(set.Name) && !l.progress(set.Name).due(f.versionOf(set), at) {
			continue
		}
		// One set that fails never stops another, so errors are gathered and nothing is cancelled.
		group.Go(func() error {
			reports[i], errs[i] = l.Step(ctx, f, set, w, at)
			return nil
		})
	}
	group.Wait()
	done := []Report{}
	for _, r := range reports {
		if r.Set != "" && r.Suspended == nil {
			done = append(done, r)
		}
	}
	if len(done) > 0 {
		l.log.Debug("cycle", keyWake, w.Why, keySets, len(done))
	}
	return done, errors.Join(append(errs, mistake)...)
}

// idle says whether nothing is on its way and nothing waits to be tried again: what an upload session of an
// earlier process could still be good for has been taken up.
func (l *Line) idle() bool {
	f := l.fleet.Load()
	if f == nil || l.busy() {
		return false
	}
	return !slices.ContainsFunc(f.desired.Sets, func(s mirror.Set) bool { return !l.progress(s.Name).nextRetry().IsZero() })
}
