package policy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// Limits of what is read to judge one image. Anything larger is refused, never truncated; what an upstream
// serves beside an image is chosen by whoever may write there.
const (
	maxPayload    = 64 << 10 // bytes of a simple-signing payload
	maxBundle     = 1 << 20  // bytes of a sigstore bundle that is a signature
	maxSignatures = 50       // signatures of one image, of both forms together
	maxReferrers  = mirror.MaxReferrers
	maxManifest   = mirror.MaxManifest
)

const (
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	signatureType = "application/vnd.dev.cosign.artifact.sig.v1+json" // of a referrer with legacy payloads
	payloadType   = "application/vnd.dev.cosign.simplesigning.v1+json"

	signatureAnnotation = "dev.cosignproject.cosign/signature" // of a layer with a payload
)

// item is one signature as it lies in a registry, with the manifest that holds it.
type item struct {
	trust.Item
	manifest mirror.Descriptor
}

var (
	errTooManySignatures = fmt.Errorf("too many signatures, the limit is %d", maxSignatures)
	errTooManyReferrers  = fmt.Errorf("too many referrers, the limit is %d", maxReferrers)
)

// fault is what is wrong with content that a registry served: asking again gives the same. Every other
// error of this file means that the registry could not be asked.
type fault struct{ err error }

func (f fault) Error() string { return f.err.Error() }
func (f fault) Unwrap() error { return f.err }

// signatures reads what lies beside the digest d in the repository of at: the legacy tag first, then the
// referrers. It goes on after an error, so that one bad item does not hide a good one, and reads no
// further than the caller does.
func signatures(ctx context.Context, c mirror.Content, at mirror.Reference, d mirror.Digest) iter.Seq2[item, error] {
	s := &search{ctx: ctx, content: c, at: at.AtDigest(d), digest: d}
	return func(yield func(item, error) bool) {
		s.yield = yield
		_ = s.legacyTag() && s.referrers()
	}
}

// search is one walk over the signatures of a digest. Its methods say whether the caller wants more.
type search struct {
	ctx     context.Context
	content mirror.Content
	at      mirror.Reference
	digest  mirror.Digest
	found   int
	yield   func(item, error) bool
}

// legacyTag reads the manifest at the tag sha256-<hex>.sig. The tag is resolved once and everything below
// is read by digest.
func (s *search) legacyTag() bool {
	tag := mirror.Reference{Host: s.at.Host, Repository: s.at.Repository, Tag: s.digest.Algorithm + "-" + s.digest.Hex + ".sig"}
	d, err := s.content.Resolve(s.ctx, tag)
	if errors.Is(err, mirror.ErrNotFound) {
		return true
	}
	if err != nil {
		return s.fail("legacy tag", err)
	}
	m, parts, err := s.manifest(d)
	if err != nil {
		return s.fail("legacy tag", err)
	}
	return s.layers(m, parts, payloadType)
}

func (s *search) referrers() bool {
	list, err := s.content.Referrers(s.ctx, s.at, s.digest)
	switch {
	case errors.Is(err, mirror.ErrNotFound):
		return true
	case err != nil:
		return s.fail("referrers", err)
	case len(list) > maxReferrers:
		return s.fail("referrers", fault{errTooManyReferrers})
	}
	for _, d := range list {
		if !s.referrer(d) {
			return false
		}
	}
	return true
}

// referrer looks into one referrer. What the list says of its type is a hint that some registries get
// wrong, so the manifest decides.
func (s *search) referrer(d mirror.Descriptor) bool {
	m, parts, err := s.manifest(d)
	if err != nil {
		return s.fail("referrer "+mirror.Short(d.Digest), err)
	}
	kind := parts.ArtifactType
	if kind == "" && parts.Config != nil {
		kind = string(parts.Config.MediaType)
	}
	var layerType string
	switch kind {
	case bundleType:
		layerType = bundleType
	case signatureType:
		layerType = payloadType
	default:
		return true // an SBOM or anything else that is no signature
	}
	if parts.Subject == nil || parts.Subject.Digest != s.digest {
		return s.fail("referrer "+mirror.Short(d.Digest), fault{errors.New("its subject is another image")})
	}
	return s.layers(m, parts, layerType)
}

func (s *search) manifest(d mirror.Descriptor) (mirror.Descriptor, mirror.Parts, error) {
	if d.Size > maxManifest {
		return d, mirror.Parts{}, fault{fmt.Errorf("manifest of %d bytes: %w", d.Size, mirror.ErrTooLarge)}
	}
	m, err := s.content.Manifest(s.ctx, s.at, d.Digest)
	if err != nil {
		return d, mirror.Parts{}, err
	}
	if len(m.Body) > maxManifest || mirror.DigestOf(m.Body) != d.Digest {
		return d, mirror.Parts{}, fault{fmt.Errorf("manifest %s: %w", mirror.Short(d.Digest), mirror.ErrDigestMismatch)}
	}
	parts, err := m.Parts()
	if err != nil {
		return d, mirror.Parts{}, fault{err}
	}
	return mirror.Descriptor{MediaType: m.Descriptor.MediaType, Digest: d.Digest, Size: int64(len(m.Body))}, parts, nil
}

// layers gives the layers of the wanted media type as items.
func (s *search) layers(m mirror.Descriptor, parts mirror.Parts, mediaType string) bool {
	for _, layer := range parts.Layers {
		if string(layer.MediaType) != mediaType {
			continue
		}
		if s.found++; s.found > maxSignatures {
			s.yield(item{}, fault{errTooManySignatures})
			return false
		}
		limit := int64(maxPayload)
		if mediaType == bundleType {
			limit = maxBundle
		}
		body, err := s.blob(layer, limit)
		if err != nil {
			if !s.fail("signature "+mirror.Short(layer.Digest), err) {
				return false
			}
			continue
		}
		it := item{manifest: m, Item: trust.Item{Body: body, Signature: layer.Annotations[signatureAnnotation], Annotations: layer.Annotations}}
		if mediaType == bundleType {
			it.Form = trust.Bundle
		}
		if !s.yield(it, nil) {
			return false
		}
	}
	return true
}

// blob reads a small blob as it is stored; nothing here is ever inflated.
func (s *search) blob(d mirror.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fault{fmt.Errorf("%d bytes where at most %d are read: %w", d.Size, limit, mirror.ErrTooLarge)}
	}
	r, err := s.content.Blob(s.ctx, s.at, d.Digest, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fault{mirror.ErrTooLarge}
	}
	if mirror.DigestOf(body) != d.Digest {
		return nil, fault{mirror.ErrDigestMismatch}
	}
	return body, nil
}

// fail passes an error on, as a fault where the content itself is to blame.
func (s *search) fail(what string, err error) bool {
	var f fault
	if errors.As(err, &f) || errors.Is(err, mirror.ErrNotFound) || errors.Is(err, mirror.ErrDigestMismatch) || errors.Is(err, mirror.ErrTooLarge) {
		return s.yield(item{}, fault{fmt.Errorf("%s: %w", what, err)})
	}
	return s.yield(item{}, fmt.Errorf("%s: %w", what, err))
}
