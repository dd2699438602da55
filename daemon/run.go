package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
)

// gather is how long arrivals of a set are gathered before they are tagged and committed.
const gather = 2 * time.Second

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
