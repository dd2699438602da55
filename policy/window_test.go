package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The zones put their clocks forward and back by an hour, by half an hour, at midnight, over a whole day, and never.
var clockZones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Asia/Kathmandu"}

func location(t interface{ Fatal(...any) }, name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// drawMoment gives a moment that is often near to one at which the clock of the zone is put.
func drawMoment(t *rapid.T, zone *time.Location) time.Time {
	at := time.Unix(rapid.Int64Range(1_300_000_000, 1_900_000_000).Draw(t, "at"), 0).In(zone)
	if _, put := at.ZoneBounds(); !put.IsZero() && rapid.Bool().Draw(t, "near a change") {
		at = put.Add(time.Duration(rapid.IntRange(-3*wholeDay*60, 3*wholeDay*60).Draw(t, "off")) * time.Second)
	}
	return at
}

func drawWindow(t *rapid.T) window {
	w := window{Zone: rapid.SampledFrom(clockZones).Draw(t, "zone")}
	w.zone = location(t, w.Zone)
	w.From = rapid.IntRange(0, wholeDay-1).Draw(t, "from")
	w.To = rapid.IntRange(1, wholeDay).Filter(func(to int) bool { return to != w.From }).Draw(t, "to")
	for d := range time.Weekday(7) {
		if rapid.Bool().Draw(t, "day") {
			w.Days = append(w.Days, d)
		}
	}
	return w
}

// whole gives the first whole minute that is not before t: every window opens and closes at one.
func wholeMinute(t time.Time) time.Time { return t.Add(time.Minute - 1).Truncate(time.Minute) }

func TestWindow_NextAndClosesAgreeWithLookingAtEveryMinute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ws := windows{drawWindow(t)}
		if rapid.Bool().Draw(t, "two") {
			ws = append(ws, drawWindow(t))
		}
		at := drawMoment(t, ws[0].zone)
		look := func(want bool) time.Time {
			for m := at; m.Sub(at) < 9*24*time.Hour; m = wholeMinute(m.Add(1)) {
				if ws.open(m) == want {
					return m
				}
			}
			return time.Time{}
		}
		if got, want := ws.next(at), look(true); !want.IsZero() && !got.Equal(want) {
			t.Errorf("%s at %s: opens at %s, want %s", ws, at, got, want)
		} else if got.IsZero() || !ws.open(got) {
			t.Errorf("%s at %s: is to open at %s and does not", ws, at, got)
		}
		if got, want := ws.closes(at), look(false); !want.IsZero() && !got.Equal(want) {
			t.Errorf("%s at %s: closes at %s, want %s", ws, at, got, want)
		}
	})
}

func TestStartOfDay_IsTheFirstMomentOfItsDate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := location(t, rapid.SampledFrom(clockZones).Draw(t, "zone"))
		date := drawMoment(t, zone)
		number := func(t time.Time) int { return t.Year()*10000 + int(t.Month())*100 + t.Day() }
		got := startOfDay(date, zone).In(zone)
		if number(got) < number(date) || number(got.Add(-1)) >= number(date) {
			t.Errorf("%s: begins at %s", date, got)
		}
	})
}

func TestWindow_WhereTheClockIsPut(t *testing.T) {
	berlin := location(t, "Europe/Berlin")
	local := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	of := func(days []time.Weekday, from, to int) window {
		return window{Days: days, From: from * 60, To: to * 60, Zone: "Europe/Berlin", zone: berlin}
	}
	for _, c := range []struct {
		name           string
		window         window
		at, opens, end string
	}{
		{"an evening", of(nil, 20, 23), "2026-11-21T12:00:00+01:00", "2026-11-21T20:00:00+01:00", "2026-11-21T23:00:00+01:00"},
		{"over midnight, after it", of([]time.Weekday{time.Friday}, 22, 4), "2026-11-21T03:00:00+01:00", "2026-11-21T03:00:00+01:00", "2026-11-21T04:00:00+01:00"},
		{"over midnight, on the next day only", of([]time.Weekday{time.Friday}, 22, 4), "2026-11-20T03:00:00+01:00", "2026-11-20T22:00:00+01:00", "2026-11-21T04:00:00+01:00"},
		{"the hour that vanishes", of(nil, 2, 3), "2026-03-29T00:00:00+01:00", "2026-03-30T02:00:00+02:00", "2026-03-30T03:00:00+02:00"},
		{"begins in the hour that vanishes", of(nil, 2, 5), "2026-03-29T00:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T05:00:00+02:00"},
		{"ends in the hour that vanishes", of(nil, 1, 2), "2026-03-29T00:00:00+01:00", "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"the hour that comes twice", of(nil, 2, 3), "2026-10-25T00:00:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00"},
		{"to the end of the day", of(nil, 20, 24), "2026-11-21T23:30:00+01:00", "2026-11-21T23:30:00+01:00", "2026-11-22T00:00:00+01:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			opens := c.window.next(local(c.at))
			if end := c.window.closes(opens); !opens.Equal(local(c.opens)) || !end.Equal(local(c.end)) {
				t.Errorf("got %s to %s, want %s to %s", opens.In(berlin), end.In(berlin), c.opens, c.end)
			}
		})
	}
}

func TestWindow_OneThatNeverClosesSaysSo(t *testing.T) {
	always := windows{{From: 0, To: wholeDay, Zone: "Europe/Berlin", zone: location(t, "Europe/Berlin")}}
	if end := always.closes(time.Unix(1_800_000_000, 0)); !end.IsZero() {
		t.Errorf("closes at %s", end)
	}
}
