package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// holdsFile is where the fleet repository says what automation leaves as it is.
func (l *Line) holdsFile() string { return l.renderedDir() + "/holds.yaml" }

// holds reads what is held at the head of a fleet. The error is mirror.Problems where the file is there and cannot be
// read: then nobody knows what is held.
func (l *Line) holds(f *fleet) (mirror.Holds, error) {
	held, odd, err := l.holdsAt(l.renderedAt(f))
	if err == nil {
		l.warnOfHolds(f, held, odd)
	}
	return held, err
}

// holdsAt reads what is held at a commit that renderedAt gave, with what is odd about single lines.
func (l *Line) holdsAt(commit string) (held mirror.Holds, odd mirror.Problems, err error) {
	if commit == "" {
		return mirror.Holds{}, nil, nil
	}
	data, err := l.git.File(commit, l.holdsFile())
	if err != nil {
		return nil, nil, fmt.Errorf("holds: %w", err)
	}
	if data == nil {
		return mirror.Holds{}, nil, nil
	}
	held, odd, problems := mirror.ParseHolds(l.holdsFile(), data)
	if len(problems) == 0 {
		return held, odd, nil
	}
	problems[0].Where.Commit = commit
	return nil, nil, mirror.Problems{{Code: "PRM001", What: "what is held cannot be read, so automation does nothing", Where: problems[0].Where, Why: problems[0].What,
		Fix: "mend " + l.holdsFile() + ", or delete it to hold nothing"}}
}

// rollbackHolds gives the file of holds with a hold on everything that a rollback just moved, to be part of the commit
// that records it; none where nothing was rolled back. A file that cannot be read holds everything as it is.
func (l *Line) rollbackHolds(f *fleet, moved []mirror.Done, at time.Time) (mirror.Files, error) {
	back := slices.DeleteFunc(slices.Clone(moved), func(d mirror.Done) bool { return d.Err != nil || !d.Action.Rollback })
	if len(back) == 0 {
		return nil, nil
	}
	held, err := l.holds(f)
	if errors.As(err, new(mirror.Problems)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, d := range back {
		place := mirror.Place{Set: d.Action.Key.Set, Stage: d.Action.Stage, Entry: d.Action.Key.Entry}
		by, why := l.whoRolledBack(f, d.Action)
		reason := "rolled back to " + d.Action.Image.WithDigest(mirror.Digest{}).String()
		if why != "" {
			reason += ": " + why
		}
		held[place] = mirror.Hold{Reason: reason, By: by, Since: at.UTC()}
	}
	return mirror.Files{l.holdsFile(): mirror.HoldsFile(held)}, nil
}

// Hold makes automation leave entries of a set at a stage as they are, or all of them where none is named: a commit to
// the file of holds. by says who asked for it.
func (l *Line) Hold(ctx context.Context, set string, stage mirror.Stage, entries []string, reason, by string) (mirror.Hold, error) {
	hold := mirror.Hold{Reason: mirror.OneLine(reason), By: mirror.OneLine(by), Since: l.now().UTC()}
	if hold.Reason == "" {
		return hold, mirror.Problems{{Code: "FLT031", What: "a hold needs a reason", Fix: "say why, for those who find it held: --reason \"...\""}}
	}
	places, err := l.changeHolds(ctx, "hold", set, stage, entries, hold, func(held mirror.Holds, places []mirror.Place) []mirror.Place {
		for _, p := range places {
			held[p] = hold
		}
		return places
	})
	for _, p := range places {
		l.emit(Event{Type: EventHeld, Set: p.Set, Stage: p.Stage, Entry: p.Entry, Reason: hold.Reason, By: hold.By})
	}
	return hold, err
}

// Release takes holds away: those of the named entries, or every one at the stage where none is named. It gives the
// places that were held.
func (l *Line) Release(ctx context.Context, set string, stage mirror.Stage, entries []string, by string) ([]mirror.Place, error) {
	by = mirror.OneLine(by)
	places, err := l.changeHolds(ctx, "release", set, stage, entries, mirror.Hold{By: by}, func(held mirror.Holds, places []mirror.Place) (gone []mirror.Place) {
		for _, p := range held.Sorted() {
			if slices.Contains(places, p) || len(entries) == 0 && p.Set == set && p.Stage == stage {
				gone = append(gone, p)
				delete(held, p)
			}
		}
		return gone
	})
	for _, p := range places {
		l.emit(Event{Type: EventReleased, Set: p.Set, Stage: p.Stage, Entry: p.Entry, By: by})
	}
	if len(places) > 0 {
		l.callDesk()
	}
	return places, err
}

// changeHolds changes the file of holds. change gives the places that it did something to.
func (l *Line) changeHolds(ctx context.Context, verb, set string, stage mirror.Stage, entries []string, hold mirror.Hold, change func(mirror.Holds, []mirror.Place) []mirror.Place) (done []mirror.Place, err error) {
	subject := fmt.Sprintf("%s %s at %s", verb, set, stage)
	err = l.editRendered(ctx, l.holdsFile(), subject, hold.By, func(f *fleet, at string) (mirror.Files, string, error) {
		held, _, err := l.holdsAt(at)
		if err != nil {
			return nil, "", err
		}
		places, err := f.places(set, stage, entries, held)
		if err != nil {
			return nil, "", err
		}
		if done = change(held, places); len(done) == 0 {
			return nil, "", nil
		}
		return mirror.Files{l.holdsFile(): mirror.HoldsFile(held)}, suspensionMessage(subject, hold.Reason, hold.By, l.newID()), nil
	})
	if err != nil {
		done = nil
	}
	return done, err
}

// places gives the places that a command names. What is held already may be a set, stage or entry that is no more.
func (f *fleet) places(set string, stage mirror.Stage, entries []string, held mirror.Holds) (places []mirror.Place, err error) {
	known, ok := f.desired.Set(set)
	stray := slices.ContainsFunc(held.Sorted(), func(p mirror.Place) bool { return p.Set == set && p.Stage == stage })
	if !ok && !stray {
		return nil, f.known(set)
	}
	if ok && !stray {
		if _, _, err := rising(known, stage); err != nil {
			return nil, err
		}
	}
	if len(entries) == 0 {
		return []mirror.Place{{Set: set, Stage: stage}}, nil
	}
	for _, entry := range slices.Compact(slices.Sorted(slices.Values(entries))) {
		place := mirror.Place{Set: set, Stage: stage, Entry: entry}
		_, is := held[place]
		named := slices.ContainsFunc(known.Entries, func(e mirror.Entry) bool { return e.Name == entry }) ||
			slices.ContainsFunc(known.Wanted[stage], func(w mirror.Wanted) bool { return w.Entry == entry })
		if !is && !named {
			var names []string
			for _, e := range known.Entries {
				names = append(names, e.Name)
			}
			return nil, mirror.Problems{Unknown("entry", entry, names)}
		}
		places = append(places, place)
	}
	return places, nil
}
