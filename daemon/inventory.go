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
