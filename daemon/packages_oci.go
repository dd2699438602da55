package daemon

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// packageInRegistry is a package in an artifact of a registry: a layer that is its zip and, beside it, one that is its
// signature, known by their types or titles as ORAS and Poundlock write them.
type packageInRegistry struct {
	content mirror.Content
	ref     mirror.Reference
}

func (p *packages) inRegistry(name string) (packageOrigin, error) {
	ref, err := mirror.ParseReference(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errAnswer)
	}
	return packageInRegistry{p.line.registry, ref}, nil
}

// layers gives zip and signature; the signature is nil where there is none.
func (p packageInRegistry) layers(ctx context.Context) (zip mirror.Descriptor, signature *mirror.Descriptor, err error) {
	var m mirror.Manifest
	if p.ref.HasDigest() {
		m, err = p.content.Manifest(ctx, p.ref, p.ref.Digest)
	} else {
		m, err = p.content.Tagged(ctx, p.ref)
	}
	if err != nil {
		return zip, nil, err
	}
	parts, err := m.Parts()
	if err != nil {
		return zip, nil, fmt.Errorf("%w: %w", err, errAnswer)
	}
	var zips []mirror.Descriptor
	for _, layer := range parts.Layers {
		title := layer.Annotations["org.opencontainers.image.title"]
		switch {
		case layer.MediaType == mirror.NewMediaType(mirror.PackageSignature), strings.HasSuffix(title, ".zip.sig"):
			signature = &layer
		case layer.MediaType == mirror.NewMediaType(mirror.PackageZip), strings.HasSuffix(title, ".zip"):
			zips = append(zips, layer)
		}
	}
	if len(zips) != 1 {
		return zip, nil, fmt.Errorf("%s has %d layers that are a zip, want one: %w", p.ref, len(zips), errAnswer)
	}
	return zips[0], signature, nil
}

func (p packageInRegistry) signature(ctx context.Context) ([]byte, error) {
	_, layer, err := p.layers(ctx)
	if err != nil || layer == nil {
		return nil, err
	}
	body, err := p.content.Blob(ctx, p.ref, layer.Digest, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return readSignature(body, mirror.PackageAt{})
}

func (p packageInRegistry) stat(ctx context.Context) (zipMark, error) {
	zip, _, err := p.layers(ctx)
	return zipMark{Size: zip.Size, ETag: zip.Digest.String()}, err
}

// open streams the layer; it is the same as before where its digest is.
func (p packageInRegistry) open(ctx context.Context, from int64, mark partMark) (io.ReadCloser, int64, zipMark, error) {
	zip, _, err := p.layers(ctx)
	if err != nil {
		return nil, 0, zipMark{}, err
	}
	if mark.ETag != zip.Digest.String() || from >= zip.Size {
		from = 0
	}
	body, err := p.content.Blob(ctx, p.ref, zip.Digest, from)
	return body, from, zipMark{Size: zip.Size, ETag: zip.Digest.String()}, err
}
