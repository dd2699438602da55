package daemon

import (
	"context"
	"io"

	"github.com/poundlock/poundlock/internal/mirror"
)

// supplied is content by the configuration that is in force at each request.
type supplied struct{ o *outlet }

func (s supplied) now() mirror.Content { return s.o.inForce.Load().registry }

// Manifest reads a manifest.
func (s supplied) Manifest(ctx context.Context, r mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	return s.now().Manifest(ctx, r, d)
}

// Blob reads a blob.
func (s supplied) Blob(ctx context.Context, r mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	return s.now().Blob(ctx, r, d, offset)
}

// Referrers lists what refers to a digest.
func (s supplied) Referrers(ctx context.Context, r mirror.Reference, d mirror.Digest) ([]mirror.Descriptor, error) {
	return s.now().Referrers(ctx, r, d)
}

// Tagged reads the manifest that a tag names.
func (s supplied) Tagged(ctx context.Context, r mirror.Reference) (mirror.Manifest, error) {
	return s.now().Tagged(ctx, r)
}

// Resolve asks what a tag names.
func (s supplied) Resolve(ctx context.Context, r mirror.Reference) (mirror.Descriptor, error) {
	return s.now().Resolve(ctx, r)
}
