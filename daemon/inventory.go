package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
)

// auditAtOnce is how many tags are asked side by side; the transport bounds it further by host.
const auditAtOnce = 32

// inventory gives what the local registry names under the pointers: from memory, or by one HEAD for each
// that was never asked. An audit asks all of them.
func (l *Line) inventory(ctx context.Context, pointers []mirror.Reference, p *progress, audit bool) (mirror.Inventory, error) {
	inv := mirror.Inventory{Tags: map[string]mirror.Digest{}, Whole: map[string]bool{}, Ours: map[string]bool{}}
	p.mu.Lock()
	maps.Copy(inv.Whole, p.whole)
	p.mu.Unlock()
	var ask []mirror.Reference
	for _, pointer := range pointers {
		if _, ours := l.state.Owned(pointer.String()); ours {
			inv.Ours[pointer.String()] = true
		}
		if d, known := l.state.Tag(pointer.String()); known && !audit {
			inv.Tags[pointer.String()] = d
			continue
		}
		ask = append(ask, pointer)
	}
	named, err := l.ask(ctx, ask)
	if err != nil {
		return inv, err
	}
	maps.Copy(inv.Tags, named)
	p.without(inv)
	return inv, nil
}

// ask reads tags of the local registry and remembers the answers. A registry that cannot be asked is an
// error: what is unknown must not look absent.
func (l *Line) ask(ctx context.Context, pointers []mirror.Reference) (map[string]mirror.Digest, error) {
	var mu sync.Mutex
	named := map[string]mirror.Digest{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(auditAtOnce)
	for _, pointer := range pointers {
		group.Go(func() error {
			d, err := l.registry.Resolve(ctx, pointer)
			if errors.Is(err, mirror.ErrOffline) {
				return nil // stays unknown
			}
			if err != nil && !errors.Is(err, mirror.ErrNotFound) {
				return fmt.Errorf("ask local registry: %w", err)
			}
			mu.Lock()
			defer mu.Unlock()
			named[pointer.String()] = d.Digest
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return named, l.state.SetTags(named)
}

// stood adds to the inventory the content that stood at a stage and that no tag names there now: what a
// rollback, a late promotion and the repair of a moved tag return to, none of which may need an upstream. It
// costs one HEAD for each, and nothing when all is as desired.
func (l *Line) stood(ctx context.Context, set mirror.Set, candidates []mirror.Candidate, record mirror.Record, inv mirror.Inventory) error {
	var ask []mirror.Reference
	p := l.progress(set.Name)
	look := func(stage mirror.Stage, entry string, image mirror.Reference) {
		pointer := l.local.Pointer(set, stage, entry, image)
		if p.misses(pointer.AtDigest(image.Digest)) {
			return
		}
		named, _ := inv.Named(pointer)
		if named != image.Digest && !inv.Holds(pointer, image.Digest) && record.Stood(stage, entry, image) {
			ask = append(ask, pointer.AtDigest(image.Digest))
		}
	}
	for _, c := range candidates {
		if c.Err == nil {
			look(set.Stages.First(), c.Entry.Name, c.Image)
		}
	}
	for _, stage := range set.Stages.Upper() {
		below, _ := set.Stages.Below(stage)
		for _, line := range set.Wanted[stage] {
			look(stage, line.Entry, line.Image)
			if record.At(stage)[line.Entry].Image != line.Image {
				look(below, line.Entry, line.Image)
			}
		}
	}
	present := make([]bool, len(ask))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(auditAtOnce)
	for i, content := range ask {
		group.Go(func() error {
			_, err := l.registry.Resolve(ctx, content)
			if err != nil && !errors.Is(err, mirror.ErrNotFound) && !errors.Is(err, mirror.ErrOffline) {
				return fmt.Errorf("ask local registry: %w", err)
			}
			present[i] = err == nil
			return nil
		})
	}
	err := group.Wait()
	for i, content := range ask {
		inv.Whole[content.String()] = inv.Whole[content.String()] || present[i]
	}
	return err
}
