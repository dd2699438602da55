package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

// ascent is a promotion before it is made: what a stage file is to list, and how that differs from what it lists.
type ascent struct {
	set         mirror.Set
	from, stage mirror.Stage
	entries     []string // that were named, sorted; none for the whole set
	by, reason  string
	back        bool   // to what the stage file listed before
	newest      bool   // of each package only its newest version
	frozen      string // the name of the frozen channel that is made instead of a promotion; "" for none
	files       mirror.Files
	file        mirror.StageFile
	moves       []publish.Move
	record      mirror.Record
	gates       map[string][]mirror.Gate // by entry that moves
}

// ascend gives the promotion that an order comes to. why says what is in its way although everything can be read.
func (l *Line) ascend(ctx context.Context, f *fleet, o PromoteOrder) (a ascent, why []string, err error) {
	if err := f.known(o.Set); err != nil {
		return a, nil, err
	}
	a.set, _ = f.desired.Set(o.Set)
	switch {
	case o.Freeze != "" && !slices.Contains(a.set.Stages, o.Stage):
		return a, nil, mirror.Problems{Unknown("stage", string(o.Stage), stageNames(a.set.Stages))}
	case o.Freeze != "":
		a.stage, a.from = o.Stage, o.Stage
	default:
		if a.stage, a.from, err = rising(a.set, o.Stage); err != nil {
			return a, nil, err
		}
	}
	if o.Newest && !a.set.Packages {
		return a, nil, mirror.Problems{{Code: "PRM012", What: fmt.Sprintf("set %s has no packages, so there is no newest version of any", a.set.Name), Fix: "leave --newest-only out"}}
	}
	a.newest, a.files = o.Newest, f.desired.Files
	a.by, a.reason, a.back = o.By, mirror.OneLine(o.Reason), o.Back
	a.entries = slices.Compact(slices.Sorted(slices.Values(o.Entries)))
	if err := l.adopt(ctx, f, a.set); err != nil {
		return a, nil, fmt.Errorf("what another daemon recorded of set %s: %w", a.set.Name, err)
	}
	if a.record, err = l.ground(f, a.set); err != nil {
		return a, nil, err
	}
	if a.set.Packages {
		a.entries = slices.Compact(slices.Sorted(slices.Values(namedPackages(a.entries, a.record.At(a.from), a.newest))))
	}
	listed := listedLines(a.set.Wanted[a.stage])
	switch {
	case o.Freeze != "":
		listed = map[string]mirror.Reference{}
		if why, err = a.freeze(f, a.set, o.Stage, o.Freeze); err == nil && len(why) == 0 && a.isFrozen() {
			return a, nil, nil // nothing to do
		}
	case o.Back:
		err = l.back(ctx, f, &a, o.Commit)
	default:
		why, err = a.rise(listed, f.desired.Files)
	}
	if err != nil || len(why) > 0 {
		return a, why, err
	}
	a.moves = a.differs(listed)
	return a, nil, nil
}

// heldBack says which holds cover what a promotion changes. Whoever goes back knows what is held there.
func (l *Line) heldBack(f *fleet, a ascent) (why []string, err error) {
	if a.back {
		return nil, nil
	}
	held, err := l.holds(f)
	if err != nil {
		return nil, err
	}
	told := map[mirror.Place]bool{}
	for _, m := range a.moves {
		if place, hold, ok := held.Over(a.set.Name, a.stage, m.Entry); ok && !told[place] {
			told[place] = true
			why = append(why, fmt.Sprintf("%s is %s; `%s` lets it go on", place, hold, releasing(place)))
		}
	}
	return why, nil
}

// rising gives a stage that a set is promoted to, and the one below.
func rising(set mirror.Set, stage mirror.Stage) (is, below mirror.Stage, err error) {
	if !slices.Contains(set.Stages, stage) {
		return "", "", mirror.Problems{Unknown("stage", string(stage), stageNames(set.Stages.Upper()))}
	}
	below, upper := set.Stages.Below(stage)
	if !upper {
		return "", "", mirror.Problems{{Code: "PRM002", What: fmt.Sprintf("nothing is promoted to %s: it is the first stage of set %s", stage, set.Name),
			Why: "the first stage is filled from upstream", Fix: "name a stage above it"}}
	}
	return stage, below, nil
}

func stageNames(stages mirror.Stages) (names []string) {
	for _, s := range stages {
		names = append(names, string(s))
	}
	return names
}

// ground gives the record of a set as far as this process may build a promotion on it: the lines that it committed;
// where it committed none yet, those that Git has. Whether one really stands is judged where it moves.
func (l *Line) ground(f *fleet, set mirror.Set) (mirror.Record, error) {
	r, err := l.record(f, set)
	if err != nil || !l.state.Knows(set.Name) {
		return r, err
	}
	origin := r.Origin
	if r, err = l.state.Record(set.Name); err != nil {
		return r, fmt.Errorf("record of set %s: %w", set.Name, err)
	}
	r.Origin = origin
	return r, nil
}

func listedLines(wanted []mirror.Wanted) map[string]mirror.Reference {
	lines := map[string]mirror.Reference{}
	for _, w := range wanted {
		lines[w.Entry] = w.Image
	}
	return lines
}

// rise makes the stage file list what stands in the stage below: all of it, or the entries that were named. What the
// set still asks for and what does not stand below keeps the line that it has.
func (a *ascent) rise(listed map[string]mirror.Reference, files mirror.Files) (why []string, err error) {
	below := a.record.At(a.from)
	lines, asked := map[string]mirror.Reference{}, map[string]bool{}
	for _, e := range a.set.Entries {
		asked[e.Name] = true
	}
	switch {
	case len(below) == 0:
		return []string{fmt.Sprintf("nothing stands in %s", a.from)}, nil
	case len(a.entries) > 0:
		maps.Copy(lines, listed)
		for _, entry := range a.entries {
			line, stands := below[entry]
			switch {
			case !stands && !asked[entry]:
				return nil, mirror.Problems{Unknown("entry", entry, sortedKeys(below))}
			case !stands:
				why = append(why, fmt.Sprintf("%s does not stand in %s", entry, a.from))
				continue
			}
			lines[entry] = line.Image
		}
		a.file.Source = sourceOf(files, a.set.Name, a.stage)
	default:
		for entry, image := range listed {
			if asked[entry] || a.set.Packages { // a version that upstream forgot stays in its channels
				lines[entry] = image
			}
		}
		newest := newestOf(sortedKeys(below))
		for entry, line := range below {
			if !a.newest || newest.has(entry) {
				lines[entry] = line.Image
			}
		}
		a.file.Source = a.origin(files)
	}
	if lacks := a.lacks(lines); len(lacks) > 0 && len(why) == 0 {
		at := a.from // whose lines these are
		if len(a.entries) > 0 {
			at = a.stage
		}
		why = append(why, fmt.Sprintf("the entries of this set move together, and %s: not in %s; promote the whole set", few(lacks), at))
	}
	a.file.Lines = lines
	return why, nil
}

// unmet says which lines of the stage file do not stand yet; nil where all do.
func (a ascent) unmet() []string {
	var names []string
	for _, entry := range sortedKeys(a.file.Lines) {
		if a.record.At(a.stage)[entry].Image != a.file.Lines[entry] {
			names = append(names, entry)
		}
	}
	if len(names) == 0 || a.frozen != "" {
		return nil
	}
	return []string{"not standing yet: " + few(names)}
}

// lacks gives what the stage file of an atomic set would leave out.
func (a ascent) lacks(lines map[string]mirror.Reference) (names []string) {
	for _, e := range a.set.Entries {
		if _, there := lines[e.Name]; a.set.Atomic && !there {
			names = append(names, e.Name)
		}
	}
	return names
}

// origin gives the vendor's file that the whole of the stage below was made from, as far as somebody says so.
func (a ascent) origin(files mirror.Files) mirror.Digest {
	if a.from == a.set.Stages.First() {
		return a.record.Origin
	}
	return sourceOf(files, a.set.Name, a.from)
}

func sourceOf(files mirror.Files, set string, stage mirror.Stage) mirror.Digest {
	for _, part := range files.Document(mirror.StageName(set, stage)) {
		var doc mirror.StageDocument
		if len(mirror.Decode(part, files[part], &doc)) == 0 {
			return doc.Source
		}
	}
	return mirror.Digest{}
}

// differs lists what the stage file is to say otherwise than it does, by entry.
func (a ascent) differs(listed map[string]mirror.Reference) (moves []publish.Move) {
	names := maps.Clone(listed)
	maps.Copy(names, a.file.Lines)
	for _, entry := range sortedKeys(names) {
		if m := (publish.Move{Stage: a.stage, Entry: entry, Old: listed[entry], New: a.file.Lines[entry]}); m.Old != m.New {
			moves = append(moves, m)
		}
	}
	return moves
}

// selector names what a proposal is about besides set and stage: the named entries, "" for the whole set.
func (a ascent) selector() string { return strings.Join(a.entries, ",") }

// facts gives what the words of a proposal are made from.
func (a ascent) facts(site string) publish.ProposalFacts {
	return publish.ProposalFacts{Site: site, Set: a.set.Name, Stage: a.stage, From: a.from, Selector: a.selector(), Moves: a.moves, By: a.by, Back: a.back, Packages: a.set.Packages, Frozen: a.frozen}
}

// candidate identifies what the stage file is to list: a proposal that was declined stays so until it is another one.
func (a ascent) candidate() mirror.Digest {
	var b strings.Builder
	for _, entry := range sortedKeys(a.file.Lines) {
		fmt.Fprintf(&b, "%s=%s\n", entry, a.file.Lines[entry])
	}
	return mirror.DigestOf([]byte(b.String()))
}

// promoted begins the answer.
func (a ascent) promoted() Promoted {
	p := Promoted{Set: a.set.Name, From: a.from, Stage: a.stage, Entries: a.entries, Rollback: a.back, Frozen: a.frozen, Moves: []PromotedLine{}, Gates: together(a.gates)}
	for _, m := range a.moves {
		p.Moves = append(p.Moves, PromotedLine{Entry: m.Entry, From: m.Old, To: m.New})
	}
	return p
}

// few names the first of many.
func few(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
