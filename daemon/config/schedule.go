package config

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Compile compiles a cron line, or @every with a duration, in the time zone of the schedules.
func (c Config) Compile(line string) (cron.Schedule, error) {
	if line == "" {
		return nil, fmt.Errorf("empty")
	}
	if c.TimeZone != "" && !strings.Contains(line, "TZ=") {
		line = "CRON_TZ=" + c.TimeZone + " " + line
	}
	return cron.ParseStandard(line)
}

// ScheduleOf gives the cron line of a set: its own, or that of all sets.
func (c Config) ScheduleOf(set string) string { return cmp.Or(c.Schedules[set], c.Schedule) }

// schedules checks every cron line.
func (k *checker) schedules(c Config) {
	k.cron(c, c.Schedule, keyPath{"schedule"})
	for _, set := range sortedKeys(c.Schedules) {
		k.cron(c, c.Schedules[set], keyPath{"schedules", set})
	}
	if c.AuditAt != "" {
		k.cron(c, c.AuditAt, keyPath{"auditAt"})
	}
}

func (k *checker) cron(c Config, line string, at keyPath) {
	if _, err := c.Compile(line); err != nil {
		k.add(at, "CFG005", `write five fields as in "*/15 * * * *", or "@every 15m"`, "%s %q is no cron line: %v", at, line, err)
	} else if why := c.neverOrAlways(line); why != "" {
		k.add(at, "CFG005", `write a time that comes, as in "*/15 * * * *" or "@every 15m"`, "%s %q %s", at, line, why)
	}
}

// neverOrAlways says what is wrong with a cron line that can be read: no look ever comes of it, or one after another.
func (c Config) neverOrAlways(line string) string {
	if every, ok := strings.CutPrefix(line, "@every "); ok {
		if span, err := time.ParseDuration(every); err == nil && span < time.Second {
			return "looks more often than once a second"
		}
	}
	if schedule, err := c.Compile(line); err == nil && schedule.Next(someDay).IsZero() {
		return "never comes: there is no such day"
	}
	return ""
}

// someDay is where the search for times of a schedule begins.
var someDay = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Rhythm gives the schedule in words: "every 15m", or the cron line with its time zone. Sets with one of their own are
// named.
func (c Config) Rhythm() string {
	words := c.rhythm(c.Schedule)
	for _, set := range sortedKeys(c.Schedules) {
		words += ", " + set + " " + c.rhythm(c.Schedules[set])
	}
	return words
}

func (c Config) rhythm(line string) string {
	if every, ok := strings.CutPrefix(line, "@every "); ok {
		return "every " + every
	}
	zone := c.TimeZone
	if zone == "" || strings.Contains(line, "TZ=") {
		return "at " + line
	}
	return "at " + line + " (" + zone + ")"
}

// warnJitter tells of a jitter that is no shorter than the shortest time between two looks: then some are left out.
func (c Config) warnJitter() []string {
	schedule, err := c.Compile(c.Schedule)
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
