package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a container may have no time zones of its own, and a gate must not depend on that

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// gateLoader reads one entry of gates.
type gateLoader struct {
	*loader
	entry gateEntry
	i     string
}

// at gives the place of a key of the entry.
func (l gateLoader) at(keys ...string) mirror.Position {
	return l.loader.at(l.entry.Where, append([]string{"gates", l.i}, keys...)...)
}

func (l *loader) gate(i string, entry gateEntry) gate {
	gl := gateLoader{l, entry, i}
	g := gate{Soak: entry.Soak, Immutable: entry.Immutable, Whole: entry.Whole, Within: entry.ApplyWithin, where: l.place(entry.Where)}
	g.Sets, g.sets = gl.setNames()
	g.Stages = l.stageNames(entry.Stages)
	gl.guards(g)
	gl.durations()
	g.Windows = gl.windows()
	g.Freezes = gl.freezes()
	g.Approvals = gl.approvals()
	g.Statuses = gl.words("statuses", entry.Statuses)
	g.Calls = gl.words("calls", entry.Calls)
	g.Forward = gl.forward()
	nothing := g.Soak == 0 && g.Windows == nil && g.Freezes == nil && g.Approvals == nil && len(entry.Statuses)+len(entry.Calls) == 0 && entry.Downgrade.IsZero() && !g.Immutable && !g.Whole
	if nothing {
		l.problems.Add("POL060", entry.Where, "add soak, windows, freezes, approvals, statuses, calls, downgrade, immutable or whole", "the gate asks for nothing")
	}
	return g
}

// setNames reads globs over sets. One that matches none is a mistake of the fleet's policy: misspelt, it would leave a
// stage unguarded in silence.
func (l gateLoader) setNames() (globs []string, places []mirror.Position) {
	names := make([]string, 0, len(l.sets))
	for _, set := range l.sets {
		names = append(names, set.Name)
	}
	for _, node := range l.entry.Sets {
		text, _ := node.Text()
		matches := func(name string) bool { return doublestar.MatchUnvalidated(text, name) }
		switch {
		case text == "" || !doublestar.ValidatePattern(text):
			l.problems.Add("POL061", node.Where(), `write a glob such as elastic-*, without a slash`, "sets: malformed glob %q", text)
		case slices.Contains(globs, text):
			l.problems.Add("POL009", node.Where(), "keep one of them", "sets: %q is listed twice", text)
		case !l.floor && !l.anyStage && len(names) > 0 && !slices.ContainsFunc(names, matches):
			l.problems.Add("POL061", node.Where(), didYouMean(text, names), "sets: no set matches %q", text)
		}
		globs, places = append(globs, text), append(places, l.place(node.Where()))
	}
	if l.entry.Sets != nil && len(l.entry.Sets) == 0 {
		l.problems.Add("POL061", l.at("sets"), "name at least one, or delete the key to guard every set", "sets: the list is empty")
	}
	return globs, places
}

// guards tells of stages at which the gate would guard nothing.
func (l gateLoader) guards(g gate) {
	if len(l.entry.Stages) == 0 {
		l.problems.Add("POL062", l.at("stages"), "name at least one, such as production", "stages: the list is empty")
	}
	if l.floor || l.anyStage {
		return
	}
	for _, node := range l.entry.Stages {
		text, _ := node.Text()
		stage := mirror.Stage(text)
		if !slices.Contains(l.stages, text) {
			continue // told already
		}
		matched, has, above := 0, false, false
		for _, set := range l.sets {
			if !g.matches(set.Name, stage) {
				continue
			}
			_, upper := set.Stages.Below(stage)
			matched, has, above = matched+1, has || slices.Contains(set.Stages, stage), above || upper
		}
		switch {
		case above, matched == 0:
		case has:
			l.problems.Add("POL062", node.Where(), "name a stage above it; upstream and the rules fill the first one", "stages: %q is the first stage, which has no gates", text)
		default:
			l.problems.Add("POL062", node.Where(), "name a stage that they have", "stages: no set that the gate matches has a stage %q", text)
		}
	}
}

func (l gateLoader) durations() {
	if l.entry.Soak < 0 {
		l.problems.Add("POL063", l.at("soak"), "write a duration such as 24h", "soak: %s is less than nothing", l.entry.Soak)
	}
	if within := l.entry.ApplyWithin; within < 0 || within == 0 && l.at("applyWithin") != l.entry.Where {
		l.problems.Add("POL063", l.at("applyWithin"), "write a duration such as 72h", "applyWithin: after %s everything would be too late", within)
	}
}

func (l gateLoader) windows() (ws windows) {
	if l.entry.Windows != nil && len(l.entry.Windows) == 0 {
		l.problems.Add("POL064", l.at("windows"), "write one, or delete the key", "windows: the list is empty, so that nothing could ever move")
	}
	for i, entry := range l.entry.Windows {
		at := func(key string) mirror.Position { return l.at("windows", strconv.Itoa(i), key) }
		w := window{From: int(entry.From), To: int(entry.To), Zone: entry.TimeZone}
		switch {
		case w.From == wholeDay:
			l.problems.Add("POL064", at("from"), "write 00:00 and the day after", "windows: from: no day begins at 24:00")
		case w.From == w.To:
			l.problems.Add("POL064", at("to"), `for the whole day write from: "00:00", to: "24:00"`, "windows: it ends when it begins")
		}
		w.Days = l.days(entry.Days, at("days"))
		w.zone, w.Zone = l.zone(entry.TimeZone, at("timeZone"))
		ws = append(ws, w)
	}
	return ws
}

var dayNames = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

func (l gateLoader) days(nodes []mirror.Node, where mirror.Position) (days []time.Weekday) {
	if nodes != nil && len(nodes) == 0 {
		l.problems.Add("POL065", where, "name at least one, or delete the key for every day", "days: the list is empty")
	}
	for _, node := range nodes {
		text, _ := node.Text()
		i := slices.Index(dayNames, text)
		switch d := time.Weekday((i + 1) % 7); {
		case i < 0:
			l.problems.Add("POL065", node.Where(), mirror.Suggest(text, dayNames), "days: unknown day %q", text)
		case slices.Contains(days, d):
			l.problems.Add("POL009", node.Where(), "keep one of them", "days: %q is listed twice", text)
		default:
			days = append(days, d)
		}
	}
	slices.Sort(days)
	return days
}

// zone reads the name of a time zone. That of the machine is none: another one would decide differently.
func (l gateLoader) zone(name string, where mirror.Position) (*time.Location, string) {
	if name == "" {
		name = "UTC"
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		l.problems.Add("POL066", where, "write a name of the IANA database, such as Europe/Berlin or UTC", "timeZone: there is no time zone %q", name)
		return time.UTC, name
	}
	return zone, name
}

func (l gateLoader) freezes() (all []freeze) {
	if l.entry.Freezes != nil && len(l.entry.Freezes) == 0 {
		l.problems.Add("POL067", l.at("freezes"), "write one, or delete the key", "freezes: the list is empty")
	}
	for i, entry := range l.entry.Freezes {
		zone, name := l.zone(entry.TimeZone, l.at("freezes", strconv.Itoa(i), "timeZone"))
		f := freeze{Reason: mirror.OneLine(entry.Reason), Zone: name}
		from, okFrom := l.moment("from", entry.From)
		until, okUntil := l.moment("until", entry.Until)
		if !okFrom || !okUntil {
			continue
		}
		f.From, f.Until = from.beginIn(zone).UTC(), until.endIn(zone).UTC()
		if !f.Until.After(f.From) {
			l.problems.Add("POL067", entry.Until.Where(), "write a later one", "freezes: it ends before it begins")
		}
		all = append(all, f)
	}
	return all
}

func (l gateLoader) moment(key string, node mirror.Node) (m moment, ok bool) {
	text, _ := node.Text()
	if err := m.UnmarshalText([]byte(text)); err != nil {
		l.problems.Add("POL067", node.Where(), m.Form(), "freezes: %s: %q is %v", key, text, err)
		return m, false
	}
	return m, true
}

// beginIn is the first moment that belongs to it, where its days are those of a zone.
func (m moment) beginIn(zone *time.Location) time.Time {
	if m.day {
		return startOfDay(m.at, zone)
	}
	return m.at
}

// endIn is the first moment after it, where its days are those of a zone.
func (m moment) endIn(zone *time.Location) time.Time {
	if m.day {
		return startOfDay(m.at.AddDate(0, 0, 1), zone)
	}
	return m.at
}

func (l gateLoader) approvals() *approvals {
	entry := l.entry.Approvals
	if entry == nil {
		return nil
	}
	a := approvals{Count: 1, Owners: entry.Owners}
	if entry.Count != nil {
		a.Count = *entry.Count
	}
	if a.Count < 1 {
		l.problems.Add("POL068", l.at("approvals", "count"), "write how many people, at least 1, or delete approvals", "approvals: count %d asks nobody", a.Count)
	}
	return &a
}

// words reads names, each once, and gives them sorted.
func (l gateLoader) words(key string, nodes []mirror.Node) (words []string) {
	if nodes != nil && len(nodes) == 0 {
		l.problems.Add("POL069", l.at(key), "name at least one, or delete the key", "%s: the list is empty", key)
	}
	for _, node := range nodes {
		text, _ := node.Text()
		switch {
		case text == "" || text != mirror.OneLine(text):
			l.problems.Add("POL069", node.Where(), "write its name as it is shown there", "%s: %q is no name", key, text)
		case slices.Contains(words, text):
			l.problems.Add("POL009", node.Where(), "keep one of them", "%s: %q is listed twice", key, text)
		}
		words = append(words, text)
	}
	slices.Sort(words)
	return words
}

func (l gateLoader) forward() bool {
	node := l.entry.Downgrade
	if node.IsZero() {
		return false
	}
	text, _ := node.Text()
	switch text {
	case "refuse":
		return true
	case "allow":
		return false
	}
	l.problems.Add("POL070", node.Where(), mirror.Suggest(text, []string{"refuse", "allow"}), "downgrade: unknown word %q: want refuse or allow", text)
	return false
}

// clockTime is a time of the day in minutes after midnight.
type clockTime int

// Form says how a time of the day is written.
func (clockTime) Form() string { return `write it in quotes and 24 hours, such as "20:00"` }

var errNoClock = errors.New("no time of the day")

// UnmarshalText reads hours and minutes, from 00:00 to 24:00.
func (c *clockTime) UnmarshalText(b []byte) error {
	hours, minutes, ok := strings.Cut(string(b), ":")
	h, errHours := strconv.ParseUint(hours, 10, 8)
	m, err := strconv.ParseUint(minutes, 10, 8)
	if !ok || len(hours) != 2 || len(minutes) != 2 || errHours != nil || err != nil || m > 59 || h*60+m > wholeDay {
		return fmt.Errorf("%q is %w", b, errNoClock)
	}
	*c = clockTime(h*60 + m)
	return nil
}
