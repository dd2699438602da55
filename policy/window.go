package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A wall clock that is put forward or back makes an hour vanish or come twice. All that follows goes by what the
// clock of the zone shows: an hour that vanished opens nothing, one that comes twice opens twice.

// window is when something may move: on some days, from one time of the day to another.
type window struct {
	Days     []time.Weekday `json:"days,omitempty"` // on which it begins, sorted; empty: every day
	From, To int            // minutes after midnight; where To is not after From it ends on the next day
	Zone     string         `json:"zone"`

	zone *time.Location
}

const wholeDay = 24 * 60 // minutes

// String gives the window as people write it, as in mon, tue 20:00-23:00 Europe/Berlin.
func (w window) String() string {
	var days []string
	for _, d := range w.Days {
		days = append(days, strings.ToLower(d.String()[:3]))
	}
	text := fmt.Sprintf("%02d:%02d-%02d:%02d %s", w.From/60, w.From%60, w.To/60, w.To%60, w.Zone)
	return strings.TrimSpace(strings.Join(days, ", ") + " " + text)
}

// on says whether the window begins on a day.
func (w window) on(d time.Weekday) bool { return len(w.Days) == 0 || slices.Contains(w.Days, d) }

// shows says whether the window is open while a clock shows this; the clock is a time in UTC.
func (w window) shows(clock time.Time) bool {
	today, minute := clock.Weekday(), clock.Hour()*60+clock.Minute()
	if w.From < w.To {
		return w.on(today) && minute >= w.From && minute < w.To
	}
	yesterday := (today + 6) % 7
	return w.on(today) && minute >= w.From || w.on(yesterday) && minute < w.To
}

// open says whether something may move at a moment.
func (w window) open(t time.Time) bool { return w.shows(clockOf(t.In(w.zone))) }

// clockOf gives what the clock of the time's own zone shows, as a time in UTC.
func clockOf(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.Add(time.Duration(offset) * time.Second).UTC()
}

func midnight(clock time.Time) time.Time {
	return time.Date(clock.Year(), clock.Month(), clock.Day(), 0, 0, 0, 0, time.UTC)
}

// showsNext gives what the clock shows when the window is open the next time; now, where it is.
func (w window) showsNext(clock time.Time) time.Time {
	if w.shows(clock) {
		return clock
	}
	for d := midnight(clock); ; d = d.AddDate(0, 0, 1) {
		if begin := d.Add(time.Duration(w.From) * time.Minute); w.on(d.Weekday()) && !begin.Before(clock) {
			return begin
		}
	}
}

// showsEnd gives what the clock shows when an open window ends.
func (w window) showsEnd(clock time.Time) time.Time {
	end := midnight(clock).Add(time.Duration(w.To) * time.Minute)
	if !end.After(clock) {
		end = end.AddDate(0, 0, 1)
	}
	return end
}

// horizon bounds how far into the future is looked for the moment at which something opens or closes.
const horizon = 2 * 366 * 24 * time.Hour

// walk follows the clock of a zone from a moment on. find gets what the clock shows at the beginning of each stretch
// in which nobody puts it forward or back, and gives what it shows at the moment that is looked for; that counts when
// it lies in the stretch. Zero: there is no such moment within the horizon.
func walk(from time.Time, zone *time.Location, find func(clock time.Time) time.Time) time.Time {
	for t := from.In(zone); t.Sub(from) < horizon; {
		clock := clockOf(t)
		_, end := t.ZoneBounds()
		found := t.Add(find(clock).Sub(clock))
		switch {
		case found.Sub(from) >= horizon:
			return time.Time{}
		case end.IsZero(), found.Before(end):
			return found.UTC()
		}
		t = end
	}
	return time.Time{}
}

// next gives the first moment from t on at which the window is open.
func (w window) next(t time.Time) time.Time { return walk(t, w.zone, w.showsNext) }

// closes gives the first moment from t on at which the window is not open; zero where that is not soon.
func (w window) closes(t time.Time) time.Time {
	return walk(t, w.zone, func(clock time.Time) time.Time {
		if !w.shows(clock) {
			return clock
		}
		for end := w.showsEnd(clock); ; end = w.showsEnd(end) {
			if !w.shows(end) || end.Sub(clock) > horizon {
				return end
			}
		}
	})
}

// windows are those of one gate: one of them has to be open.
type windows []window

func (ws windows) open(t time.Time) bool {
	return slices.ContainsFunc(ws, func(w window) bool { return w.open(t) })
}

// next gives the first moment from t on at which one of them is open.
func (ws windows) next(t time.Time) (first time.Time) {
	for _, w := range ws {
		if at := w.next(t); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// closes gives the first moment from t on at which none of them is open; zero where that is not soon.
func (ws windows) closes(t time.Time) time.Time {
	for end := t; end.Sub(t) < horizon; {
		i := slices.IndexFunc(ws, func(w window) bool { return w.open(end) })
		if i < 0 {
			return end
		}
		if end = ws[i].closes(end); end.IsZero() {
			return end
		}
	}
	return time.Time{}
}

// String gives all of them.
func (ws windows) String() string {
	var all []string
	for _, w := range ws {
		all = append(all, w.String())
	}
	return strings.Join(all, " and ")
}
