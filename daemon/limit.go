package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// limit is what somebody asked to look at or to do, instead of everything. The zero value is no limit.
type limit struct {
	only  []selector
	saved *SavedPlan // do what it says and nothing else
}

// selector is one --only: a set, or entries of it.
type selector struct {
	set   string
	entry string // glob as in include; "" for the whole set
}

func (m limit) active() bool { return len(m.only) > 0 || m.saved != nil }

// Only limits the line to some sets, or to some entries of them: set or set/entry, in which the entry may be a
// glob. Call it before Preview or Sync; what is not of the fleet shows there, with what may have been meant. The
// error is mirror.Problems: a selector that says nothing must not mean everything.
func (l *Line) Only(selectors ...string) error {
	l.limit.only = nil
	var ps mirror.Problems
	for _, text := range selectors {
		set, entry, part := strings.Cut(text, "/")
		switch {
		case set == "" || part && entry == "":
			ps.Add(noSuch, mirror.Position{}, "name a set, or entries of it by set/entry; leave --only out for everything", "--only %q: want set or set/entry", text)
		case !doublestar.ValidatePattern(entry):
			ps.Add(noSuch, mirror.Position{}, "close each [ and {, or put a \\ before it", "--only %q: want set or set/entry, and %q is no glob", text, entry)
		}
		l.limit.only = append(l.limit.only, selector{set, entry})
	}
	return ps.Err()
}

// check finds selectors that select nothing.
func (m limit) check(d mirror.Desired) error {
	var ps mirror.Problems
	for _, s := range m.only {
		set, ok := d.Set(s.set)
		if !ok {
			var names []string
			for _, set := range d.Sets {
				names = append(names, set.Name)
			}
			ps.Add(noSuch, mirror.Position{}, meant(s.set, names, "the sets are "), "there is no set %q", s.set)
			continue
		}
		names := entriesOf(set)
		if s.entry != "" && !slices.ContainsFunc(names, func(e string) bool { return s.matches(mirror.Key{Set: set.Name, Entry: e}) }) {
			ps.Add(noSuch, set.Where, meant(s.entry, names, "its entries are "), "set %s has no entry %q", set.Name, s.entry)
		}
	}
	return ps.Err()
}

// entriesOf lists the entries of a set at any stage.
func entriesOf(set mirror.Set) []string {
	names := map[string]bool{}
	for _, e := range set.Entries {
		names[e.Name] = true
	}
	for _, lines := range set.Wanted {
		for _, w := range lines {
			names[w.Entry] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func meant(word string, known []string, list string) string {
	if near := mirror.Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	const shown = 5
	if len(known) > shown {
		return list + strings.Join(known[:shown], ", ") + ", ..."
	}
	return list + strings.Join(known, ", ")
}

func (s selector) matches(key mirror.Key) bool {
	return s.set == key.Set && (s.entry == "" || s.entry == key.Entry || doublestar.MatchUnvalidated(s.entry, key.Entry))
}

// selects says whether an entry is among what was asked for by --only.
func (m limit) selects(key mirror.Key) bool {
	return len(m.only) == 0 || slices.ContainsFunc(m.only, func(s selector) bool { return s.matches(key) })
}

// sets gives the sets that are looked at; empty means all.
func (m limit) sets() []string {
	var names []string
	for _, s := range m.only {
		names = append(names, s.set)
	}
	if m.saved != nil {
		for _, p := range m.saved.Plans {
			names = append(names, p.Set)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// leaveOut turns what nobody asked for into what is left out, with its trouble and its peace: it is nobody's now.
// judged says that policy had its say, so that what is still to be done really would be.
func (m limit) leaveOut(p mirror.Plan, judged bool) mirror.Plan {
	if !m.active() {
		return p
	}
	actions := slices.Clone(p.Actions)
	for i, a := range actions {
		if a.Key.Entry == "" {
			continue
		}
		switch {
		case !m.selects(a.Key):
			actions[i].Kind, actions[i].Reason = mirror.Skip, mirror.Because(mirror.NotSelected, "not selected")
		case m.saved != nil && m.saved.leaves(a, judged):
			actions[i].Kind, actions[i].Reason = mirror.Skip, mirror.Because(mirror.NotSelected, "not in the saved plan")
		}
	}
	p.Actions = actions
	return p
}

// Selected gives the sets that Only leaves to be looked at; empty means all.
func (l *Line) Selected() []string { return l.limit.sets() }

// SuspendedSets gives the sets that are asked for and that somebody suspended, by name.
func (l *Line) SuspendedSets() map[string]Suspension {
	all := map[string]Suspension{}
	f := l.fleet.Load()
	if f == nil {
		return all
	}
	asked := l.limit.sets()
	for _, set := range f.desired.Sets {
		if s, ok := f.paused(set.Name); ok && (len(asked) == 0 || slices.Contains(asked, set.Name)) {
			all[set.Name] = s
		}
	}
	return all
}

// Subject gives the first line of the message of a commit; "" for one that is not known.
func (l *Line) Subject(commit string) string {
	if commit == "" {
		return ""
	}
	subject, err := l.git.Subject(commit)
	if err != nil {
		return "" // it only decorates the id
	}
	return subject
}
