package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// origins is where content comes from: what was made here for the fleet that is in force, such as a chart that lies in the
// fleet repository, the packages that were fetched, and the registries for everything else.
type origins struct {
	mirror.Content
	made     func() []mirror.Artifact
	packages *packages // nil: there are none
}

// origins gives where this line reads content from.
func (l *Line) origins() mirror.Content {
	return origins{l.registry, func() (all []mirror.Artifact) {
		if f := l.fleet.Load(); f != nil {
			for _, set := range f.desired.Sets {
				all = append(all, set.Made...)
			}
		}
		return all
	}, l.packages}
}

// makes says whether a set makes content itself that it names as an upstream's: no host has to be asked for it.
func makes(set mirror.Set, image mirror.Reference) bool {
	return slices.ContainsFunc(set.Made, func(a mirror.Artifact) bool { return a.Image.Name() == image.Name() })
}

// here says whether content is ours alone: what was made here, as a function tells, and what was made here once, below a name
// that no host can have (RFC 2606). Any other content of a repository is the registry's, also where a chart has its name.
func (o origins) here(r mirror.Reference, is func(mirror.Artifact) bool) bool {
	host, _, _ := strings.Cut(r.Host, ":")
	return strings.HasSuffix(host, ".invalid") || slices.ContainsFunc(o.made(), func(a mirror.Artifact) bool { return a.Image.Name() == r.Name() && is(a) })
}

func manifestOf(d mirror.Digest) func(mirror.Artifact) bool {
	return func(a mirror.Artifact) bool { return a.Manifest.Descriptor.Digest == d }
}

func blobOf(d mirror.Digest) func(mirror.Artifact) bool {
	return func(a mirror.Artifact) bool { _, has := a.Blobs[d]; return has }
}

func namedBy(r mirror.Reference) func(mirror.Artifact) bool {
	return func(a mirror.Artifact) bool {
		return r.HasDigest() && a.Image.Digest == r.Digest || !r.HasDigest() && a.Image.Tag == r.Tag
	}
}

// find gives what was made that a function chooses in a repository.
func (o origins) find(r mirror.Reference, is func(mirror.Artifact) bool) (mirror.Artifact, error) {
	for _, a := range o.made() {
		if a.Image.Name() == r.Name() && is(a) {
			return a, nil
		}
	}
	return mirror.Artifact{}, fmt.Errorf("%s: the fleet makes no such content now: %w", r, mirror.ErrNotFound)
}

// fetched gives the manifest of a package that was fetched; ok is false for what is none.
func (o origins) fetched(ctx context.Context, r mirror.Reference, d mirror.Digest) (m mirror.Manifest, ok bool, err error) {
	if o.packages == nil {
		return m, false, nil
	}
	return o.packages.manifest(ctx, o.Content, r, d)
}

// Manifest reads a manifest that was made, or asks the registry.
func (o origins) Manifest(ctx context.Context, r mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	if m, ok, err := o.fetched(ctx, r, d); ok {
		return m, err
	}
	if !o.here(r, manifestOf(d)) {
		return o.Content.Manifest(ctx, r, d)
	}
	a, err := o.find(r.AtDigest(d), manifestOf(d))
	return a.Manifest, err
}

// Blob reads a blob that was made, or asks the registry.
func (o origins) Blob(ctx context.Context, r mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	if o.packages != nil {
		if body, ok, err := o.packages.blob(ctx, o.Content, r, d, offset); ok {
			return body, err
		}
	}
	if !o.here(r, blobOf(d)) {
		return o.Content.Blob(ctx, r, d, offset)
	}
	a, err := o.find(r.AtDigest(d), blobOf(d))
	if err != nil {
		return nil, err
	}
	body := a.Blobs[d]
	return io.NopCloser(bytes.NewReader(body[min(offset, int64(len(body))):])), nil
}

// Referrers asks the registry; nobody signed what was made here, and a package has its signature in itself.
func (o origins) Referrers(ctx context.Context, r mirror.Reference, d mirror.Digest) ([]mirror.Descriptor, error) {
	if !(o.packages != nil && o.packages.holds(r, d)) && !o.here(r, manifestOf(d)) {
		return o.Content.Referrers(ctx, r, d)
	}
	return nil, nil
}

// Tagged reads the manifest that a tag names.
func (o origins) Tagged(ctx context.Context, r mirror.Reference) (mirror.Manifest, error) {
	if o.packages != nil && o.packages.tagAbout(r) {
		return mirror.Manifest{}, fmt.Errorf("%s: %w", r, mirror.ErrNotFound)
	}
	byTag := func(a mirror.Artifact) bool { return a.Image.Tag == r.Tag }
	if !o.here(r, byTag) {
		return o.Content.Tagged(ctx, r)
	}
	a, err := o.find(r, byTag)
	return a.Manifest, err
}

// Resolve says what a tag, or a digest, names.
func (o origins) Resolve(ctx context.Context, r mirror.Reference) (mirror.Descriptor, error) {
	if o.packages != nil && !r.HasDigest() && o.packages.tagAbout(r) {
		return mirror.Descriptor{}, fmt.Errorf("%s: %w", r, mirror.ErrNotFound)
	}
	if m, ok, err := o.fetched(ctx, r, r.Digest); ok {
		return m.Descriptor, err
	}
	if !o.here(r, namedBy(r)) {
		return o.Content.Resolve(ctx, r)
	}
	a, err := o.find(r, namedBy(r))
	return a.Manifest.Descriptor, err
}
