package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

// errTwin says that another daemon of this site recorded something of a set since it was looked at.
var errTwin = fmt.Errorf("another daemon recorded something of the set meanwhile: %w", publish.ErrSuperseded)

// adopt takes into our state what another daemon of this site recorded for a set: lines of the record that are not as
// we committed them, but as a commit of ours left them, and that the local registry confirms. Without that two daemons
// would undo each other's promotions wherever a gate has closed since. What is taken is not proven: it is judged again
// before anything is rendered from it.
func (l *Line) adopt(ctx context.Context, f *fleet, set mirror.Set) error {
	if l.offline || !l.state.Knows(set.Name) {
		return nil // a state that knows nothing reads all of it anew
	}
	now, err := l.record(f, set)
	if err != nil {
		return err
	}
	known, err := l.state.Record(set.Name)
	if err != nil {
		return err
	}
	ours := known.Stages
	var others []mirror.Place
	for _, stage := range set.Stages {
		for entry, line := range now.At(stage) {
			if ours[stage][entry].Image != line.Image {
				others = append(others, mirror.Place{Set: set.Name, Stage: stage, Entry: entry})
			}
		}
	}
	if len(others) == 0 {
		return nil
	}
	written, ok, err := l.ourRecord(ctx, f, set)
	if err != nil || !ok {
		return err
	}
	next, taken, first := known.Clone(), map[string]mirror.Digest{}, false
	for _, at := range others {
		line := now.At(at.Stage)[at.Entry]
		if !reflect.DeepEqual(written.At(at.Stage)[at.Entry], line) {
			continue // people edited it
		}
		pointer := l.local.Pointer(set, at.Stage, at.Entry, line.Image)
		named, err := l.ask(ctx, []mirror.Reference{pointer})
		if err != nil {
			return err
		}
		if named[pointer.String()] != line.Image.Digest {
			continue
		}
		adoptLine(next, at.Stage, at.Entry, line)
		taken[pointer.String()], first = line.Image.Digest, first || at.Stage == set.Stages.First()
	}
	if len(taken) == 0 {
		return nil
	}
	if first {
		l.progress(set.Name).unresolve()
	}
	return errors.Join(l.state.Own(taken), l.state.SetLines(set.Name, next))
}

// adoptLine makes a line that another daemon wrote stand, with the past that we know. What only the other one says
// stood before counts as in a state that was lost.
func adoptLine(record mirror.Record, stage mirror.Stage, entry string, said mirror.Line) {
	line := said
	line.Proven, line.Was, line.Stood = false, nil, nil
	record.Put(stage, entry, line)
	standing := record.Stages[stage]
	line = standing[entry]
	line.Recorded, line.Claimed = said.Was, said.Claimed
	if line.Stood = maps.Clone(line.Stood); line.Stood == nil {
		line.Stood = map[mirror.Digest]time.Duration{}
	}
	for d, age := range said.Stood {
		line.Stood[d] = max(line.Stood[d], age)
	}
	standing[entry] = line
}

// asTwinWrote gives a record with those lines as another daemon of this site wrote them whose image is the one that we would
// write: since when it stands and what it remembers is as good as what we do, and neither is to write over the other.
func (l *Line) asTwinWrote(ctx context.Context, f *fleet, set mirror.Set, record mirror.Record) (mirror.Record, error) {
	now, err := l.record(f, set)
	if err != nil {
		return record, err
	}
	known, err := l.state.Record(set.Name)
	if err != nil {
		return record, err
	}
	dir := l.renderedDir()
	ours := l.records.Parse(dir, set, mirror.RecordFiles(dir, set, known)) // as it would be read
	var written *mirror.Record
	next := record.Clone()
	take := func(of func(mirror.Record) mirror.Standing) error {
		for entry, line := range of(record) {
			is, there := of(now)[entry]
			if !there || is.Image != line.Image || reflect.DeepEqual(is, of(ours)[entry]) {
				continue
			}
			if written == nil {
				left, _, err := l.ourRecord(ctx, f, set)
				if err != nil {
					return err
				}
				written = &left
			}
			if !reflect.DeepEqual(is, of(*written)[entry]) {
				continue // people edited it
			}
			if is.Vouch, err = l.voucher(ctx, f, mirror.Key{Set: set.Name, Entry: entry}, is, line); err != nil {
				return err
			}
			is.Proven, is.Basis = line.Proven, line.Basis
			of(next)[entry] = is
		}
		return nil
	}
	for _, stage := range set.Stages {
		err = errors.Join(err,
			take(func(r mirror.Record) mirror.Standing { return r.At(stage) }),
			take(func(r mirror.Record) mirror.Standing { return r.Left[stage] }))
	}
	return next, err
}

// voucher gives the commit that is to vouch for a line of two daemons, each of which may know another one: while the one
// that stands there does vouch, it stays, or they would take turns.
func (l *Line) voucher(ctx context.Context, f *fleet, key mirror.Key, there, ours mirror.Line) (string, error) {
	if there.Vouch == "" || ours.Vouch == "" || there.Vouch == ours.Vouch {
		return ours.Vouch, nil
	}
	if vouches, err := l.vouched(f)(ctx, there.Vouch, key, there.Image); err != nil || vouches {
		return there.Vouch, err
	}
	return ours.Vouch, nil
}

// alone makes sure that what a step would write over is what it has read: since f, nothing of the set was recorded up
// to a commit that its own is to be built on.
func (l *Line) alone(f *fleet, set mirror.Set, head string) error {
	read := l.renderedAt(f)
	if head == read || read == "" {
		return nil
	}
	changed, err := l.git.Differ(read, head, l.ownedDirs(set)...)
	if err != nil || len(changed) == 0 {
		return err
	}
	l.progress(set.Name).anew()
	return errTwin
}
