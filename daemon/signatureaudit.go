package daemon

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/policy/attest"
)

// auditSignatures asks for each signature of this site that the state knows to be attached what its legacy tag names
// now, by one HEAD. Where that is gone or another one, whatever happened to it may have happened to all that lies
// beside the content: it is forgotten, so that what is missing is made anew. What cannot be asked stays as it is.
func (l *Line) auditSignatures(ctx context.Context, places []*owed) {
	if l.attester.signs == nil {
		return
	}
	key, err := l.attester.signs()
	if err != nil {
		return // each signature says so
	}
	var group errgroup.Group
	group.SetLimit(auditAtOnce)
	for _, o := range places {
		known, attached := l.state.get(bucketAttached, attachedKey(o.at, key.Identity(), attest.SignatureMark))
		if _, signs := o.make[attest.SignatureMark]; !signs || !attached {
			continue
		}
		group.Go(func() error {
			named, err := l.signatureTag(ctx, o.at)
			if err != nil && !errors.Is(err, mirror.ErrNotFound) || err == nil && named.String() == known {
				return nil
			}
			if err := l.state.Detached(o.at); err != nil {
				l.log.Warn("a signature of this site that is gone could not be forgotten", keyRef, o.at.String(), keyError, err)
			}
			return nil
		})
	}
	_ = group.Wait() // none of them fails
}

// signatureTag gives what the legacy tag of signatures names for content in the local registry.
func (l *Line) signatureTag(ctx context.Context, at mirror.Reference) (mirror.Digest, error) {
	d, err := l.registry.Resolve(ctx, at.AtDigest(mirror.Digest{}).WithTag(registry.FallbackTag(at.Digest)+".sig"))
	return d.Digest, err
}
