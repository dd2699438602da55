package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/attest"
)

const (
	attachPerStep = 256         // digests to which one step attaches statements; the next steps go on
	attachWithin  = time.Minute // for them all
	attachAtOnce  = 8
	attachSoon    = time.Second // until the step that goes on

	keptOfKind = 4  // statements of one kind and of ours that stay on a digest, the newest
	mostOfKind = 8  // of them from which on none is added, where the registry deletes nothing
	crowded    = 40 // referrers of a digest from which on it gets no statement of ours: those of its makers need the room
)

// owed are statements that one digest in one repository of the local registry still lacks.
type owed struct {
	at   mirror.Reference
	make map[attest.Mark]func(*attest.Key) (attest.Statement, error)
	tag  mirror.Digest // what the legacy tag of the signature names since it was made
}

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
	places = l.missing(places)
	if len(places) == 0 {
		p.attached()
		return
	}
	left := len(places) > attachPerStep
	places = places[:min(len(places), attachPerStep)]
	limited, cancel := context.WithTimeoutCause(ctx, attachWithin, errAttachLate)
	defer cancel()
	errs := slices.DeleteFunc(l.attachAll(limited, places), func(err error) bool { return err == nil })
	if stopped(ctx) {
		return
	}
	late := errors.Is(context.Cause(limited), errAttachLate)
	if failed := len(errs) > 0 && !late; failed || late || left {
		p.attachAgain(l.now(), failed)
		if failed {
			l.log.Warn("statements of this site could not be attached", keySet, v.set.Name, keyDigests, len(errs), keyError, errs[0])
		}
		return
	}
	p.attached()
}

var errAttachLate = errors.New("statements took longer than a step has for them")

const keyDigests = "digests"

// owing lists what all that stands of a set is to have beside it.
func (l *Line) owing(f *fleet, v *view, at time.Time) (places []*owed) {
	byPlace := map[string]*owed{}
	for _, a := range v.plan.Actions {
		verdict := v.verdicts[actionKey(a)]
		if a.Kind != mirror.Unchanged || a.Key.Entry == "" || !verdict.Outcome.Admits() {
			continue
		}
		if key, ok := l.attester.keyOf(a, verdict); ok && attest.Attestable(verdict) {
			l.owe(&places, byPlace, a, attest.VerdictMark(key), func(k *attest.Key) (attest.Statement, error) {
				return k.Verdict(attest.Verdict{Verifier: l.attester.verifier, Image: a.Image, Key: key, Verdict: verdict})
			})
		}
		if promotion, ok := l.promotion(f, v, a, verdict); ok {
			l.owe(&places, byPlace, a, promotion.Mark(), func(k *attest.Key) (attest.Statement, error) { return k.Promotion(promotion, at) })
		}
		if l.attester.signsAt(a.Stage) {
			l.oweSignature(&places, byPlace, a)
		}
	}
	return places
}

// owe adds a statement to what the place of an action is to have.
func (l *Line) owe(places *[]*owed, byPlace map[string]*owed, a mirror.Action, mark attest.Mark, statement func(*attest.Key) (attest.Statement, error)) {
	at := place(a)
	o := byPlace[at.String()]
	if o == nil {
		o = &owed{at: at, make: map[attest.Mark]func(*attest.Key) (attest.Statement, error){}}
		byPlace[at.String()] = o
		*places = append(*places, o)
	}
	o.make[mark] = statement
}

// oweSignature adds the signatures that the place of an action is to have.
func (l *Line) oweSignature(places *[]*owed, byPlace map[string]*owed, a mirror.Action) {
	l.owe(places, byPlace, a, attest.SignatureMark, func(k *attest.Key) (attest.Statement, error) { return k.Signature(a.To.Name(), a.New) })
	if l.attester.each {
		l.owe(places, byPlace, a, platformsMark, nil)
	}
}

// place is where the content of an action stands: a digest in a repository of the local registry.
func place(a mirror.Action) mirror.Reference { return a.To.AtDigest(a.New) }

// promotion says why something stands at a stage above the first. A line that nobody proved says nothing.
func (l *Line) promotion(f *fleet, v *view, a mirror.Action, verdict mirror.Verdict) (attest.Promotion, bool) {
	below, ok := v.set.Stages.Below(a.Stage)
	if !ok {
		return attest.Promotion{}, false
	}
	commit := f.desired.Commit
	if line := v.record.At(a.Stage)[a.Key.Entry]; line.Image == a.Image {
		if !line.Proven {
			return attest.Promotion{}, false
		}
		commit = cmp.Or(line.Commit, commit)
	}
	p := attest.Promotion{Promoter: l.attester.verifier, Set: a.Key.Set, Entry: a.Key.Entry, Source: a.Image, Image: a.To.WithDigest(a.New),
		From: below, To: a.Stage, Commit: commit, Policy: f.policy.Hash(), Outcome: verdict.Outcome, Basis: verdict.Basis(), Identities: attest.Identities(verdict)}
	if line := v.record.At(below)[a.Key.Entry]; line.Image == a.Image && line.Proven {
		p.Below = line.Since.UTC()
	}
	return p, true
}

// missing leaves out what the state knows to be attached.
func (l *Line) missing(places []*owed) []*owed {
	key, err := l.attester.key()
	if err != nil {
		return places // each of them says so
	}
	l.attester.mu.Lock()
	read := l.attester.read
	l.attester.read = map[string]string{}
	l.attester.mu.Unlock()
	if err := l.state.put(bucketAttached, read); err != nil {
		l.log.Warn("what is attached could not be noted", keyError, err)
	}
	return slices.DeleteFunc(places, func(o *owed) bool {
		for mark := range o.make {
			if l.state.Attached(o.at, key.Identity(), mark) {
				delete(o.make, mark)
			}
		}
		return len(o.make) == 0
	})
}

// attachAll attaches what is owed, several at once, and gives the error of each place. What is attached is noted in
// one transaction: a crash before that costs the requests that find it there.
func (l *Line) attachAll(ctx context.Context, places []*owed) []error {
	errs := make([]error, len(places))
	key, err := l.attester.key()
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	var group errgroup.Group
	group.SetLimit(attachAtOnce)
	for i, o := range places {
		group.Go(func() error {
			if errs[i] = ctx.Err(); errs[i] == nil {
				errs[i] = l.attachTo(ctx, key, o)
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
	if err := l.state.SetAttached(key.Identity(), done); err != nil {
		l.log.Warn("what was attached could not be noted", keyError, err)
	}
	return errs
}

// attachTo attaches to one digest what is not there yet, and takes away what it makes superfluous.
func (l *Line) attachTo(ctx context.Context, key *attest.Key, o *owed) error {
	marks := slices.Sorted(maps.Keys(o.make))
	if i := slices.Index(marks, platformsMark); i >= 0 {
		if err := l.signPlatforms(ctx, key, o.at); err != nil {
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
	l.tidy(ctx, key, o.at, list, made)
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
func (l *Line) tidy(ctx context.Context, key *attest.Key, at mirror.Reference, before []mirror.Descriptor, made []attest.Statement) {
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
