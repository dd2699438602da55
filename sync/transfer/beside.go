package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// here is where content that was made in this process is said to come from.
var here = mirror.Reference{Host: "poundlock.invalid", Repository: "memory"}

// Attach brings what made has beside the digest of to, such as signatures of our own, to the same digest in to's
// repository: legacy tags are joined, referrers are listed. What is there already is not brought again, so a call
// that a crash broke off is made good by the same call.
func (m *Mover) Attach(ctx context.Context, made mirror.Content, to mirror.Reference) error {
	c := &cargo{m: m, content: made, from: here, to: to.AtDigest(mirror.Digest{}), root: to.Digest}
	if err := c.attach(ctx, []mirror.Digest{to.Digest}); err != nil {
		return fmt.Errorf("attach to %s: %w", to.AtDigest(to.Digest), err)
	}
	return nil
}

// Detach takes referrers of the digest of to out of the list that the fallback tag keeps, and then away from to's
// repository with remove. What remove does not get rid of is listed no more where there is no referrers API, and its
// error tells of the rest. Whether they may go is the caller's matter.
func (m *Mover) Detach(ctx context.Context, to mirror.Reference, referrers []mirror.Digest, remove func(context.Context, mirror.Reference) error) error {
	c := &cargo{m: m, from: here, to: to.AtDigest(mirror.Digest{}), root: to.Digest}
	err := c.unlist(ctx, to.Digest, referrers)
	for _, d := range referrers {
		if err != nil {
			break
		}
		if failed := m.request(ctx, func() error { return remove(ctx, c.to.AtDigest(d)) }); !errors.Is(failed, mirror.ErrNotFound) {
			err = failed
		}
	}
	if err != nil {
		return fmt.Errorf("detach from %s: %w", to.AtDigest(to.Digest), err)
	}
	return nil
}

// unlist writes the index at the fallback tag without some of its manifests, where there is such a tag.
func (c *cargo) unlist(ctx context.Context, subject mirror.Digest, gone []mirror.Digest) error {
	return c.relist(ctx, subject, func(all []listed) []listed {
		return slices.DeleteFunc(all, func(l listed) bool { return slices.Contains(gone, l.digest) })
	})
}
