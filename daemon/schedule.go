package daemon

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/poundlock/poundlock/daemon/config"
)

// clock is when the line looks by itself: at the upstream tags of its sets and, where the audit has a schedule of its
// own, at the local registry.
type clock struct {
	cron  *cron.Cron
	all   cron.EntryID            // sets without a schedule of their own
	own   map[string]cron.EntryID // by set
	audit cron.EntryID            // 0: the audit goes by an interval
}

// startSchedule asks moving upstream tags again whenever the schedule of their set says so, each time up to jitter
// later, so that many sites do not ask at once. A time that comes while an earlier one still waits is skipped. stop
// ends the schedules and waits for what they began; ctx must have ended before.
//
// Where clocks are put forward, a time that does not exist on that day is not looked at; where they are put
// back, a time that exists twice is looked at twice. Neither loses anything: a look more changes nothing, and
// Git is polled by an interval, which knows no wall clock.
func (l *Line) startSchedule(ctx context.Context) (stop func(), err error) {
	c := &clock{cron: cron.New(cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger))), own: map[string]cron.EntryID{}}
	add := func(line string, look func()) (cron.EntryID, error) {
		schedule, err := l.config.Compile(line)
		if err != nil {
			return 0, fmt.Errorf("%w: schedule: %w", config.ErrConfiguration, err)
		}
		return c.cron.Schedule(schedule, cron.FuncJob(func() {
			if late(ctx, l.config.Jitter) == nil {
				look()
			}
		})), nil
	}
	if c.all, err = add(l.config.Schedule, l.lookAtAll); err != nil {
		return nil, err
	}
	for set, line := range l.config.Schedules {
		if c.own[set], err = add(line, func() { l.lookAt(set) }); err != nil {
			return nil, err
		}
	}
	if l.config.AuditAt != "" {
		if c.audit, err = add(l.config.AuditAt, func() { l.wakes.add(Wake{Why: "audit", Audit: true}) }); err != nil {
			return nil, err
		}
	}
	c.cron.Start()
	l.shared.clock.Store(c)
	return func() {
		l.shared.clock.Store(nil)
		<-c.cron.Stop().Done()
	}, nil
}

// lookAtAll asks the moving tags of all sets again that have no schedule of their own.
func (l *Line) lookAtAll() {
	sets := l.unscheduled()
	if len(l.config.Schedules) > 0 {
		l.lookAt(sets...)
		return
	}
	for _, set := range sets {
		l.progress(set).expects(l.now())
	}
	l.wakes.add(Wake{Why: "schedule", Resolve: true})
}

// lookAt asks the moving tags of sets again.
func (l *Line) lookAt(sets ...string) {
	for _, set := range sets {
		l.progress(set).owe(Wake{Resolve: true})
		l.progress(set).expects(l.now())
	}
	l.wakes.add(Wake{Why: "schedule", Sets: sets})
}

// unscheduled lists the sets without a schedule of their own.
func (l *Line) unscheduled() []string {
	return slices.DeleteFunc(l.Sets(), func(set string) bool { return l.config.Schedules[set] != "" })
}

// late waits a random time below jitter; the error is that of the context.
func late(ctx context.Context, jitter time.Duration) error {
	if jitter <= 0 {
		return ctx.Err()
	}
	wait := time.NewTimer(rand.N(jitter))
	defer wait.Stop()
	select {
	case <-wait.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// NextLook is when a schedule asks moving upstream tags again, at most jitter earlier than it really happens;
// the zero time when the line does not run.
func (l *Line) NextLook() time.Time {
	c := l.shared.clock.Load()
	if c == nil {
		return time.Time{}
	}
	var next time.Time
	if len(l.unscheduled()) > 0 || len(l.Sets()) == 0 {
		next = c.cron.Entry(c.all).Next
	}
	for set, id := range c.own {
		if slices.Contains(l.Sets(), set) {
			next = earliest(next, c.cron.Entry(id).Next)
		}
	}
	return next
}

// nextLookAt is NextLook for one set.
func (l *Line) nextLookAt(set string) time.Time {
	c := l.shared.clock.Load()
	if c == nil {
		return time.Time{}
	}
	if id, ok := c.own[set]; ok {
		return c.cron.Entry(id).Next
	}
	return c.cron.Entry(c.all).Next
}

// nextAudit is when the local registry is compared again; the zero time when the line does not run.
func (l *Line) nextAudit() time.Time {
	began, c := l.auditing.Load(), l.shared.clock.Load()
	switch {
	case began == nil || l.config.Audit <= 0:
		return time.Time{}
	case l.config.AuditAt != "" && c == nil:
		return time.Time{}
	case l.config.AuditAt != "":
		return c.cron.Entry(c.audit).Next.UTC()
	}
	passed := l.now().Sub(*began) / l.config.Audit
	return began.Add((passed + 1) * l.config.Audit).UTC()
}

// Rhythm gives the schedule of the line in words.
func (l *Line) Rhythm() string { return l.config.Rhythm() }
