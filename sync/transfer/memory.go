package transfer

import (
	"bytes"
	"context"
	"io"

	"github.com/poundlock/poundlock/internal/mirror"
)

// memory is the content of one small blob that was made here.
type memory []byte

func (m memory) Blob(_ context.Context, _ mirror.Reference, _ mirror.Digest, offset int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[offset:])), nil
}

func (m memory) Manifest(context.Context, mirror.Reference, mirror.Digest) (mirror.Manifest, error) {
	return mirror.Manifest{}, mirror.ErrNotFound
}

func (m memory) Tagged(context.Context, mirror.Reference) (mirror.Manifest, error) {
	return mirror.Manifest{}, mirror.ErrNotFound
}

func (m memory) Referrers(context.Context, mirror.Reference, mirror.Digest) ([]mirror.Descriptor, error) {
	return nil, nil
}

func (m memory) Resolve(context.Context, mirror.Reference) (mirror.Descriptor, error) {
	return mirror.Descriptor{}, mirror.ErrNotFound
}
