package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The schedule goes by the clocks of its time zone. A time that exists twice when they are put back is looked at
// twice, one that does not exist when they are put forward is left out: so robfig/cron defines it.
func TestSchedule_DaylightSaving(t *testing.T) {
	berlin := must(time.LoadLocation("Europe/Berlin"))(t)
	for _, tt := range []struct {
		name, line, from string
		want             []string
	}{
		{"clocks put back", "30 2 * * *", "2026-10-24T12:00:00+02:00", []string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"}},
		{"clocks put forward", "30 2 * * *", "2026-03-28T12:00:00+01:00", []string{"2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00"}},
		{"every half hour, put back", "*/30 * * * *", "2026-10-25T02:29:00+02:00", []string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"an interval knows no clock", "@every 1h", "2026-10-25T02:30:00+02:00", []string{"2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"}},
	} {
		schedule := must(Config{Schedule: tt.line, TimeZone: "Europe/Berlin"}.schedule())(t)
		at := must(time.Parse(time.RFC3339, tt.from))(t)
		for _, want := range tt.want {
			if at = schedule.Next(at); at.In(berlin).Format(time.RFC3339) != want {
				t.Errorf("%s: next is %s, want %s", tt.name, at.In(berlin).Format(time.RFC3339), want)
			}
		}
	}
}

// A scheduled look comes up to jitter later, at times that differ, never twice for one time, and nothing of it is
// left when the line ends.
func TestSchedule_Jitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jitter = 10 * time.Minute
		config := Default()
		config.Schedule, config.Jitter = "@every 15m", jitter
		l := &Line{config: config, wakes: newWakes(), shared: Options{Now: time.Now}.share()}
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
			time.Sleep(due.Add(jitter).Sub(time.Now()))
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
		config := Default()
		config.Schedule, config.Jitter = "@every 1m", time.Hour
		l := &Line{config: config, wakes: newWakes(), shared: Options{Now: time.Now}.share()}
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

// A jitter that swallows looks is worth a warning, not a refusal.
func TestSchedule_WarnsOfALongJitter(t *testing.T) {
	for _, tt := range []struct {
		line   string
		jitter time.Duration
		warns  bool
	}{
		{"@every 15m", 0, false},
		{"@every 15m", 14 * time.Minute, false},
		{"@every 15m", 15 * time.Minute, true},
		{"0,50 8 * * *", 50 * time.Minute, true},
		{"0,50 8 * * *", 49 * time.Minute, false},
		{"0 3 * * *", 23 * time.Hour, false},
		{"0 0 30 2 *", time.Hour, false}, // never
		{"no cron line", time.Hour, false},
	} {
		if got := (Config{Schedule: tt.line, Jitter: tt.jitter}).warnJitter(); (len(got) > 0) != tt.warns {
			t.Errorf("%s, jitter %s: %q", tt.line, tt.jitter, got)
		}
	}
}
