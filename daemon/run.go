package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/robfig/cron/v3"
	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

const (
	setsAtOnce = 4               // sets whose steps run side by side
	gather     = 2 * time.Second // how long arrivals of a set are gathered before they are tagged and committed
	supersedes = 5               // times in a row that a cycle starts over because the inputs moved meanwhile
)

// Run is the daemon: it looks at everything once, then whenever Git moved, the schedule or an audit is due,
// a copy arrived or a retry is due, until ctx ends. Copies go on until Close.
func (l *Line) Run(ctx context.Context) error {
	listening, err := l.serve(l.config.Listen)
	if err != nil {
		return err
	}
	l.setReady(errStarting)
	l.log.Info("listening", keyAddress, listening.listener.Addr().String())
	schedule, err := l.config.schedule()
	if err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	clock := cron.New(cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger)))
	clock.Schedule(schedule, cron.FuncJob(func() { l.wakes.add(Wake{Why: "schedule", Resolve: true}) }))
	clock.Start()
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.watch(gctx) })
	group.Go(func() error { return l.loop(gctx) })
	err = group.Wait()
	<-clock.Stop().Done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.config.Limits.Stop)
	defer cancel()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, listening.close(stop))
}

// watch turns arrivals of copies into wakes.
func (l *Line) watch(ctx context.Context) error {
	for {
		w, err := l.arrival(ctx)
		if err != nil {
			return err
		}
		l.wakes.add(w)
	}
}

// arrival waits until the mover finished something and takes in what ends within a moment, so that forty
// small images are one commit, and one hotfix does not wait for a large copy.
func (l *Line) arrival(ctx context.Context) (Wake, error) {
	set, dones, err := l.mover.Next(ctx)
	if err != nil {
		return Wake{}, err
	}
	w := Wake{Why: "copied", Local: true, Sets: []string{set}}
	l.takeIn(set, dones)
	more, cancel := context.WithTimeout(ctx, gather)
	defer cancel()
	for !l.mover.Idle(set) {
		other, dones, err := l.mover.Next(more)
		if err != nil {
			break
		}
		l.takeIn(other, dones)
		w = w.merge(Wake{Why: "copied", Local: true, Sets: []string{other}})
	}
	return w, ctx.Err()
}

func (l *Line) takeIn(set string, dones []mirror.Done) {
	l.progress(set).arrived(dones, l.now())
	for _, d := range dones {
		result := "copied"
		if d.Err != nil {
			result = "failed"
		}
		l.arrive(d)
		l.metrics.copied.WithLabelValues(d.Action.Image.Host, result).Add(float64(d.Bytes))
	}
}

func (l *Line) logArrival(d mirror.Done) {
	facts := []any{keySet, d.Action.Key.Set, keyEntry, d.Action.Key.Entry, keyRef, d.Action.Image.String()}
	if d.Err != nil {
		l.log.Error("copy failed", append(facts, keyError, d.Err)...)
		return
	}
	l.log.Info("image copied", append(facts, keyBytes, d.Bytes)...)
}

// loop is one cycle after another, never two at once.
func (l *Line) loop(ctx context.Context) error {
	poll, audit := time.NewTicker(l.config.Git.Poll), time.NewTicker(l.config.Audit)
	defer poll.Stop()
	defer audit.Stop()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	l.wakes.add(Wake{Why: "start", Resolve: true, Audit: true})
	var said complaint
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
			l.wakes.add(Wake{Why: "poll"})
		case <-audit.C:
			l.wakes.add(Wake{Why: "audit", Audit: true})
		case <-retry.C:
			l.wakes.add(Wake{Why: "retry", Local: true})
		case <-l.wakes.signal:
			w, ok := l.wakes.take()
			if !ok {
				continue
			}
			reports, err := l.cycle(ctx, w)
			if ctx.Err() == nil {
				said = l.complain(err, said, w)
			}
			if err != nil && reports == nil {
				l.wakes.keep(w)
			}
			if l.idle() {
				l.sweep(ctx)
			}
			retry.Reset(l.untilRetry())
		}
	}
}

// complaint is the last trouble of a cycle that the log told, and when.
type complaint struct {
	text string
	at   time.Time
}

// remind is how often the same trouble is told again.
const remind = time.Hour

// complain tells the trouble of a cycle when it is new, and again after a while.
func (l *Line) complain(err error, said complaint, w Wake) complaint {
	if err == nil {
		return complaint{}
	}
	if now := l.now(); err.Error() != said.text || now.Sub(said.at) >= remind {
		said = complaint{err.Error(), now}
		l.log.Error("cycle failed", keyWhy, w.Why, keyError, err)
	}
	return said
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

// untilRetry is how long until something that failed is due again.
func (l *Line) untilRetry() time.Duration {
	wait := time.Hour
	f := l.fleet.Load()
	if f == nil {
		return wait
	}
	for _, set := range f.desired.Sets {
		if next := l.progress(set.Name).nextRetry(); !next.IsZero() {
			wait = min(wait, max(time.Second, next.Sub(l.now())))
		}
	}
	return wait
}

// Sync runs the line until every set is at rest: all that policy admits is copied, tagged and committed, or
// has failed. The reports are the last one of each set.
func (l *Line) Sync(ctx context.Context, w Wake) ([]Report, error) {
	last := map[string]Report{}
	take := func(reports []Report) {
		for _, r := range reports {
			r.Moved, r.Bytes = append(last[r.Set].Moved, r.Moved...), r.Bytes+last[r.Set].Bytes
			if r.Commit == "" {
				r.Commit = last[r.Set].Commit
			}
			last[r.Set] = r
		}
	}
	w.Strict = true
	reports, err := l.cycle(ctx, w)
	take(reports)
	// A set whose step failed does not stop the copies of the others from being tagged and committed.
	for l.busy() {
		next, ended := l.arrival(ctx)
		if ended != nil {
			err = errors.Join(err, ended)
			break
		}
		next.Only = w.Only
		reports, failed := l.cycle(ctx, next)
		take(reports)
		err = errors.Join(err, failed)
	}
	if err == nil && l.idle() {
		l.sweep(ctx)
	}
	var all []Report
	for _, name := range sortedKeys(last) {
		all = append(all, last[name])
	}
	return all, err
}

// sweep cancels uploads of an earlier process that nobody takes up. One that cannot be cancelled is left to
// the registry's own purge.
func (l *Line) sweep(ctx context.Context) {
	if err := l.mover.Sweep(ctx); err != nil {
		l.log.Warn("uploads left open", keyError, err)
	}
}

func (l *Line) busy() bool {
	f := l.fleet.Load()
	if f == nil {
		return false
	}
	for _, set := range f.desired.Sets {
		if !l.mover.Idle(set.Name) {
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

var errCycleDeadline = errors.New("the cycle took longer than limits.cycle")

func (l *Line) cycleOnce(ctx context.Context, w Wake) ([]Report, error) {
	f := l.fleet.Load()
	var mistake error // in the newest commit, while the last good one stays in force
	if !w.Local || f == nil {
		if f, mistake = l.refresh(ctx); f == nil || mistake != nil && w.Strict {
			return nil, mistake
		}
	}
	for _, name := range w.Only {
		if _, ok := f.desired.Set(name); !ok {
			return nil, fmt.Errorf("%w: there is no set %q", ErrConfiguration, name)
		}
	}
	at := l.now()
	reports := make([]Report, len(f.desired.Sets))
	errs := make([]error, len(f.desired.Sets))
	var group errgroup.Group
	group.SetLimit(setsAtOnce)
	for i, set := range f.desired.Sets {
		if !w.allows(set.Name) || !w.steps(set.Name) && !l.progress(set.Name).due(f.version, at) {
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
		if r.Set != "" {
			done = append(done, r)
		}
	}
	if len(done) > 0 {
		l.log.Debug("cycle", keyWhy, w.Why, keySets, len(done))
	}
	return done, errors.Join(append(errs, mistake)...)
}
