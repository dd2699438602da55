package config

import (
	"testing"
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
		schedule := must(Config{TimeZone: "Europe/Berlin"}.Compile(tt.line))(t)
		at := must(time.Parse(time.RFC3339, tt.from))(t)
		for _, want := range tt.want {
			if at = schedule.Next(at); at.In(berlin).Format(time.RFC3339) != want {
				t.Errorf("%s: next is %s, want %s", tt.name, at.In(berlin).Format(time.RFC3339), want)
			}
		}
	}
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

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
