package daemon

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// maxRemembered is how many runs and events a look takes in, newest first.
const maxRemembered = 5000

// notRead says that nobody fetched the fleet repository yet on this state directory.
func notRead() mirror.Problem {
	return mirror.Problem{Code: "CTL006", What: "the fleet repository was not read yet on this state directory",
		Fix: "run `poundlock sync`, or start the daemon; a command that lists reads it once with --refresh"}
}

// Look gives what is wanted and what stands, as far as Only leaves it to be looked at. What is not of the fleet is
// mirror.Problems, with what may have been meant.
func (l *Line) Look(ctx context.Context) (Look, error) {
	g, err := l.glance(ctx)
	if err != nil {
		return Look{}, err
	}
	look := Look{Commit: g.fleet.head, Sets: []SetLook{}}
	if err := l.limit.check(g.fleet.desired); err != nil {
		return look, err
	}
	for _, set := range g.fleet.desired.Sets {
		if asked := l.limit.sets(); len(asked) > 0 && !slices.Contains(asked, set.Name) {
			continue
		}
		one, err := g.set(set)
		if err != nil {
			return look, err
		}
		look.Sets = append(look.Sets, one)
	}
	return look, nil
}

// glance is everything that a look is made from.
type glance struct {
	line   *Line
	fleet  *fleet
	runs   []Run             // newest first
	events []Event           // newest first
	newest map[string]*Event // by set, stage and entry

	remarks map[string][]Remark // by set
	waits   map[string][]Wait   // by set
	held    mirror.Holds
	records map[string]mirror.Record     // by set, as far as they were read
	places  map[string]map[string]string // by set, where a run noted it: what is refused or missing, by placeKey
}

func (l *Line) glance(ctx context.Context) (*glance, error) {
	if _, err := l.git.Head(); l.offline && err != nil {
		return nil, notRead()
	}
	f, err := l.refresh(ctx)
	if f == nil {
		return nil, err
	}
	if err != nil {
		l.log.Warn("the newest commit has mistakes; the last good one is in force", keyError, err)
	}
	g := &glance{line: l, fleet: f, records: map[string]mirror.Record{}}
	if g.runs, err = l.state.Runs(maxRemembered); err != nil {
		return nil, err
	}
	if g.events, err = l.state.Events(maxRemembered); err != nil {
		return nil, err
	}
	g.remarks, g.places = map[string][]Remark{}, map[string]map[string]string{}
	for _, set := range f.desired.Sets {
		if g.remarks[set.Name], err = l.state.Remarks(set.Name); err != nil {
			l.log.Debug("what is to be known of what stands cannot be read", keySet, set.Name, keyError, err)
		}
	}
	for _, set := range f.desired.Sets {
		if places := l.state.trouble(set.Name).Places; places != nil {
			g.places[set.Name] = places
		}
	}
	g.waits = map[string][]Wait{}
	for _, set := range f.desired.Sets {
		if g.waits[set.Name], err = l.state.Waits(set.Name); err != nil {
			l.log.Debug("what waits cannot be read", keySet, set.Name, keyError, err)
		}
	}
	if g.held, err = l.holds(f); err != nil {
		l.log.Warn("what is held cannot be read", keyError, err)
	}
	g.newest = map[string]*Event{}
	for i, e := range g.events {
		if key := standKey(e.Set, e.Stage, e.Entry); e.Entry != "" && g.newest[key] == nil {
			g.newest[key] = &g.events[i]
		}
	}
	return g, nil
}

func standKey(set string, stage mirror.Stage, entry string) string {
	return set + "\x00" + string(stage) + "\x00" + entry
}

// stands gives what stands for a set: what this state committed, else what the fleet repository says.
func (g *glance) stands(set mirror.Set) (mirror.Record, error) {
	record, err := g.line.record(g.fleet, set)
	if err != nil || !g.line.state.Knows(set.Name) {
		return record, err
	}
	ours, err := g.line.state.Record(set.Name)
	ours.Origin = record.Origin
	return ours, err
}

func (g *glance) set(set mirror.Set) (SetLook, error) {
	record, err := g.stands(set)
	if err != nil {
		return SetLook{}, err
	}
	one := SetLook{Set: set.Name, Source: set.Source.Kind, Layout: string(set.Layout), Atomic: set.Atomic, Packages: set.Packages, Entries: len(set.Entries),
		Where: set.Where, LastRun: g.lastRun(set.Name), Stages: []StageLook{}}
	if s, ok := g.line.Suspended(set.Name); ok {
		one.Suspended = &s
	}
	frozen, err := g.line.frozenAsEver(g.fleet, set, record)
	if err != nil {
		return SetLook{}, err
	}
	for _, f := range frozen {
		one.Frozen = append(one.Frozen, FrozenLook{f.Name, f.From, len(f.Lines), f.Lines})
	}
	one.Lines = g.entries(set, record)
	if only := g.line.limit.only; len(only) > 0 {
		one.Lines = slices.DeleteFunc(one.Lines, func(e EntryLook) bool {
			return !slices.ContainsFunc(only, func(s selector) bool { return s.matches(mirror.Key{Set: e.Set, Entry: e.Entry}) })
		})
	}
	for _, stage := range set.Stages {
		one.Stages = append(one.Stages, stageLook(set, stage, one.Lines))
	}
	return one, nil
}

func stageLook(set mirror.Set, stage mirror.Stage, lines []EntryLook) StageLook {
	s := StageLook{Set: set.Name, Stage: stage, Atomic: set.Atomic && stage != set.Stages.First()}
	for _, e := range lines {
		for _, at := range e.Stages {
			if at.Stage != stage {
				continue
			}
			if !at.Wanted.IsZero() {
				s.Wanted++
			}
			if at.State == Stands {
				s.AsWanted++
			}
			if at.Waits != nil {
				s.Waiting++
			}
			if !at.Image.IsZero() {
				s.Standing++
			}
			if at.Since.After(s.Changed) {
				s.Changed, s.Commit = at.Since, at.Commit
			}
		}
	}
	return s
}

// entries gives every entry that the set asks for or that stands for it, by name.
func (g *glance) entries(set mirror.Set, record mirror.Record) []EntryLook {
	all := map[string]*EntryLook{}
	at := func(entry string) *EntryLook {
		if all[entry] == nil {
			all[entry] = &EntryLook{Set: set.Name, Entry: entry, Stages: []Stand{}}
		}
		return all[entry]
	}
	for _, e := range set.Entries {
		one := at(e.Name)
		one.Image, one.Where = e.Image, e.Where
	}
	for _, stage := range set.Stages {
		wanted := wantedAt(set, stage)
		standing := record.At(stage)
		for _, entry := range sortedKeys(wanted) {
			at(entry).Stages = append(at(entry).Stages, g.stand(set, stage, entry, wanted[entry], standing[entry]))
		}
		for _, entry := range sortedKeys(standing) {
			if _, asked := wanted[entry]; !asked {
				at(entry).Stages = append(at(entry).Stages, g.stand(set, stage, entry, mirror.Wanted{}, standing[entry]))
			}
		}
	}
	lines := []EntryLook{}
	for _, entry := range sortedKeys(all) {
		lines = append(lines, *all[entry])
	}
	return lines
}

// wantedAt gives what is asked for at a stage, by entry. At the first stage that is what the source names,
// which may be a tag alone.
func wantedAt(set mirror.Set, stage mirror.Stage) map[string]mirror.Wanted {
	wanted := map[string]mirror.Wanted{}
	if stage == set.Stages.First() {
		for _, e := range set.Entries {
			wanted[e.Name] = mirror.Wanted{Entry: e.Name, Image: e.Image, Where: e.Where}
		}
		return wanted
	}
	for _, w := range set.Wanted[stage] {
		wanted[w.Entry] = w
	}
	return wanted
}

func (g *glance) stand(set mirror.Set, stage mirror.Stage, entry string, w mirror.Wanted, line mirror.Line) Stand {
	s := Stand{Stage: stage, Image: line.Image, Wanted: w.Image, Where: w.Where, Since: line.Since, Basis: line.Basis, Vouch: line.Vouch, Commit: line.Commit}
	switch {
	case w.Image.IsZero():
		s.State = Unwanted
		return s
	case line.Image.IsZero():
		s.State = Absent
	case line.Image.Name() == w.Image.Name() && line.Image.Tag == w.Image.Tag && (!w.Image.HasDigest() || line.Image.Digest == w.Image.Digest):
		s.State = Stands
	default:
		s.State = Behind
	}
	if _, hold, ok := g.held.Over(set.Name, stage, entry); ok {
		s.Hold = &hold
	}
	if s.State != Stands {
		s.Waits = g.wait(set.Name, stage, entry, w.Image)
	}
	if s.Waits == nil {
		s.Trouble = g.trouble(set, stage, entry, w)
	}
	s.Remark = g.remark(set, stage, entry, line.Image)
	return s
}

// remark gives what the last step remarked of the content that stands for an entry at a stage.
func (g *glance) remark(set mirror.Set, stage mirror.Stage, entry string, image mirror.Reference) *Remark {
	all := g.remarks[set.Name]
	i := slices.IndexFunc(all, func(r Remark) bool { return r.Stage == stage && r.Entry == entry && r.Image == image })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// trouble gives what the last run found in the way of an entry at a stage. A later run of the set that found it in
// nobody's way ends it, whatever else that run found.
func (g *glance) trouble(set mirror.Set, stage mirror.Stage, entry string, w mirror.Wanted) *Trouble {
	e := g.newest[standKey(set.Name, stage, entry)]
	if e == nil {
		return nil
	}
	switch e.Type {
	case EventRefused, EventMissing, EventFailed, EventCopyFailed:
	default:
		return nil
	}
	if last := g.lastRun(set.Name); last != nil && last.Ended.After(e.At) && g.over(set.Name, *e, *last) {
		return nil
	}
	t := &Trouble{Type: e.Type, Code: e.Code, Reason: e.Reason, Image: e.Image, At: e.At, Run: e.Run}
	a := mirror.Action{Kind: mirror.Failed, Key: mirror.Key{Set: set.Name, Entry: entry}, Stage: stage, Image: cmp.Or(t.Image, w.Image), Reason: mirror.Reason{Code: t.Code}}
	switch e.Type {
	case EventRefused:
		a.Kind = mirror.Refuse
	case EventMissing:
		a.Kind = mirror.Missing
	}
	t.Fix, t.Next = cmp.Or(e.Fix, plan.Fix(a)), next(a)
	return t
}

// over says whether a trouble of an entry was gone when a later run ended.
func (g *glance) over(set string, e Event, last Run) bool {
	if places, known := g.places[set]; known && (e.Type == EventRefused || e.Type == EventMissing) {
		_, there := places[placeKey(mirror.Action{Stage: e.Stage, Key: mirror.Key{Set: set, Entry: e.Entry}})]
		return !there
	}
	return last.Failed == 0 && (last.Refused+last.Missing == 0 || e.Type != EventRefused && e.Type != EventMissing)
}

// next gives the command to go on with about an entry that does not come about.
func next(a mirror.Action) string {
	switch a.Reason.Code {
	case mirror.NoRule:
		return "poundlock help policy"
	case mirror.NotBelow, mirror.Incomplete, mirror.Held:
		return "poundlock get entries --only " + a.Key.Set
	case mirror.Collision, mirror.ForeignTag, mirror.BasedOnMoved:
		return "poundlock plan"
	}
	if a.Kind == mirror.Failed {
		return "poundlock doctor"
	}
	return fmt.Sprintf("poundlock verify %s --stage %s", a.Image, a.Stage)
}

func (g *glance) lastRun(set string) *Run {
	if i := slices.IndexFunc(g.runs, func(r Run) bool { return r.Set == set }); i >= 0 {
		return &g.runs[i]
	}
	return nil
}
