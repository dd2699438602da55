package daemon

import (
	"context"
	"errors"
	"fmt"
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
	audit    bool // look also at what is known to be as it should be
	images   map[setStage]distribution
	layers   map[mirror.Digest]elastic.Layers // of packages, by the digest of their artifact
	measured map[string]mirror.Digest         // layers of distribution images, by their key
	exports  map[string]exported              // by folder
}

// setStage names a stage of a set.
type setStage struct {
	set   string
	stage mirror.Stage
}

func newDerived() *derived {
	return &derived{signal: make(chan struct{}, 1), images: map[setStage]distribution{}, layers: map[mirror.Digest]elastic.Layers{},
		measured: map[string]mirror.Digest{}, exports: map[string]exported{}}
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

// keepBesides makes what is due, until ctx ends.
func (l *Line) keepBesides(ctx context.Context) error {
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
		made, err := l.makeBesides(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
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
	audit := l.besides.audit
	l.besides.audit = false
	l.besides.mu.Unlock()
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
	return made, errors.Join(errs...)
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
