package daemon

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
)

// gather is how long arrivals of a set are gathered before they are tagged and committed.
const gather = 2 * time.Second

// Run is the daemon for one configuration that stays as it is: it listens, and follows Git, the schedule and
// audits until ctx ends. Copies go on until Close. Service is the same with a configuration that may change.
func (l *Line) Run(ctx context.Context) error {
	shown := newFace(l.metrics, l.now)
	listening, err := shown.listen(l.config.Listen)
	if err != nil {
		return err
	}
	l.log.Info("listening", keyAddress, listening.address())
	shown.shows(listening.address())
	l.arrive = nil // a daemon tells its story by the log
	shown.line.Store(l)
	commands, err := shown.listenSocket(l.config)
	if err == nil {
		err = errors.Join(l.follow(ctx), commands.close(), l.shared.closeOutlet(l.config.Limits.Stop))
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.config.Limits.Stop)
	defer cancel()
	return errors.Join(err, listening.close(stop))
}

// follow looks at everything once, then whenever Git moved, the schedule or an audit is due, a copy arrived or
// a retry is due, until ctx ends.
func (l *Line) follow(ctx context.Context) error {
	l.setReady(errStarting)
	closeHooks, err := l.listenForHooks(ctx)
	if err != nil {
		return err
	}
	defer closeHooks()
	serve, err := l.openOutlet()
	if err != nil {
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	stop, err := l.startSchedule(gctx)
	if err != nil {
		return err
	}
	group.Go(func() error { return l.watch(gctx) })
	group.Go(l.teller.start(gctx))
	group.Go(func() error { return l.loop(gctx) })
	group.Go(func() error { return l.attend(gctx) })
	group.Go(func() error { return l.keepChannels(gctx) })
	group.Go(func() error { return l.keepBesides(gctx) })
	group.Go(func() error { return serve(gctx) })
	err = group.Wait()
	stop()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// watch turns arrivals of copies into wakes.
func (l *Line) watch(ctx context.Context) error {
	for {
		w, err := l.arrival(ctx)
		if err != nil {
			return err
		}
		if len(w.Sets) > 0 { // else packages were compared, and are what they were
			l.wakes.add(w)
		}
	}
}

// arrival waits until the mover finished something and takes in what ends within a moment, so that forty
// small images are one commit, and one hotfix does not wait for a large copy.
func (l *Line) arrival(ctx context.Context) (Wake, error) {
	w, err := l.ending(ctx)
	if err != nil {
		return Wake{}, err
	}
	first := w.Sets
	more, cancel := context.WithTimeout(ctx, gather)
	defer cancel()
	for slices.ContainsFunc(first, l.works) {
		other, err := l.ending(more)
		if err != nil {
			break
		}
		w = w.merge(other)
	}
	return w, ctx.Err()
}

// ending waits until a copy ended or a package was fetched, and takes that in.
func (l *Line) ending(ctx context.Context) (Wake, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer l.packages.tell(cancel)()
	set, dones, err := l.mover.Next(waiting)
	switch {
	case err == nil:
		l.takeIn(set, dones)
		return Wake{Why: "copied", Local: true, Sets: []string{set}}, nil
	case waiting.Err() == nil || ctx.Err() != nil:
		return Wake{}, err
	}
	w := Wake{Why: "fetched", Local: true, Sets: l.packages.take()}
	for _, set := range w.Sets {
		l.progress(set).reask()
	}
	return w, nil
}

func (l *Line) takeIn(set string, dones []mirror.Done) {
	l.progress(set).arrived(dones, l.now())
	for _, d := range dones {
		l.copiedAnew(d)
		l.packages.arrived(d)
		if l.arrive != nil {
			l.arrive(d)
		}
		e := Event{Type: EventCopied, Set: d.Action.Key.Set, Entry: d.Action.Key.Entry, Stage: d.Action.Stage, Image: d.Action.Image, Bytes: d.Bytes}
		if d.Err != nil {
			e.Type, e.Reason = EventCopyFailed, d.Err.Error()
		}
		if lostHere(d.Action, d.Err) {
			why := l.lost(d.Action).Reason
			e.Reason, e.Code, e.Fix = why.Detail+": "+e.Reason, why.Code, why.Fix
		}
		l.emit(e)
	}
}

// loop is one cycle after another, never two at once.
func (l *Line) loop(ctx context.Context) error {
	poll, audit := time.NewTicker(l.config.Git.Poll), time.NewTicker(l.config.Audit)
	defer poll.Stop()
	defer audit.Stop()
	if l.config.AuditAt != "" {
		audit.Stop() // it has a schedule
	}
	began := l.now()
	l.auditing.Store(&began)
	defer l.auditing.Store(nil)
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	l.wakes.add(Wake{Why: "start", Resolve: true, Audit: true})
	said := complaints{}
	for {
		l.shared.heart.rest()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case l.shared.heart.beat <- struct{}{}:
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
			l.shared.heart.work(l.config.Limits.Cycle + overtime)
			reports, err := l.cycle(ctx, w)
			if ctx.Err() == nil {
				l.complain(err, said, w)
				l.shared.looked(l)
			}
			if err != nil && reports == nil {
				l.wakes.keep(w)
			}
			if l.idle() {
				l.sweep(ctx)
			}
			l.lookout(l.now())
			l.cycled(reports)
			retry.Reset(l.untilRetry())
		}
	}
}

// complaints are the troubles of cycles that the log told and that are not over, and when it told them last.
type complaints map[string]time.Time

// remind is how often the same trouble is told again.
const remind = time.Hour

// complain tells the trouble of a cycle when it is new, and again after a while. It is over when everything is well
// again: a cycle that had nothing to do with it says nothing about it.
func (l *Line) complain(err error, said complaints, w Wake) {
	if err == nil {
		if l.ready() == nil {
			clear(said)
		}
		return
	}
	now := l.now()
	l.logTrouble("cycle failed", err, func(p mirror.Problem) bool {
		key := p.Code + " " + p.What + " " + p.Where.String()
		at, told := said[key]
		if told && now.Sub(at) < remind {
			return false
		}
		said[key] = now
		return true
	}, keyWake, w.Why)
}

// untilRetry is how long until a set has a reason of its own to be stepped, such as something that failed.
func (l *Line) untilRetry() time.Duration {
	wait := time.Hour
	f := l.fleet.Load()
	if f == nil {
		return wait
	}
	for _, set := range f.desired.Sets {
		if next := l.progress(set.Name).nextLook(); !next.IsZero() {
			wait = min(wait, max(time.Second, next.Sub(l.now())))
		}
	}
	return wait
}
