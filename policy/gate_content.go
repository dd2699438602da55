package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/poundlock/poundlock/internal/mirror"
)

// contentGates are those that look at what moves beside what stands.
func (m promotion) contentGates(a mirror.Action, marked string) (gates []mirror.Gate) {
	if m.set.Packages {
		gates = append(gates, m.sameBytes(a))
	}
	if m.forward {
		gates = append(gates, m.notOlder(a, marked))
	}
	if m.immutable {
		gates = append(gates, m.sameContent(a))
	}
	if m.whole {
		gates = append(gates, m.wholeStage(a))
	}
	return gates
}

// notOlder is closed for an older version than stands. Tags are compared as semantic versions, leniently, so that
// v1.2 is one; what is no version has no order, and neither have two images.
func (m promotion) notOlder(a mirror.Action, marked string) mirror.Gate {
	line, stands := m.record.At(m.stage)[a.Key.Entry]
	switch {
	case m.returns(a):
		return exempt("downgrade", rollback)
	case m.set.Packages:
		return m.newestOf(a, marked)
	case !stands:
		return open("downgrade", "nothing stands here yet")
	case line.Image.Name() != a.Image.Name():
		return open("downgrade", "another image stands here")
	}
	switch older, ordered := m.older(a); {
	case !ordered:
		return open("downgrade", "%q and %q are not both versions", line.Image.Tag, a.Image.Tag)
	case !older:
		return open("downgrade", "%s is not older than %s", a.Image.Tag, line.Image.Tag)
	case marked != "":
		return open("downgrade", "the stage file marks it as a rollback: %s", mirror.OneLine(marked))
	}
	return closed("downgrade", mirror.Downgrade, "%s is older than %s, which stands here", a.Image.Tag, line.Image.Tag)
}

// older says whether an action brings an older version than stands, where both tags are versions.
func (m promotion) older(a mirror.Action) (older, ordered bool) {
	if m.set.Packages {
		newest, is, both := m.versions(a)
		return both && is.LessThan(newest.Version), both
	}
	was, errWas := semver.NewVersion(m.replaces(a).Tag)
	is, err := semver.NewVersion(a.Image.Tag)
	if err != nil || errWas != nil {
		return false, false
	}
	return is.LessThan(was), true
}

// replaces gives what stands where an action moves something; where nothing does, what stands of the same repository and
// leaves with it: in a set whose entries are named by their tags, an older version is another entry.
func (m promotion) replaces(a mirror.Action) mirror.Reference {
	line, stands := m.record.At(m.stage)[a.Key.Entry]
	if stands {
		return line.Image
	}
	for _, entry := range slices.Sorted(maps.Keys(m.record.At(m.stage))) {
		other := m.record.At(m.stage)[entry].Image
		listed := slices.ContainsFunc(m.set.Wanted[m.stage], func(w mirror.Wanted) bool { return w.Entry == entry })
		if other.Name() == a.Image.Name() && !listed {
			return other
		}
	}
	return mirror.Reference{}
}

// sameContent is closed for a tag that stood here with other content.
func (m promotion) sameContent(a mirror.Action) mirror.Gate {
	line := m.record.Past(m.stage, a.Key.Entry)
	for _, before := range append([]mirror.Reference{line.Image}, line.Was...) {
		if a.Image.Tag != "" && before.Tag == a.Image.Tag && before.Name() == a.Image.Name() && before.Digest != a.Image.Digest {
			return closed("immutable", mirror.Immutable, "tag %s stood here as %s", a.Image.Tag, mirror.Short(before.Digest))
		}
	}
	return open("immutable", "its tag never stood here with other content")
}

// wholeStage is open where the stage file lists all that stands below, and nothing else.
func (m promotion) wholeStage(a mirror.Action) mirror.Gate {
	other, more := m.other, ""
	switch {
	case m.returns(a):
		return exempt("whole", rollback)
	case len(other) == 0:
		return open("whole", "it takes all that stands in %s", m.below)
	case len(other) > 3:
		other, more = other[:3], fmt.Sprintf(" and %d more", len(other)-3)
	}
	return closed("whole", mirror.NotAll, "the stage takes all that stands in %s, or nothing; other there: %s%s", m.below, strings.Join(other, ", "), more)
}

// otherBelow gives the entries that stand otherwise in the stage below than the stage file wants, sorted.
func (m promotion) otherBelow() (other []string) {
	below, listed := m.record.At(m.below), map[string]bool{}
	for _, line := range m.set.Wanted[m.stage] {
		listed[line.Entry] = true
		if below[line.Entry].Image != line.Image {
			other = append(other, line.Entry)
		}
	}
	for entry := range below {
		if !listed[entry] {
			other = append(other, entry)
		}
	}
	slices.Sort(other)
	return other
}
