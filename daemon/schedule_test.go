package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
)

// A scheduled look comes up to jitter later, at times that differ, never twice for one time, and nothing of it is
// left when the line ends.
func TestSchedule_Jitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jitter = 10 * time.Minute
		c := config.Default()
		c.Schedule, c.Jitter = "@every 15m", jitter
		l := &Line{config: c, wakes: newWakes(), shared: Options{Now: time.Now}.share()}
		ctx, cancel := context.WithCancel(t.Context())
		stop := must(l.startSchedule(ctx))(t)
		began, different := time.Now(), map[time.Duration]bool{}
		for i := range 20 {
			due := began.Add(time.Duration(i+1) * 15 * time.Minute)
			if next := l.NextLook(); !next.Equal(due) {
				t.Errorf("look %d: next is at %s, want %s", i, next, due)
			}
			<-l.wakes.signal
			w, _ := l.wakes.take()
			late := time.Since(due)
			if late < 0 || late >= jitter || w.Why != "schedule" || !w.Resolve {
				t.Errorf("look %d comes %s late: %+v", i, late, w)
			}
			different[late] = true
			time.Sleep(time.Until(due.Add(jitter)))
		}
		if len(different) < 10 {
			t.Errorf("only %d different delays of 20", len(different))
		}
		time.Sleep(5*time.Minute + time.Second) // a look waits, or has come
		cancel()
		ended := time.Now()
		stop()
		if time.Since(ended) > 0 {
			t.Errorf("the end waits %s for a look that is late", time.Since(ended))
		}
		if !l.NextLook().IsZero() {
			t.Error("a look is announced after the end")
		}
	})
}

// A jitter longer than the schedule's gap leaves looks out, it does not pile them up.
func TestSchedule_JitterSkipsWhatWouldOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config.Default()
		c.Schedule, c.Jitter = "@every 1m", time.Hour
		l := &Line{config: c, wakes: newWakes(), shared: Options{Now: time.Now}.share()}
		ctx, cancel := context.WithCancel(t.Context())
		stop := must(l.startSchedule(ctx))(t)
		for range 5 {
			before := time.Now()
			<-l.wakes.signal
			if _, ok := l.wakes.take(); !ok || time.Since(before) > time.Hour+time.Minute {
				t.Errorf("a look after %s", time.Since(before))
			}
		}
		cancel()
		stop()
	})
}
