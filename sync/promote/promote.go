// Package promote moves stage tags to content that is verified and whole in the local registry.
//
// It promises that it reads where a tag points before it writes, that it never moves a tag that is not ours
// unless the set adopts, that no tag is written without a fence that said within five seconds that the
// desired commit is still the one we act for, and that no tag of an atomic group moves unless all could. One
// failing tag never stops the others. Copying is transfer's matter; what should stand where is the plan's.
package promote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	batch  = 32              // tags written after one call of the fence
	fresh  = 5 * time.Second // how long an answer of the fence counts
	asking = 16              // requests that read, at once
	moving = 8               // tags written at once
)

// Errors that a Done may carry, besides mirror.ErrRefused for work that was not verified.
var (
	ErrForeignTag = errors.New("the tag was not written by us and the set does not adopt it")
	ErrHeld       = errors.New("another entry of the atomic set is not ready")
	ErrFenced     = errors.New("what is desired has changed meanwhile")
	ErrMoved      = errors.New("the tag was moved by someone else while we wrote it")
)

// Tags is the local registry, as far as tags need it.
type Tags interface {
	Resolve(ctx context.Context, r mirror.Reference) (mirror.Descriptor, error)
	Manifest(ctx context.Context, r mirror.Reference, d mirror.Digest) (mirror.Manifest, error)
	Put(ctx context.Context, to mirror.Reference, m mirror.Manifest) (subjectAccepted bool, err error)
}

// Owner remembers which tags we wrote.
type Owner interface {
	// Ours says whether it was us who made the pointer name this digest.
	Ours(pointer mirror.Reference, current mirror.Digest) bool
	// Intend is noted on disk before a tag is written, so that after a crash the tag is still known as ours.
	Intend(pointer mirror.Reference, d mirror.Digest) error
}

// Work is one stage tag to move, to the digest of its action.
type Work struct {
	Verified mirror.Verified
	Vendor   mirror.Reference // local reference with the vendor's own tag; zero where none is to be written
	Follow   bool             // the vendor's tag moves along; else it is written only where there is none
	Adopt    bool             // the set may take over tags that were there before us
	Group    string           // works with the same group move together or not at all; "" is on its own
}

// Move moves the tags and gives an end for every work, in the same order. A tag that names its digest already
// is done without a write. The fence is asked before each batch of writes; its error stops all that is not
// yet written. Within a group every tag and manifest is read before the first tag is written; a crash or the
// fence in the middle leaves the group half written, to be completed by the next run.
func Move(ctx context.Context, tags Tags, fence func(context.Context) error, owner Owner, work []Work) []mirror.Done {
	items := make([]*item, len(work))
	for i, w := range work {
		items[i] = &item{Work: w}
	}
	p := &promotion{tags: tags, fence: fence, owner: owner}
	if fence == nil {
		p.stop = fmt.Errorf("%w: there is no fence to ask", ErrFenced)
	}
	for _, u := range units(items) {
		p.run(ctx, u)
	}
	done := make([]mirror.Done, len(items))
	for i, it := range items {
		a := it.Verified.Action()
		if it.err != nil {
			it.err = fmt.Errorf("tag %s: %w", a.To, it.err)
		}
		done[i] = mirror.Done{Action: a, Verdict: it.Verified.Verdict(), Err: it.err}
	}
	return done
}

// ReasonOf gives the reason of a tag that was not moved.
func ReasonOf(err error) mirror.Reason {
	switch {
	case errors.Is(err, ErrForeignTag):
		return mirror.Because(mirror.ForeignTag, "%v", err)
	case errors.Is(err, ErrHeld), errors.Is(err, ErrFenced):
		return mirror.Because(mirror.Held, "%v", err)
	case errors.Is(err, ErrMoved):
		return mirror.Because(mirror.Drift, "%v", err)
	case errors.Is(err, mirror.ErrRefused):
		return mirror.Because(mirror.NotVerified, "%v", err)
	}
	return mirror.Because(mirror.LocalFailed, "%v", err)
}

// item is one work on its way.
type item struct {
	Work
	manifest mirror.Manifest // set where something is to be written
	write    []mirror.Reference
	settled  bool // nothing is left to do
	err      error
}

func (it *item) open() bool { return !it.settled && it.err == nil }

// unit is what is read before any of it is written: a group, or a batch of works on their own.
type unit struct {
	atomic bool
	items  []*item
}

func units(items []*item) []*unit {
	var all []*unit
	var loose *unit
	groups := map[string]*unit{}
	for _, it := range items {
		u := groups[it.Group]
		switch {
		case it.Group == "" && (loose == nil || len(loose.items) == batch):
			loose = &unit{}
			u, all = loose, append(all, loose)
		case it.Group == "":
			u = loose
		case u == nil:
			u = &unit{atomic: true}
			groups[it.Group], all = u, append(all, u)
		}
		u.items = append(u.items, it)
	}
	return all
}

type promotion struct {
	tags  Tags
	fence func(context.Context) error
	owner Owner
	stop  error // of the fence: nothing more is written
}

func (p *promotion) run(ctx context.Context, u *unit) {
	if p.stop == nil {
		p.each(ctx, u.items, asking, p.check)
		if u.atomic {
			hold(u.items)
		}
	}
	var writes []*item
	for _, it := range u.items {
		if it.open() {
			writes = append(writes, it)
		}
	}
	for len(writes) > 0 {
		n := min(batch, len(writes))
		p.batch(ctx, writes[:n])
		writes = writes[n:]
	}
}

// batch writes at most 32 tags under one answer of the fence. What that answer no longer covers is left for
// the next run.
func (p *promotion) batch(ctx context.Context, items []*item) {
	if p.stop == nil {
		if err := p.fence(ctx); err != nil {
			p.stop = fmt.Errorf("%w: %w", ErrFenced, err)
		}
	}
	if p.stop != nil {
		for _, it := range items {
			it.err = p.stop
		}
		return
	}
	covered, cancel := context.WithTimeoutCause(ctx, fresh, fmt.Errorf("%w: the fence answered more than %s ago", ErrFenced, fresh))
	defer cancel()
	p.each(ctx, items, moving, func(ctx context.Context, it *item) error { return p.set(ctx, covered, it) })
}

func (p *promotion) each(ctx context.Context, items []*item, atOnce int, do func(context.Context, *item) error) {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, it := range items {
		g.Go(func() error { it.err = do(ctx, it); return nil })
	}
	_ = g.Wait() // errors are in the items
}

// hold keeps a whole group back when one of it cannot move.
func hold(items []*item) {
	for _, failed := range items {
		if failed.err == nil {
			continue
		}
		for _, it := range items {
			if it.open() {
				it.err = fmt.Errorf("%w: %s", ErrHeld, failed.Verified.Action().Key.Entry)
			}
		}
		return
	}
}
