package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
)

// Of what stands in a set of packages other things are made beside the cycle: distribution images in the local registry, and
// folders on this machine. This file says when. Both follow from the record alone, so what was missed, or could not be
// done, the next call does.

// derived is what is made of records.
type derived struct {
	signal chan struct{} // something may have changed
	turn   sync.Mutex    // one call at a time

	mu       sync.Mutex
	audit    bool   // look also at what is known to be as it should be
	seen     string // what all was made of when all of it was as it should be last
	kept     int    // how many layers were needed when that was looked at last
	images   map[setStage]distribution
	layers   map[mirror.Digest]elastic.Layers // of packages, by the digest of their artifact
	measured map[string]mirror.Digest         // layers of distribution images, by their key
	exports  map[string]exported              // by folder
	denied   map[string]string                // by set: what was told last of what policy denies
}

// setStage names a stage of a set.
type setStage struct {
	set   string
	stage mirror.Stage
}

func newDerived() *derived {
	return &derived{signal: make(chan struct{}, 1), images: map[setStage]distribution{}, layers: map[mirror.Digest]elastic.Layers{},
		measured: map[string]mirror.Digest{}, exports: map[string]exported{}, denied: map[string]string{}}
}

// besidesDue tells that a set was stepped. Any set may be the one that a distribution image has its server from. An audit
// also looks at what is known to be as it should be.
func (l *Line) besidesDue(audit bool) {
	l.besides.mu.Lock()
	l.besides.audit = l.besides.audit || audit
	l.besides.mu.Unlock()
	select {
	case l.besides.signal <- struct{}{}:
	default:
	}
}

// What is made beside the cycle takes a part of the time alone, however often records change.
const (
	besidesApart   = 2 * time.Second
	besidesAtRest  = time.Minute // at most, after something that took long
	layersUnneeded = 1_000       // of packages that stand nowhere any more are kept for the time being
)

// keepBesides makes what is due, until ctx ends.
func (l *Line) keepBesides(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	again := time.NewTimer(time.Hour)
	again.Stop()
	defer again.Stop()
	said, wait := complaints{}, firstRetry
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		case <-l.besides.signal:
		}
		select { // what comes meanwhile is made with it
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
		}
		began := l.now()
		made, err := l.makeBesides(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause.Reset(max(besidesApart, min(l.now().Sub(began), besidesAtRest)))
		if len(made) > 0 {
			l.wakes.add(Wake{Why: "distribution made", Local: true, Sets: made})
		}
		if err == nil {
			clear(said)
			wait = firstRetry
			continue
		}
		l.complainOf("what is made of packages is not as it should be", err, said)
		again.Reset(wait)
		wait = min(2*wait, lastRetry)
	}
}

// makeBesides makes all that is due, and gives the sets of which a new distribution image is there.
func (l *Line) makeBesides(ctx context.Context) (made []string, err error) {
	f := l.fleet.Load()
	if f == nil || l.offline || l.temporary {
		return nil, nil
	}
	l.besides.turn.Lock()
	defer l.besides.turn.Unlock()
	l.besides.mu.Lock()
	audit, seen := l.besides.audit, l.besides.seen
	l.besides.audit, l.besides.seen = false, ""
	l.besides.mu.Unlock()
	now := l.madeOf(f)
	if !audit && now == seen {
		l.besides.sees(seen)
		return nil, nil
	}
	var errs []error
	for _, set := range f.desired.Sets {
		if _, suspended := l.Suspended(set.Name); suspended || set.Distribution == nil || !set.Packages {
			continue
		}
		changed, err := l.distribute(ctx, f, set, audit)
		if changed {
			made = append(made, set.Name)
		}
		errs = append(errs, err)
	}
	for _, e := range l.config.Packages.Export {
		errs = append(errs, l.export(ctx, f, e, audit))
	}
	if err = errors.Join(errs...); err == nil && ctx.Err() == nil {
		l.besides.sees(now)
		l.besides.mu.Lock()
		clear(l.besides.measured) // the state has those of all images that were made
		l.besides.mu.Unlock()
	}
	return made, errors.Join(err, l.forgetLayers(f))
}

// madeOf identifies all that anything is made of here: nothing is computed anew while it stays.
func (l *Line) madeOf(f *fleet) string {
	return fmt.Sprint(l.state.Moved(), f.head, f.version, f.floor, f.held != nil, sortedKeys(f.suspended))
}

func (b *derived) sees(made string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = made
}

// forgetLayers drops the parts of packages that stand nowhere any more.
func (l *Line) forgetLayers(f *fleet) error {
	b := l.besides
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.layers) <= 2*b.kept+layersUnneeded {
		return nil
	}
	stands := map[mirror.Digest]bool{}
	for _, set := range f.desired.Sets {
		if !set.Packages {
			continue
		}
		record, err := l.state.Record(set.Name)
		if err != nil {
			return err
		}
		for _, standing := range record.Stages {
			for _, line := range standing {
				stands[line.Image.Digest] = true
			}
		}
	}
	maps.DeleteFunc(b.layers, func(d mirror.Digest, _ elastic.Layers) bool { return !stands[d] })
	b.kept = len(b.layers)
	return nil
}

// layersOf gives the parts of a package that stands. They never change, so they are asked for once.
func (l *Line) layersOf(ctx context.Context, s epr.Standing) (elastic.Layers, error) {
	b := l.besides
	b.mu.Lock()
	known, ok := b.layers[s.Local.Digest]
	b.mu.Unlock()
	if ok {
		return known, nil
	}
	m, err := l.registry.Manifest(ctx, s.Local, s.Local.Digest)
	if err != nil {
		return known, fmt.Errorf("package %s: %w", s.Package, err)
	}
	if known, err = elastic.Open(m); err != nil {
		return known, fmt.Errorf("package %s: %w", s.Package, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.layers[s.Local.Digest] = known
	return known, nil
}
