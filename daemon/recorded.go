package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

// remembered gives what the fleet repository says stands for a set. Of the lines that our state does not have, those
// count as a commit of ours left them last: what people edited later is passed over, so that an edit can neither make
// anything old nor let us forget. Times and the past of other lines are claims; their Since is zero.
func (l *Line) remembered(ctx context.Context, f *fleet, set mirror.Set) (mirror.Record, error) {
	r, err := l.record(f, set)
	if err != nil {
		return r, err
	}
	ours, err := l.state.Record(set.Name)
	if err != nil {
		return r, err
	}
	lost := !l.state.Knows(set.Name)
	stranger := func(stage mirror.Stage) func(string) bool {
		return func(entry string) bool {
			_, known := ours.Stages[stage][entry]
			_, left := ours.Left[stage][entry]
			return !known && !left
		}
	}
	if !lost && !slices.ContainsFunc(set.Stages, func(s mirror.Stage) bool {
		return slices.ContainsFunc(sortedKeys(r.At(s)), stranger(s)) || slices.ContainsFunc(sortedKeys(r.Left[s]), stranger(s))
	}) {
		return r, nil
	}
	written, ok, err := l.ourRecord(ctx, f, set)
	if err != nil {
		return r, fmt.Errorf("what we recorded of set %s: %w", set.Name, err)
	}
	r = r.Clone()
	for _, stage := range set.Stages {
		for _, stages := range []map[mirror.Stage]mirror.Standing{r.Stages, r.Left} {
			if stages[stage] == nil {
				stages[stage] = mirror.Standing{}
			}
			for entry, line := range stages[stage] {
				if stranger(stage)(entry) {
					line.Claimed = slices.Concat(line.Was, line.Claimed)
					line.Was, line.Stood, line.Since = nil, nil, time.Time{}
					stages[stage][entry] = line
				}
			}
		}
		for entry, line := range written.Left[stage] {
			if stranger(stage)(entry) {
				line.Recorded, line.Was = line.Was, nil
				r.Left[stage][entry] = line
				delete(r.Stages[stage], entry)
			}
		}
		for entry, line := range written.At(stage) {
			if stranger(stage)(entry) {
				delete(r.Left[stage], entry)
				line.Recorded, line.Was = line.Was, nil
				if now := r.Stages[stage][entry]; now.Image == line.Image {
					line.Vouch = cmp.Or(line.Vouch, now.Vouch) // that is held against the history, whoever wrote it
				}
				r.Stages[stage][entry] = line
			}
		}
	}
	if lost && ok {
		r.Origin = written.Origin
	}
	return r, nil
}

// ourRecord gives the record of a set as the newest commit of ours left it; ok is false where none did.
func (l *Line) ourRecord(ctx context.Context, f *fleet, set mirror.Set) (record mirror.Record, ok bool, err error) {
	dir, last := l.renderedDir(), ""
	err = l.walkRendered(ctx, f, dir+"/record/"+set.Name, func(s git.Step) (bool, error) {
		made, err := l.git.Made(s.Commit, dir)
		if made {
			last = s.Commit
		}
		return !made, err
	})
	if err != nil || last == "" {
		return record, false, err
	}
	files, err := l.git.Files(last, dir+"/record/"+set.Name)
	if errors.As(err, new(mirror.Problems)) {
		return record, false, nil
	}
	return mirror.ParseRecord(dir, set, files), err == nil, err
}
