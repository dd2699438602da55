package daemon

import (
	"context"
	"fmt"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/attest"
)

// platformsMark stands in the state for the signatures of all manifests of an index. None of them carries it.
const platformsMark attest.Mark = "signature platforms"

// signPlatforms signs each manifest of an index, and of indexes in it, beside the manifest itself: what podman and
// CRI-O look at. Of an image of one platform there is nothing more to sign.
func (l *Line) signPlatforms(ctx context.Context, at mirror.Reference) error {
	key, err := l.attester.signs()
	if err != nil {
		return err
	}
	signed := map[mirror.Digest]bool{at.Digest: true}
	for indexes := []mirror.Digest{at.Digest}; len(indexes) > 0; indexes = indexes[1:] {
		children, err := l.children(ctx, at, indexes[0])
		if err != nil {
			return fmt.Errorf("platforms of %s: %w", at, err)
		}
		for _, child := range children {
			if signed[child.Digest] {
				continue
			}
			signed[child.Digest] = true
			if err := l.signPlatform(ctx, key, at, child); err != nil {
				return err
			}
			if mirror.IsIndex(child) {
				indexes = append(indexes, child.Digest)
			}
		}
	}
	return nil
}

func (l *Line) children(ctx context.Context, at mirror.Reference, index mirror.Digest) ([]mirror.Descriptor, error) {
	m, err := l.registry.Manifest(ctx, at, index)
	if err != nil {
		return nil, err
	}
	parts, err := m.Parts()
	return parts.Manifests, err
}

func (l *Line) signPlatform(ctx context.Context, key *attest.Key, at mirror.Reference, child mirror.Descriptor) error {
	s, err := key.Signature(at.Name(), child.Digest)
	if err != nil {
		return err
	}
	content, err := attest.Beside(child, s)
	if err != nil {
		return err
	}
	return l.mover.Attach(ctx, content, at.AtDigest(child.Digest))
}
