package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
)

// cargo is one image on its way: what all its parts have in common.
type cargo struct {
	m        *Mover
	content  mirror.Content
	image    mirror.Reference // as it is called upstream
	from, to mirror.Reference // repositories, without tag and digest
	root     mirror.Digest
	evidence []mirror.Evidence // signature manifests that the verdict stands on
	bytes    atomic.Int64      // read from the source for blobs
	attached atomic.Int64      // signature and referrer manifests so far
}

// carry copies one image with all that hangs on it: blobs, manifests, then signatures and other referrers. A
// crash anywhere leaves content that no tag names; the next run asks for each part and brings what is
// missing.
func (m *Mover) carry(ctx context.Context, job Job) (int64, error) {
	a := job.Verified.Action()
	c := &cargo{m: m, content: job.From, image: a.Image, from: source(a), to: a.To.AtDigest(mirror.Digest{}), root: a.New,
		evidence: job.Verified.Verdict().Evidence}
	c.tell(ImageStarted, mirror.Descriptor{}, nil)
	subjects, err := c.tree(ctx, mirror.Descriptor{Digest: a.New}, 0)
	if err == nil {
		err = c.attach(ctx, subjects)
	}
	if err != nil {
		err = fmt.Errorf("copy %s to %s: %w", c.from.AtDigest(a.New), c.to, err)
	}
	if ctx.Err() != nil {
		return c.bytes.Load(), err // broken off, not failed
	}
	c.tell(ImageDone, mirror.Descriptor{Size: c.bytes.Load()}, err)
	return c.bytes.Load(), err
}

// tell gives the sink an event of this image, about the blob d where there is one.
func (c *cargo) tell(kind EventKind, d mirror.Descriptor, err error) {
	c.m.sink(Event{Kind: kind, Image: c.image, To: c.to.AtDigest(c.root), Blob: d.Digest, Bytes: d.Size, Err: err})
}

// tree brings a manifest with all below it and gives the digests of it and of its children: what a signature
// may hang on.
func (c *cargo) tree(ctx context.Context, d mirror.Descriptor, depth int) ([]mirror.Digest, error) {
	p, err := c.whole(ctx, d, depth)
	if err == nil && !p.there {
		// The manifest comes after all that it names: a crash before this line leaves only parts.
		_, err = c.put(ctx, c.to.AtDigest(d.Digest), p)
	}
	return append([]mirror.Digest{d.Digest}, p.below...), err
}

// piece is a manifest whose blobs and children are all at the target.
type piece struct {
	mirror.Manifest
	parts mirror.Parts
	there bool            // the manifest is at the target too
	below []mirror.Digest // its children, and theirs
}

// whole brings all that a manifest names, and not yet the manifest.
func (c *cargo) whole(ctx context.Context, d mirror.Descriptor, depth int) (p piece, err error) {
	if p.Manifest, p.there, err = c.manifest(ctx, d); err != nil {
		return p, err
	}
	if p.parts, err = c.parts(p.Manifest, d); err != nil {
		return p, err
	}
	if len(p.parts.Manifests) > 0 && depth == maxNesting {
		return p, bad(c.from, "%s: indexes nested deeper than %d", d.Digest, maxNesting)
	}
	var mu sync.Mutex
	below := map[mirror.Digest][]mirror.Digest{}
	err = each(ctx, p.parts.Manifests, func(ctx context.Context, child mirror.Descriptor) error {
		subjects, err := c.tree(ctx, child, depth+1)
		mu.Lock()
		defer mu.Unlock()
		below[child.Digest] = subjects
		return err
	})
	if err != nil {
		return p, err
	}
	for _, child := range p.parts.Manifests {
		p.below = append(p.below, below[child.Digest]...)
	}
	return p, c.blobs(ctx, p.parts, p.there)
}

// manifest reads a manifest from the target, if it lies there, else from the source. One at the target whose
// bytes are wrong is as good as none.
func (c *cargo) manifest(ctx context.Context, d mirror.Descriptor) (m mirror.Manifest, there bool, err error) {
	err = c.m.request(ctx, func() (err error) { m, err = c.m.target.Manifest(ctx, c.to, d.Digest); return err })
	switch {
	case err == nil:
		return m, true, nil
	case !errors.Is(err, mirror.ErrNotFound) && !errors.Is(err, mirror.ErrDigestMismatch):
		return m, false, local(c.to, err)
	}
	m, err = c.read(ctx, d.Digest)
	return m, false, err
}

// read takes a manifest from the source, bytes checked.
func (c *cargo) read(ctx context.Context, d mirror.Digest) (m mirror.Manifest, err error) {
	err = c.m.request(ctx, func() (err error) { m, err = c.content.Manifest(ctx, c.from, d); return err })
	if err != nil {
		return m, upstream(c.from, err)
	}
	if mirror.DigestOf(m.Body) != d {
		return m, upstream(c.from, fmt.Errorf("manifest %s: %w", d, mirror.ErrDigestMismatch))
	}
	return m, nil
}

// parts reads what a manifest names and compares it with the descriptor that led to it.
func (c *cargo) parts(m mirror.Manifest, d mirror.Descriptor) (mirror.Parts, error) {
	p, err := m.Parts()
	switch {
	case err != nil:
		return p, bad(c.from, "%w", err)
	case d.Size > 0 && d.Size != int64(len(m.Body)):
		return p, bad(c.from, "manifest %s has %d bytes, its descriptor says %d: %w", d.Digest, len(m.Body), d.Size, mirror.ErrDigestMismatch)
	case d.MediaType != "" && string(d.MediaType) != p.MediaType:
		return p, bad(c.from, "manifest %s is of type %q, its descriptor says %q", d.Digest, p.MediaType, d.MediaType)
	case len(p.Manifests) > maxChildren || len(p.Layers) > maxBlobs:
		return p, bad(c.from, "manifest %s names %d manifests and %d layers: %w", d.Digest, len(p.Manifests), len(p.Layers), mirror.ErrTooLarge)
	}
	sizes := map[mirror.Digest]int64{}
	for _, b := range append(slices.Clone(p.Layers), p.Manifests...) {
		if size, named := sizes[b.Digest]; named && size != b.Size {
			return p, bad(c.from, "manifest %s gives %s two sizes", d.Digest, b.Digest)
		}
		sizes[b.Digest] = b.Size
	}
	return p, nil
}

// blobs brings config and layers. Layers that may not be distributed are brought where the source has them.
func (c *cargo) blobs(ctx context.Context, p mirror.Parts, likely bool) error {
	for _, d := range p.Blobs() {
		c.tell(BlobNamed, d, nil)
	}
	return each(ctx, p.Blobs(), func(ctx context.Context, d mirror.Descriptor) error {
		err := c.blob(ctx, d, likely)
		if !d.MediaType.IsDistributable() && len(d.URLs) > 0 && errors.Is(err, mirror.ErrNotFound) {
			return nil
		}
		return err
	})
}

// put writes a manifest. A registry that refuses it may miss a blob that was remembered to be there: that
// memory is dropped, the blobs are asked for, and the manifest is written once more.
func (c *cargo) put(ctx context.Context, to mirror.Reference, p piece) (listed bool, err error) {
	m := p.Manifest
	if p.parts.MediaType != "" {
		m.Descriptor.MediaType = mirror.NewMediaType(p.parts.MediaType)
	}
	write := func() error {
		return c.m.write(ctx, func() (err error) { listed, err = c.m.target.Put(ctx, to, m); return err })
	}
	if err = write(); err != nil && ctx.Err() == nil && !temporary(err) {
		c.m.blobs.unlearn(c.to.Name(), p.parts.Blobs())
		if err := c.blobs(ctx, p.parts, true); err != nil {
			return false, err
		}
		err = write()
	}
	if err != nil {
		return false, local(c.to, fmt.Errorf("write manifest %s: %w", m.Descriptor.Digest, err))
	}
	return listed, nil
}

// each does something for every descriptor, several at once, each digest once. One that fails does not break
// off the others: what they bring is of use to the next try and to other images.
func each(ctx context.Context, all []mirror.Descriptor, do func(context.Context, mirror.Descriptor) error) error {
	var g errgroup.Group
	g.SetLimit(8)
	seen := map[mirror.Digest]bool{}
	for _, d := range all {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			g.Go(func() error { return do(ctx, d) })
		}
	}
	return g.Wait()
}
