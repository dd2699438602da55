package policy

import (
	"slices"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/poundlock/poundlock/internal/mirror"
)

// The stages of a set of packages are channels, and a channel has rules of its own, which no document writes down: what a
// version is must not change under those who run it, and no version is to disappear from them. The first stage shows what
// upstream says; the stages between may change, and people are told; the last one keeps every version as it first stood.

// last says whether a stage is the last of several.
func last(set mirror.Set, stage mirror.Stage) bool {
	return len(set.Stages) > 1 && stage == set.Stages[len(set.Stages)-1]
}

// sameBytes is closed where the last stage would hold other bytes than a version has, or ever had there. What nobody
// proved counts too: whoever lost the state must not be able to change a version by that.
func (m promotion) sameBytes(a mirror.Action) mirror.Gate {
	other, ok := m.otherBytes(a)
	switch {
	case !ok:
		return open("version", "its bytes are the only ones that this version had here")
	case m.record.Stood(m.stage, a.Key.Entry, a.Image):
		return exempt("version", "these bytes stood here before")
	case last(m.set, m.stage):
		return closed("version", mirror.Overwrites, "this version stood in %s with other bytes (%s), and the last stage never changes one", m.stage, mirror.Short(other))
	}
	return open("version", "it takes the place of other bytes of this version (%s), which %s allows", mirror.Short(other), m.stage)
}

// otherBytes gives what a version stands as, or stood as, where that is not what an action brings.
func (m promotion) otherBytes(a mirror.Action) (mirror.Digest, bool) {
	for _, r := range []mirror.Record{m.record, m.before} {
		past := r.Past(m.stage, a.Key.Entry)
		for _, image := range slices.Concat([]mirror.Reference{past.Image}, past.Was, past.Recorded, past.Claimed) {
			if !image.IsZero() && image.Digest != a.Image.Digest {
				return image.Digest, true
			}
		}
	}
	return mirror.Digest{}, false
}

// notes gives what people are to know of a change that the gates allow.
func (m promotion) notes(a mirror.Action) []string {
	if !m.set.Packages {
		return nil
	}
	line, stands := m.record.At(m.stage)[a.Key.Entry]
	if !stands || line.Image.Digest == a.Image.Digest {
		return nil
	}
	return []string{"other bytes take the place of " + a.Key.Entry + " in " + string(m.stage) + ": it stood as " + line.Image.Digest.String() + ", and is now " + a.Image.Digest.String()}
}

// version is one of a package, with the entry that it is.
type version struct {
	*semver.Version
	entry string
}

// versionOf reads the entry of a package; false for a name that is none.
func versionOf(entry string) (name string, v version, ok bool) {
	p, err := mirror.ParsePackage(entry)
	if err != nil {
		return "", version{}, false
	}
	parsed, err := semver.StrictNewVersion(p.Version)
	return p.Name, version{parsed, entry}, err == nil
}

// newestAt gives the newest version of each package that stands at a stage, by its name.
func newestAt(standing mirror.Standing) map[string]version {
	newest := map[string]version{}
	for entry := range standing {
		name, v, ok := versionOf(entry)
		if have, known := newest[name]; ok && (!known || v.GreaterThan(have.Version) || v.Equal(have.Version) && entry > have.entry) {
			newest[name] = v
		}
	}
	return newest
}

// versions gives the newest version of the package that stands here and that of an action, where there are both.
func (m promotion) versions(a mirror.Action) (newest, is version, both bool) {
	name, is, ok := versionOf(a.Key.Entry)
	newest, stands := m.newest[name]
	return newest, is, ok && stands
}

// newestOf is closed for an older version than the newest of the package that stands here. All versions of a package may
// stand side by side, so what counts is what those get who ask for the newest one.
func (m promotion) newestOf(a mirror.Action, marked string) mirror.Gate {
	newest, is, both := m.versions(a)
	switch {
	case !both:
		return open("downgrade", "nothing of this package stands here yet")
	case !is.LessThan(newest.Version):
		return open("downgrade", "%s is not older than %s", a.Key.Entry, newest.entry)
	case marked != "":
		return open("downgrade", "the stage file marks it as a rollback: %s", mirror.OneLine(marked))
	}
	return closed("downgrade", mirror.Downgrade, "%s is older than %s, which stands here", a.Key.Entry, newest.entry)
}

// release lets those versions of packages leave their stage that may: everywhere what is denied, and between the first
// stage and the last what an exception names. The others stay, and are told as refused.
func (p Policy) release(pl mirror.Plan, set mirror.Set, at time.Time) mirror.Plan {
	pl.Released = map[mirror.Stage]map[string]bool{}
	pl.Actions = slices.DeleteFunc(pl.Actions, func(a mirror.Action) bool {
		if a.Kind != mirror.Refuse || a.Reason.Code != mirror.Removes || !p.releases(set, a, at) {
			return false
		}
		if pl.Released[a.Stage] == nil {
			pl.Released[a.Stage] = map[string]bool{}
		}
		pl.Released[a.Stage][a.Key.Entry] = true
		return true
	})
	return pl
}

func (p Policy) releases(set mirror.Set, a mirror.Action, at time.Time) bool {
	if p.denies(a.Image) != "" {
		return true
	}
	if last(set, a.Stage) {
		return false
	}
	return slices.ContainsFunc(p.layers, func(l layer) bool {
		return slices.ContainsFunc(l.exceptions, func(e exception) bool {
			return e.matches(a.Image, a.Stage) && slices.Contains(e.Skip, skipRemoval) && at.Before(e.Until)
		})
	})
}

// removesAlone says whether an exception says nothing of what rules require.
func (e exception) removesAlone() bool { return len(e.Skip) == 1 && e.Skip[0] == skipRemoval }

// removal tells of an exception that would let nothing go: the first stage needs none, and the last takes none.
func (l *loader) removal(e exception, where mirror.Position) {
	if l.floor || l.anyStage {
		return
	}
	for _, set := range l.sets {
		for i, stage := range set.Stages {
			between := i > 0 && i < len(set.Stages)-1
			if set.Source.Kind == packagesKind && between && (len(e.Stages) == 0 || slices.Contains(e.Stages, stage)) {
				return
			}
		}
	}
	l.problems.Add("POL074", where, "name a stage between the first and the last of a set of packages; what must leave the last one has to be denied",
		"skip: removal lets nothing go at these stages")
}

// packagesKind is the kind of the source of a set of packages.
const packagesKind = "epr"
