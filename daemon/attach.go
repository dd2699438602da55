package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/attest"
)

const (
	attachPerStep = 256         // digests to which one step attaches statements; the next steps go on
	attachWithin  = time.Minute // for them all
	attachAtOnce  = 8
	attachGivesUp = 8           // failures in a row after which a step leaves the rest: the registry takes nothing
	attachSoon    = time.Second // until the step that goes on

	keptOfKind = 4  // statements of one kind and of ours that stay on a digest, the newest
	mostOfKind = 8  // of them from which on none is added, where the registry deletes nothing
	crowded    = 40 // referrers of a digest from which on it gets no statement of ours: those of its makers need the room
)

// attach lays our statements beside what stands: the verdict of each digest, how it came to a stage above the first,
// and the signature where that is still missing, such as after a key was configured. Nothing waits for it: what
// fails, and what is too much for one step, is made up for by the next ones.
func (l *Line) attach(ctx context.Context, f *fleet, v *view, audit bool, at time.Time) {
	if l.attester == nil {
		return
	}
	p := l.progress(v.set.Name)
	places := l.owing(f, v, at)
	if audit {
		l.auditSignatures(ctx, places)
	}
	places = p.inTurn(l.missing(places))
	limited, cancel := context.WithTimeoutCause(ctx, attachWithin, errAttachLate)
	defer cancel()
	errs := l.attachAll(limited, places[:min(len(places), attachPerStep)], attachGivesUp)
	if stopped(ctx) {
		return
	}
	failed, lacking := p.attached(places, errs)
	l.metrics.statements.WithLabelValues(v.set.Name).Set(float64(lacking))
	if late := errors.Is(context.Cause(limited), errAttachLate); lacking > 0 {
		p.attachAgain(l.now(), failed != nil && !late)
	}
	if failed != nil && p.complains(l.now()) {
		l.log.Warn("statements of this site could not be attached", keySet, v.set.Name, keyMissing, lacking, keyError, failed)
	}
}

var errAttachLate = errors.New("statements took longer than a step has for them")

// errNotTried is of a place that a step did not come to.
var errNotTried = errors.New("not tried")

const (
	keyDigests = "digests"
	keyMissing = "missing"
)

// missing leaves out what the state knows to be attached.
func (l *Line) missing(places []*owed) []*owed {
	l.attester.mu.Lock()
	read := l.attester.read
	l.attester.read = map[string]string{}
	l.attester.mu.Unlock()
	if err := l.state.put(bucketAttached, read); err != nil {
		l.log.Warn("what is attached could not be noted", keyError, err)
	}
	return slices.DeleteFunc(places, func(o *owed) bool {
		for mark := range o.make {
			if by := l.attester.identity(mark); by != "" && l.state.Attached(o.at, by, mark) {
				delete(o.make, mark)
			}
		}
		return len(o.make) == 0
	})
}

// attachAll attaches what is owed, several at once, and gives the error of each place. After so many failures in a row
// as giveUp says it tries no more; 0: it tries all. What is attached is noted in one transaction: a crash before that
// costs the requests that find it there.
func (l *Line) attachAll(ctx context.Context, places []*owed, giveUp int64) []error {
	if len(places) == 0 {
		return nil
	}
	errs := make([]error, len(places))
	var inRow atomic.Int64
	var group errgroup.Group
	group.SetLimit(attachAtOnce)
	for i, o := range places {
		group.Go(func() error {
			switch {
			case ctx.Err() != nil:
				errs[i] = fmt.Errorf("%w: %w", errNotTried, ctx.Err())
				return nil
			case giveUp > 0 && inRow.Load() >= giveUp:
				errs[i] = errNotTried
				return nil
			}
			if errs[i] = l.attachTo(ctx, o); errs[i] != nil {
				inRow.Add(1)
			} else {
				inRow.Store(0)
			}
			return nil
		})
	}
	_ = group.Wait() // errors are told of each place
	var done []*owed
	for i, o := range places {
		if errs[i] == nil {
			done = append(done, o)
		}
	}
	if err := l.state.SetAttached(l.attester.identity, done); err != nil {
		l.log.Warn("what was attached could not be noted", keyError, err)
	}
	return errs
}

// attachTo attaches to one digest what is not there yet, and takes away what it makes superfluous.
func (l *Line) attachTo(ctx context.Context, o *owed) error {
	marks := slices.Sorted(maps.Keys(o.make))
	if i := slices.Index(marks, platformsMark); i >= 0 {
		if err := l.signPlatforms(ctx, o.at); err != nil {
			return err
		}
		marks = slices.Delete(marks, i, i+1)
	}
	if len(marks) == 0 {
		return nil
	}
	list, err := l.registry.Referrers(ctx, o.at, o.at.Digest)
	if err != nil {
		return fmt.Errorf("referrers of %s: %w", o.at, err)
	}
	var made []attest.Statement
	for _, mark := range marks {
		key, err := l.attester.by(mark)
		if err != nil {
			return err
		}
		if mark != attest.SignatureMark {
			if there, err := l.needless(ctx, key, o.at, list, mark); err != nil {
				return err
			} else if there {
				continue
			}
		}
		s, err := o.make[mark](key)
		if err != nil {
			return err
		}
		made = append(made, s)
	}
	if len(made) == 0 {
		return nil
	}
	subject, err := l.registry.Resolve(ctx, o.at)
	if err != nil {
		return fmt.Errorf("attach to %s: %w", o.at, err)
	}
	content, err := attest.Beside(subject, made...)
	if err != nil {
		return err
	}
	if err := l.mover.Attach(ctx, content, o.at); err != nil {
		return err
	}
	if slices.Contains(marks, attest.SignatureMark) {
		o.tag, _ = l.signatureTag(ctx, o.at) // where it is not known, the next audit looks closer
	}
	l.tidy(ctx, o.at, list, made)
	return nil
}

// needless says whether a statement is there already, or has no room.
func (l *Line) needless(ctx context.Context, key *attest.Key, at mirror.Reference, list []mirror.Descriptor, mark attest.Mark) (bool, error) {
	there, err := key.Has(ctx, l.registry, at, at.Digest, list, mark)
	if err != nil || there {
		return there, err
	}
	ours := slices.DeleteFunc(key.Marked(list), func(f attest.Found) bool { return f.Mark.Kind() != mark.Kind() })
	if len(ours) >= mostOfKind || len(list) >= crowded {
		l.log.Debug("a statement of this site has no room", keyRef, at.String(), keyDigests, len(list))
		return true, nil
	}
	return false, nil
}

// tidy deletes statements of ours that newer ones of their kind make superfluous. What cannot be deleted stays.
func (l *Line) tidy(ctx context.Context, at mirror.Reference, before []mirror.Descriptor, made []attest.Statement) {
	if l.attester.states == nil {
		return // of signatures there is one
	}
	key, err := l.attester.states()
	if err != nil {
		return
	}
	count := map[string]int{}
	for _, s := range made {
		count[s.Mark().Kind()]++
	}
	var old []mirror.Digest
	for _, f := range key.Marked(before) { // newest first
		kind := f.Mark.Kind()
		if count[kind]++; f.Mark == attest.SignatureMark || count[kind] <= keptOfKind {
			continue
		}
		if ours, err := key.Ours(ctx, l.registry, at, at.Digest, f); err == nil && ours {
			old = append(old, f.Digest)
		}
	}
	if len(old) == 0 {
		return
	}
	if err := l.mover.Detach(ctx, at, old, l.registry.Delete); err != nil {
		l.log.Debug("older statements of this site stay", keyRef, at.String(), keyError, err)
	}
}
