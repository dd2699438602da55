package policy

import (
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

const rollback = "it returns to what stood here before"

// timeGates are those that time alone opens.
func (m promotion) timeGates(a mirror.Action) (gates []mirror.Gate) {
	back := m.returns(a)
	add := func(asked bool, name string, judge func() mirror.Gate) {
		switch {
		case asked && back:
			gates = append(gates, exempt(name, rollback))
		case asked:
			gates = append(gates, judge())
		}
	}
	add(m.soak > 0, "soak", func() mirror.Gate { return m.soaking(a) })
	add(len(m.windows) > 0, "window", m.inWindow)
	add(len(m.freezes) > 0, "freeze", m.notFrozen)
	return gates
}

// soaked gives when an image has stood in the stage below for long enough; the zero time where it did so before. It
// is false where time alone does not bring that about.
func (m promotion) soaked(entry string, image mirror.Reference) (time.Time, bool) {
	line := m.record.Past(m.below, entry)
	switch {
	case line.Stood[image.Digest] >= m.soak:
		return time.Time{}, true
	case line.Image == image && !line.Since.IsZero():
		return line.Since.Add(m.soak), true
	}
	return time.Time{}, false
}

func (m promotion) soaking(a mirror.Action) mirror.Gate {
	until, ok := m.soaked(a.Key.Entry, a.Image)
	last := ""
	if ok && m.youngest.After(until) {
		until, last = m.youngest, ", as the entry of the set that came last"
	}
	line := m.record.Past(m.below, a.Key.Entry)
	switch {
	case !ok && line.Image == a.Image:
		return closed("soak", mirror.NotKnown, "since when it stands in %s is not known; it has to for %s", m.below, span(m.soak))
	case !ok && !m.record.Stood(m.below, a.Key.Entry, a.Image):
		return closed("soak", mirror.NotBelow, "it never stood in %s; it has to for %s", m.below, span(m.soak))
	case !ok && line.Stood[a.Image.Digest] == 0:
		return closed("soak", mirror.NotBelow, "it does not stand in %s any more, and for how long it did is not known; it has to for %s", m.below, span(m.soak))
	case !ok:
		return closed("soak", mirror.NotBelow, "it does not stand in %s any more and stood there for %s; it has to for %s", m.below, span(line.Stood[a.Image.Digest]), span(m.soak))
	case m.at.Before(until):
		g := closed("soak", mirror.Soaking, "it has to stand in %s for %s%s: until %s", m.below, span(m.soak), last, stamp(until))
		g.Until = until
		return g
	}
	return open("soak", "it stood in %s for %s", m.below, span(m.soak))
}

func (m promotion) inWindow() mirror.Gate {
	for _, ws := range m.windows {
		if ws.open(m.at) {
			continue
		}
		next := m.nextWindow(m.at)
		if next.IsZero() {
			return closed("window", mirror.OutOfWindow, "outside of %s", ws)
		}
		g := closed("window", mirror.OutOfWindow, "outside of %s: it opens at %s", ws, stamp(next))
		g.Until = next
		return g
	}
	return open("window", "inside of %s", m.windows[0])
}

// nextWindow gives the first moment from t on at which all windows are open together; zero where that is not soon.
func (m promotion) nextWindow(t time.Time) time.Time {
	for from := t; t.Sub(from) < horizon; {
		before := t
		for _, ws := range m.windows {
			if t = ws.next(t); t.IsZero() {
				return t
			}
		}
		if t.Equal(before) {
			return t
		}
	}
	return time.Time{}
}

func (m promotion) notFrozen() mirror.Gate {
	for _, f := range m.freezes {
		if !f.holds(m.at) {
			continue
		}
		why := ""
		if f.Reason != "" {
			why = " (" + f.Reason + ")"
		}
		until := m.thawed(m.at)
		g := closed("freeze", mirror.Frozen, "nothing moves%s until %s", why, stamp(until))
		g.Until = until
		return g
	}
	return open("freeze", "nothing is frozen")
}

// thawed gives the first moment from t on at which nothing is frozen.
func (m promotion) thawed(t time.Time) time.Time {
	for again := true; again; {
		again = false
		for _, f := range m.freezes {
			if f.holds(t) {
				t, again = f.Until, true
			}
		}
	}
	return t
}

// until gives the next moment at which all gates of time are open together; zero where they are, or where that is not
// soon.
func (m promotion) until(a mirror.Action) time.Time {
	if m.returns(a) || !m.timed() {
		return time.Time{}
	}
	soaked, ok := m.soaked(a.Key.Entry, a.Image)
	if m.soak > 0 && !ok {
		return time.Time{}
	}
	t := m.at
	for _, until := range []time.Time{soaked, m.youngest} {
		if m.soak > 0 && until.After(t) {
			t = until
		}
	}
	for t.Sub(m.at) < horizon {
		before := t
		if t = m.nextWindow(m.thawed(t)); t.IsZero() || t.Equal(before) {
			break
		}
	}
	if t.Equal(m.at) {
		return time.Time{}
	}
	return t
}

// inTime is closed once a promotion waited for its time longer than it may, and stays closed: what was asked for long
// ago is not to move by itself some night. What waited for something else until then goes on as long as the gates of
// time stay open.
func (m promotion) inTime(a mirror.Action, asking Asking, known bool) mirror.Gate {
	switch {
	case m.returns(a):
		return exempt("within", rollback)
	case !known || asking.Commit != "" && asking.At.IsZero():
		return closed("within", mirror.NotKnown, "when it was asked for is not known; it may wait for %s", span(m.within))
	case asking.Commit == "":
		gate := open("within", "once it is merged, it may wait for %s", span(m.within))
		if opens := m.until(a); opens.After(m.at.Add(m.within)) {
			gate.Warning = "time opens the stage no sooner than " + stamp(opens) + ": what is merged now is too late by then; merge it closer to that, or raise applyWithin"
		}
		return gate
	}
	end := asking.At.Add(m.within)
	switch shut := m.shuts(a, end); {
	case m.at.Before(end):
		gate := open("within", "it may wait until %s", stamp(end))
		gate.Until = end
		if opens := m.until(a); opens.After(end) {
			gate.Warning = "time opens the stage no sooner than " + stamp(opens) + ": it is too late by then; ask for it again closer to that, or raise applyWithin"
		}
		return gate
	case shut.IsZero() || shut.After(m.at):
		return open("within", "nothing of time stood in its way since %s", stamp(end))
	}
	return closed("within", mirror.TooLate, "it may wait for its time until %s, %s after it was asked for; ask for it again", stamp(end), span(m.within))
}

// shuts gives the first moment from t on at which a gate of time is closed; zero where that is not soon.
func (m promotion) shuts(a mirror.Action, t time.Time) (first time.Time) {
	earliest := func(at time.Time) {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if soaked, ok := m.soaked(a.Key.Entry, a.Image); m.soak > 0 && (!ok || soaked.After(t) || m.youngest.After(t)) {
		return t
	}
	for _, ws := range m.windows {
		earliest(ws.closes(t))
	}
	for _, f := range m.freezes {
		switch {
		case f.holds(t):
			return t
		case f.From.After(t):
			earliest(f.From)
		}
	}
	return first
}

// stamp writes a moment for people.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// span writes a duration without the parts that are nothing, such as 24h.
func span(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
