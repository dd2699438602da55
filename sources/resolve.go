package sources

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
)

// resolveAtOnce bounds how many upstream tags are asked side by side; the transport bounds it further by
// host.
const resolveAtOnce = 8

// Resolver asks an upstream what a tag points to.
type Resolver interface {
	Resolve(ctx context.Context, r mirror.Reference) (mirror.Descriptor, error)
}

// Resolve gives every entry of the set its digest, in the order of the entries. One that names its digest costs no
// request. A tag that the set does not follow is asked once per version of the source file; a tag that it
// follows is asked when fresh is set (the schedule is due) or nothing stands for it yet. The same reference
// under several entries is asked once. One entry that fails does not stop the others.
func Resolve(ctx context.Context, set mirror.Set, record mirror.Record, r Resolver, fresh bool) []mirror.Candidate {
	candidates := make([]mirror.Candidate, len(set.Entries))
	ask := map[mirror.Reference][]int{}
	var order []mirror.Reference
	for i, e := range set.Entries {
		candidates[i] = mirror.Candidate{Entry: e}
		if image, ok := standing(set, record, e, fresh); ok {
			candidates[i].Image = image
			continue
		}
		if ask[e.Image] == nil {
			order = append(order, e.Image)
		}
		ask[e.Image] = append(ask[e.Image], i)
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(resolveAtOnce)
	for _, ref := range order {
		group.Go(func() error {
			digest, err := resolve(ctx, r, ref)
			mu.Lock()
			defer mu.Unlock()
			for _, i := range ask[ref] {
				if candidates[i].Err = err; err == nil {
					candidates[i].Image = ref.WithDigest(digest)
				}
			}
			return nil
		})
	}
	// The goroutines give no error: each entry carries its own.
	_ = group.Wait()
	return candidates
}

// standing gives the digest of an entry where it is known without asking.
func standing(set mirror.Set, record mirror.Record, e mirror.Entry, fresh bool) (mirror.Reference, bool) {
	if e.Image.HasDigest() {
		return e.Image, true
	}
	if !e.Package.IsZero() {
		return mirror.Reference{}, false // whoever fetches packages knows what stands, and that costs no request
	}
	line, ok := record.At(set.Stages.First())[e.Name]
	if !ok || line.Image.WithDigest(mirror.Digest{}) != e.Image {
		return mirror.Reference{}, false
	}
	if set.Follow {
		return line.Image, !fresh
	}
	return line.Image, record.Origin == set.Origin
}

var errNoDigest = errors.New("the registry named no digest")

func resolve(ctx context.Context, r Resolver, ref mirror.Reference) (mirror.Digest, error) {
	if err := ctx.Err(); err != nil {
		return mirror.Digest{}, fmt.Errorf("resolve %s: %w", ref, err)
	}
	d, err := r.Resolve(ctx, ref)
	if err == nil && d.Digest == (mirror.Digest{}) {
		err = errNoDigest
	}
	if err != nil {
		return mirror.Digest{}, fmt.Errorf("resolve %s: %w", ref, err)
	}
	return d.Digest, nil
}
