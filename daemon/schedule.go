package daemon

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/poundlock/poundlock/daemon/config"
)

// startSchedule asks moving upstream tags again whenever the schedule says so, each time up to jitter later, so
// that many sites do not ask at once. A time that comes while an earlier one still waits is skipped. stop ends
// the schedule and waits for what it began; ctx must have ended before.
//
// Where clocks are put forward, a time that does not exist on that day is not looked at; where they are put
// back, a time that exists twice is looked at twice. Neither loses anything: a look more changes nothing, and
// Git is polled and audits are made by intervals, which know no wall clock.
func (l *Line) startSchedule(ctx context.Context) (stop func(), err error) {
	schedule, err := l.config.CompileSchedule()
	if err != nil {
		return nil, fmt.Errorf("%w: schedule: %w", config.ErrConfiguration, err)
	}
	clock := cron.New(cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger)))
	id := clock.Schedule(schedule, cron.FuncJob(func() {
		if late(ctx, l.config.Jitter) == nil {
			l.wakes.add(Wake{Why: "schedule", Resolve: true})
		}
	}))
	clock.Start()
	next := func() time.Time { return clock.Entry(id).Next }
	l.shared.nextLook.Store(&next)
	return func() {
		l.shared.nextLook.Store(nil)
		<-clock.Stop().Done()
	}, nil
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

// NextLook is when the schedule asks moving upstream tags again, at most jitter earlier than it really happens;
// the zero time when the line does not run.
func (l *Line) NextLook() time.Time {
	next := l.shared.nextLook.Load()
	if next == nil {
		return time.Time{}
	}
	return (*next)()
}

// Rhythm gives the schedule of the line in words.
func (l *Line) Rhythm() string { return l.config.Rhythm() }
