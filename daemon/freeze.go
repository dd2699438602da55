package daemon

import (
	"fmt"
	"maps"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/render"
)

// A channel of packages can be frozen: what it holds now becomes a document of its own in stages/, by a proposal or a commit
// as a promotion does, and is served and rendered under the name that it was given. It never changes.

// freeze makes a new document list what the channel of a stage holds: what stands there, and at the stages above it.
func (a *ascent) freeze(f *fleet, set mirror.Set, stage mirror.Stage, name string) (why []string, err error) {
	if !set.Packages {
		return nil, mirror.Problems{{Code: "PRM010", What: fmt.Sprintf("set %s has no channels, so nothing of it can be frozen", set.Name), Why: "only sets of packages (source kind epr) have channels"}}
	}
	if slices.Contains(set.Stages, mirror.Stage(name)) {
		return nil, mirror.Problems{{Code: "PRM011", What: fmt.Sprintf("%q is a stage of set %s, so no frozen channel can have its name", mirror.OneLine(name), set.Name),
			Why: "channels of stages and frozen channels are served side by side", Fix: "take another name, such as 9.3.0 or " + mirror.OneLine(name) + "-9.3.0"}}
	}
	if !set.IsFrozenName(name) {
		return nil, mirror.Problems{{Code: "PRM011", What: fmt.Sprintf("%q cannot be the name of a frozen channel", mirror.OneLine(name)),
			Why: "it becomes part of a tag and of an address, beside the stages", Fix: "write small letters, digits, dots and dashes, such as 9.3.0"}}
	}
	a.frozen = name
	lines := channelLines(set, a.record, stage)
	if len(lines) == 0 {
		return []string{fmt.Sprintf("nothing stands in %s", stage)}, nil
	}
	if denied := f.deniedLines(lines); len(denied) > 0 {
		return denied, nil
	}
	a.file = mirror.StageFile{Lines: lines, From: stage}
	for _, other := range set.Frozen {
		if other.Name != name {
			continue
		}
		if other.From == stage && a.isFrozen() {
			return nil, nil // it says so already
		}
		return []string{fmt.Sprintf("%s is frozen already, with other content, and never changes; take another name", name)}, nil
	}
	return nil, nil
}

// isFrozen says whether the document says already what it is to say.
func (a ascent) isFrozen() bool {
	return mirror.Lists(a.files, a.document(), a.file.Lines)
}

// channelLines gives what the channel of a stage holds: what stands there or at a higher stage, which comes first.
func channelLines(set mirror.Set, record mirror.Record, stage mirror.Stage) map[string]mirror.Reference {
	lines := map[string]mirror.Reference{}
	reached := false
	for _, s := range set.Stages {
		if reached = reached || s == stage; !reached {
			continue
		}
		for entry, line := range record.At(s) {
			lines[entry] = line.Image
		}
	}
	return lines
}

// freezes renders the frozen channels of a set beside what was made of its stages, and gives the files that remember them.
// One that is not as it was is refused, and its folder stays as it is.
func (l *Line) freezes(f *fleet, v *view, record mirror.Record, old mirror.Files, made *render.Result) mirror.Files {
	lines := mirror.ParseFrozen(l.renderedDir(), v.set, old)
	kept, refused := f.keepsFrozen(v.set, lines, record, l.now())
	v.frozen = kept
	for _, a := range refused {
		a.Path = render.Dir(l.local, v.set, a.Stage)
		made.Kept = append(made.Kept, a)
	}
	for _, channel := range kept {
		one := render.Frozen(l.local, v.set, channel, f.desired.Files)
		maps.Copy(made.Files, one.Files)
		maps.Copy(made.Secrets, one.Secrets)
		made.Kept, made.Notes = append(made.Kept, one.Kept...), append(made.Notes, one.Notes...)
	}
	return mirror.FrozenFiles(l.renderedDir(), v.set, lines)
}

// frozenAsEver gives the frozen channels of a set that list what they listed when they were first seen. Another one is refused
// by the plan, and what it held then stays served.
func (l *Line) frozenAsEver(f *fleet, set mirror.Set, record mirror.Record) ([]mirror.FrozenChannel, error) {
	if len(set.Frozen) == 0 {
		return nil, nil
	}
	old, err := l.outlineAt(l.renderedAt(f), l.ownedDirs(set)...)
	if err != nil {
		return nil, fmt.Errorf("read what is remembered of frozen channels: %w", err)
	}
	kept, _ := f.keepsFrozen(set, mirror.ParseFrozen(l.renderedDir(), set, old), record, l.now())
	return kept, nil
}

// document names what a promotion changes, without its ending.
func (a ascent) document() string {
	if a.frozen != "" {
		return mirror.FrozenName(a.set.Name, a.frozen)
	}
	return mirror.StageName(a.set.Name, a.stage)
}
