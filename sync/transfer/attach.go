package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
)

// legacyTags are the suffixes under which cosign keeps what belongs to a digest: sha256-<hex>.sig.
var legacyTags = []string{".sig", ".att", ".sbom"}

// payloadType is the media type of the layers of a legacy signature.
const payloadType = "application/vnd.dev.cosign.simplesigning.v1+json"

// attached is what hangs on one digest at the source.
type attached struct {
	subject   mirror.Digest
	tags      map[string][]mirror.Digest // by suffix: manifests to be joined under that tag
	referrers []mirror.Descriptor
}

// attach brings what hangs on an image and on the children of an index: legacy cosign tags and referrers. It
// asks the source for four things a digest (three tags and the list of referrers; a fifth where there is no
// referrers API), and the target only for what was found.
func (c *cargo) attach(ctx context.Context, subjects []mirror.Digest) error {
	if c.from.Name() == c.to.Name() {
		return nil // nothing to bring from a place to itself
	}
	all, err := c.survey(ctx, subjects)
	if err == nil {
		err = c.pin(ctx, all)
	}
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(4)
	for _, a := range all {
		g.Go(func() error { return c.bring(ctx, a) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return c.elsewhere(ctx)
}

// bring writes what hangs on one digest.
func (c *cargo) bring(ctx context.Context, a *attached) error {
	for _, suffix := range legacyTags {
		if err := c.legacy(ctx, registry.FallbackTag(a.subject)+suffix, a.tags[suffix]); err != nil {
			return err
		}
	}
	return c.referrers(ctx, a.subject, a.referrers, 1)
}

// elsewhere brings the evidence that lies in another repository than the image: beside the local image, where
// everybody looks for it. What else lies there belongs to other images.
func (c *cargo) elsewhere(ctx context.Context) error {
	for _, e := range c.evidence {
		if !c.apart(e) {
			continue
		}
		there := &cargo{m: c.m, content: c.content, image: c.image, from: e.In.AtDigest(mirror.Digest{}), to: c.to, root: c.root, evidence: []mirror.Evidence{e}}
		there.attached.Store(c.attached.Load())
		a := &attached{subject: subjectOf(e, c.root), tags: map[string][]mirror.Digest{}}
		err := there.pin(ctx, []*attached{a})
		if err == nil {
			err = there.bring(ctx, a)
		}
		c.bytes.Add(there.bytes.Load())
		c.attached.Store(there.attached.Load())
		if err != nil {
			return fmt.Errorf("evidence in %s: %w", there.from.Name(), err)
		}
	}
	return nil
}

// apart says whether evidence lies in another repository than what is copied.
func (c *cargo) apart(e mirror.Evidence) bool { return !e.In.IsZero() && e.In.Name() != c.from.Name() }

// survey asks the source what hangs on each digest.
func (c *cargo) survey(ctx context.Context, subjects []mirror.Digest) ([]*attached, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	var all []*attached
	seen := map[mirror.Digest]bool{}
	for _, d := range subjects {
		if seen[d] {
			continue
		}
		seen[d] = true
		a := &attached{subject: d, tags: map[string][]mirror.Digest{}}
		all = append(all, a)
		var mu sync.Mutex
		for _, suffix := range legacyTags {
			g.Go(func() error {
				found, err := c.resolve(ctx, c.content, c.from.WithTag(registry.FallbackTag(d)+suffix))
				if errors.Is(err, mirror.ErrNotFound) {
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				a.tags[suffix] = []mirror.Digest{found.Digest}
				return upstream(c.from, err)
			})
		}
		g.Go(func() (err error) {
			a.referrers, err = c.list(ctx, c.content, c.from, d)
			return upstream(c.from, err)
		})
	}
	return all, g.Wait()
}

// pin makes sure that the signatures that the verdict stands on are among what is brought. A tag that names
// another manifest by now gives way to the one that was verified: nobody has judged the new one.
func (c *cargo) pin(ctx context.Context, all []*attached) error {
	verified := func(d mirror.Digest) bool {
		return slices.ContainsFunc(c.evidence, func(e mirror.Evidence) bool { return e.Digest == d })
	}
	for _, e := range c.evidence {
		if c.apart(e) || slices.ContainsFunc(all, func(a *attached) bool { return a.has(e.Digest) }) {
			continue
		}
		m, err := c.read(ctx, e.Digest)
		if errors.Is(err, mirror.ErrNotFound) {
			return sided(mirror.NotVerified, c.from, fmt.Errorf("signature %s was verified and is gone: it is to be verified again", e.Digest))
		}
		if err != nil {
			return err
		}
		p, err := c.parts(m, e.Descriptor)
		if err != nil {
			return err
		}
		// A legacy manifest does not say what it signs: it was verified for what the verdict says.
		root := all[max(0, slices.IndexFunc(all, func(a *attached) bool { return a.subject == subjectOf(e, c.root) }))]
		if p.Subject != nil {
			if i := slices.IndexFunc(all, func(a *attached) bool { return a.subject == p.Subject.Digest }); i >= 0 {
				all[i].referrers = append(all[i].referrers, m.Descriptor)
			}
			continue
		}
		suffix := ".att"
		if slices.ContainsFunc(p.Layers, func(l mirror.Descriptor) bool { return l.MediaType == payloadType }) {
			suffix = ".sig"
		}
		kept := slices.DeleteFunc(root.tags[suffix], func(d mirror.Digest) bool { return !verified(d) })
		root.tags[suffix] = append(kept, e.Digest)
	}
	return nil
}

// subjectOf gives the manifest that evidence is about.
func subjectOf(e mirror.Evidence, root mirror.Digest) mirror.Digest {
	if e.Of != (mirror.Digest{}) {
		return e.Of
	}
	return root
}

func (a *attached) has(d mirror.Digest) bool {
	for _, tagged := range a.tags {
		if slices.Contains(tagged, d) {
			return true
		}
	}
	return slices.ContainsFunc(a.referrers, func(r mirror.Descriptor) bool { return r.Digest == d })
}

// count bounds how much may hang on one image; what an upstream serves beside an image is chosen by whoever
// may write there.
func (c *cargo) count() error {
	if c.attached.Add(1) > maxAttached {
		return bad(c.from, "more than %d signatures and referrers: %w", maxAttached, mirror.ErrTooLarge)
	}
	return nil
}

func (c *cargo) resolve(ctx context.Context, at mirror.Content, r mirror.Reference) (d mirror.Descriptor, err error) {
	err = c.m.request(ctx, func() (err error) { d, err = at.Resolve(ctx, r); return err })
	return d, err
}

func (c *cargo) list(ctx context.Context, at mirror.Content, r mirror.Reference, d mirror.Digest) (all []mirror.Descriptor, err error) {
	err = c.m.request(ctx, func() (err error) { all, err = at.Referrers(ctx, r, d); return err })
	if errors.Is(err, mirror.ErrNotFound) {
		return nil, nil
	}
	if len(all) > c.m.limits.Referrers {
		return nil, fmt.Errorf("too many referrers of %s, more than %d: %w", d, c.m.limits.Referrers, mirror.ErrTooLarge)
	}
	return all, err
}
