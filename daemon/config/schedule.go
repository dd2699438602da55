package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// CompileSchedule compiles the cron line in its time zone.
func (c Config) CompileSchedule() (cron.Schedule, error) {
	if c.Schedule == "" {
		return nil, fmt.Errorf("empty")
	}
	line := c.Schedule
	if c.TimeZone != "" && !strings.Contains(line, "TZ=") {
		line = "CRON_TZ=" + c.TimeZone + " " + line
	}
	return cron.ParseStandard(line)
}

// neverOrAlways says what is wrong with a cron line that can be read: no look ever comes of it, or one after another.
func (c Config) neverOrAlways() string {
	if every, ok := strings.CutPrefix(c.Schedule, "@every "); ok {
		if span, err := time.ParseDuration(every); err == nil && span < time.Second {
			return "looks more often than once a second"
		}
	}
	if schedule, err := c.CompileSchedule(); err == nil && schedule.Next(someDay).IsZero() {
		return "never comes: there is no such day"
	}
	return ""
}

// someDay is where the search for times of a schedule begins.
var someDay = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Rhythm gives the schedule in words: "every 15m", or the cron line with its time zone.
func (c Config) Rhythm() string {
	if every, ok := strings.CutPrefix(c.Schedule, "@every "); ok {
		return "every " + every
	}
	zone := c.TimeZone
	if zone == "" || strings.Contains(c.Schedule, "TZ=") {
		return "at " + c.Schedule
	}
	return "at " + c.Schedule + " (" + zone + ")"
}

// warnJitter tells of a jitter that is no shorter than the shortest time between two looks: then some are left out.
func (c Config) warnJitter() []string {
	schedule, err := c.CompileSchedule()
	if err != nil || c.Jitter <= 0 {
		return nil
	}
	const looks = 200 // more than a day of a line that runs every ten minutes
	at := schedule.Next(someDay)
	for range looks {
		next := schedule.Next(at)
		if next.IsZero() {
			return nil
		}
		if gap := next.Sub(at); c.Jitter >= gap {
			return []string{fmt.Sprintf("jitter %s is not shorter than the time between two looks, %s: some looks will be left out", c.Jitter, gap)}
		}
		at = next
	}
	return nil
}
