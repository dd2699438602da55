package transfer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
)

// referrers brings what refers to a digest, and what refers to that, and then compares the lists: every
// referrer of the source has to be listed at the target, by its API or by the fallback tag. What the source
// lists and does not hold, or what refers to something else, is no referrer and is left out.
func (c *cargo) referrers(ctx context.Context, subject mirror.Digest, list []mirror.Descriptor, depth int) error {
	if len(list) == 0 {
		return nil
	}
	var mu sync.Mutex
	var brought []referrer
	err := each(ctx, list, func(ctx context.Context, d mirror.Descriptor) error {
		r, err := c.referrer(ctx, subject, d, depth)
		if err != nil || r.Body == nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		brought = append(brought, r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("referrers of %s: %w", subject, err)
	}
	slices.SortFunc(brought, func(a, b referrer) int { return strings.Compare(a.Descriptor.Digest.Hex, b.Descriptor.Digest.Hex) })
	if err := c.parity(ctx, subject, brought); err != nil {
		return fmt.Errorf("referrers of %s: %w", subject, err)
	}
	return nil
}

// referrer is one that was brought. put says that its manifest was written just now, listed that the registry
// then promised to list it.
type referrer struct {
	piece
	put, listed bool
}

func (c *cargo) referrer(ctx context.Context, subject mirror.Digest, d mirror.Descriptor, depth int) (r referrer, err error) {
	if err := c.count(); err != nil {
		return r, err
	}
	// Some registries list a referrer under another type than it has; its bytes decide.
	r.piece, err = c.whole(ctx, mirror.Descriptor{Digest: d.Digest, Size: d.Size}, 1)
	if err != nil {
		proven := slices.ContainsFunc(c.evidence, func(e mirror.Evidence) bool { return e.Digest == d.Digest })
		if r.Body == nil && !proven && errors.Is(err, mirror.ErrNotFound) {
			return r, nil
		}
		return r, err
	}
	if r.parts.Subject == nil || r.parts.Subject.Digest != subject {
		return referrer{}, nil
	}
	if !r.there {
		if r.listed, err = c.put(ctx, c.to.AtDigest(d.Digest), r.piece); err != nil {
			return r, err
		}
		r.put = true
	}
	if depth == maxReferring {
		return r, nil
	}
	further, err := c.list(ctx, c.content, c.from, d.Digest)
	if err != nil {
		return r, upstream(c.from, err)
	}
	return r, c.referrers(ctx, d.Digest, further, depth+1)
}

// parity makes the target list what was brought: by writing again a manifest that its API seems to have
// missed, and by the fallback tag where it promised nothing.
func (c *cargo) parity(ctx context.Context, subject mirror.Digest, brought []referrer) error {
	missing, err := c.missing(ctx, subject, brought)
	if err != nil || len(missing) == 0 {
		return err
	}
	var unlisted []referrer
	for _, r := range missing {
		if !r.put {
			if r.listed, err = c.put(ctx, c.to.AtDigest(r.Descriptor.Digest), r.piece); err != nil {
				return err
			}
		}
		if !r.listed {
			unlisted = append(unlisted, r)
		}
	}
	if err := c.fallback(ctx, subject, unlisted); err != nil {
		return err
	}
	missing, err = c.missing(ctx, subject, missing)
	if err == nil && len(missing) > 0 {
		err = local(c.to, fmt.Errorf("%d of %d are not listed at the target, such as %s", len(missing), len(brought), missing[0].Descriptor.Digest))
	}
	return err
}

func (c *cargo) missing(ctx context.Context, subject mirror.Digest, brought []referrer) ([]referrer, error) {
	have, err := c.list(ctx, c.m.target, c.to, subject)
	if err != nil {
		return nil, local(c.to, err)
	}
	listed := map[mirror.Digest]bool{}
	for _, d := range have {
		listed[d.Digest] = true
	}
	return slices.DeleteFunc(slices.Clone(brought), func(r referrer) bool { return listed[r.Descriptor.Digest] }), nil
}

// fallback adds referrers to the index under the fallback tag of OCI 1.1; what is in it stays.
func (c *cargo) fallback(ctx context.Context, subject mirror.Digest, add []referrer) error {
	if len(add) == 0 {
		return nil
	}
	return c.relist(ctx, subject, func(all []listed) []listed {
		for _, r := range add {
			if !slices.ContainsFunc(all, func(l listed) bool { return l.digest == r.Descriptor.Digest }) {
				all = append(all, listed{r.Descriptor.Digest, encode(r.describe())})
			}
		}
		return all
	})
}

// listed is one line of the index under a fallback tag, whose bytes stay as they are.
type listed struct {
	digest mirror.Digest
	raw    json.RawMessage
}

// relist writes the index under the fallback tag of a digest with other lines, where they differ in number. No registry
// compares and swaps a tag; within this process one at a time reads, changes and writes it.
func (c *cargo) relist(ctx context.Context, subject mirror.Digest, change func([]listed) []listed) error {
	to := c.to.WithTag(registry.FallbackTag(subject))
	unlock, err := c.m.subjects.lock(ctx, to.String())
	if err != nil {
		return err
	}
	defer unlock()
	index, err := c.index(ctx, to)
	if err != nil {
		return err
	}
	var manifests []json.RawMessage
	var known []struct {
		Digest mirror.Digest `json:"digest"`
	}
	if raw := index["manifests"]; raw != nil {
		if err := errors.Join(json.Unmarshal(raw, &manifests), json.Unmarshal(raw, &known)); err != nil {
			return local(c.to, fmt.Errorf("fallback tag %s: %w", to.Tag, err))
		}
	}
	var all []listed
	for i, raw := range manifests {
		all = append(all, listed{known[i].Digest, raw})
	}
	all = change(all)
	if len(all) == len(manifests) {
		return nil
	}
	lines := make([]json.RawMessage, 0, len(all))
	for _, l := range all {
		lines = append(lines, l.raw)
	}
	index["manifests"] = encode(lines)
	m := mirror.NewManifest(string(types.OCIImageIndex), encode(index))
	if err := c.m.write(ctx, func() error { _, err := c.m.target.Put(ctx, to, m); return err }); err != nil {
		return local(c.to, fmt.Errorf("fallback tag %s: %w", to.Tag, err))
	}
	return nil
}

// index reads the fields of the index at a fallback tag; those of an empty one where there is none.
func (c *cargo) index(ctx context.Context, at mirror.Reference) (map[string]json.RawMessage, error) {
	fields := map[string]json.RawMessage{"schemaVersion": encode(2), "mediaType": encode(types.OCIImageIndex)}
	have, err := c.resolve(ctx, c.m.target, at)
	if errors.Is(err, mirror.ErrNotFound) {
		return fields, nil
	}
	var m mirror.Manifest
	if err == nil {
		err = c.m.request(ctx, func() (err error) { m, err = c.m.target.Manifest(ctx, c.to, have.Digest); return err })
	}
	if err == nil && !mirror.IsIndex(m.Descriptor) {
		err = fmt.Errorf("it is of type %s, not an index", m.Descriptor.MediaType)
	}
	if err == nil {
		err = json.Unmarshal(m.Body, &fields)
	}
	if err != nil {
		return nil, local(c.to, fmt.Errorf("fallback tag %s: %w", at.Tag, err))
	}
	return fields, nil
}

// describe gives the descriptor that a list of referrers carries.
func (r referrer) describe() mirror.Descriptor {
	kind := r.parts.ArtifactType
	if r.parts.Config != nil {
		kind = cmp.Or(kind, string(r.parts.Config.MediaType))
	}
	return mirror.Descriptor{MediaType: mirror.NewMediaType(r.parts.MediaType), Digest: r.Descriptor.Digest,
		Size: int64(len(r.Body)), ArtifactType: kind, Annotations: r.parts.Annotations}
}
