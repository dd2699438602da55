package policy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// The media types under which cosign keeps signatures and attestations.
const (
	bundleType      = "application/vnd.dev.sigstore.bundle"              // with a version behind it
	signatureType   = "application/vnd.dev.cosign.artifact.sig.v1+json"  // of a referrer with legacy payloads
	attestationType = "application/vnd.dev.cosign.artifact.att.v1+json"  // of a referrer with envelopes
	payloadType     = "application/vnd.dev.cosign.simplesigning.v1+json" // of a layer
	envelopeType    = "application/vnd.dsse.envelope.v1+json"            // of a layer
	signPredicate   = "https://sigstore.dev/cosign/sign/v1"              // of a bundle that is an image signature
	typeAnnotation  = "dev.sigstore.bundle.predicateType"                // of a referrer, not signed
	sigAnnotation   = "dev.cosignproject.cosign/signature"               // of a layer with a payload
)

// about says which requirement an item or a flaw is of interest to.
type about int

const (
	aboutSignatures about = 1 << iota
	aboutAttestations
)

// noun says in a word what an item of interest to it is.
func (a about) noun() string {
	if a == aboutAttestations {
		return attestationWords.noun
	}
	return signatureWords.noun
}

// item is one signature or attestation as it lies in a registry, with the manifest that holds it.
type item struct {
	trust.Item
	manifest mirror.Descriptor
	about    about  // what it is offered as; both where it does not say
	offered  string // the predicate type that an unsigned annotation names
}

// fault is what is wrong with content that a registry served: asking again gives the same. Every other
// error of this file means that the registry could not be asked.
type fault struct{ err error }

func (f fault) Error() string { return f.err.Error() }
func (f fault) Unwrap() error { return f.err }

// search is one walk over what lies beside a digest. Its methods say whether the caller wants more.
type search struct {
	ctx        context.Context
	content    mirror.Content
	limits     Limits
	spot       spot
	signatures bool  // whether somebody asks for signatures beside the digest
	inside     *spot // of a package, where somebody asks for the signature that is a part of it
	made       trust.Made
	types      []string // predicate types of attestations that somebody asks for
	found      int
	bodies     map[mirror.Digest][]byte // several signatures may be over one payload
	yield      func(item, error) bool
}

// all reads what is a part of the content first, then the legacy tag of signatures, the referrers, and the legacy tag of
// attestations; each only where it may hold what is asked for. It goes on after an error, so that one bad item does not hide a good one, and
// reads no further than the caller does. With an error comes an item that says whom it is of interest to.
func (s *search) all() iter.Seq2[item, error] {
	s.bodies = map[mirror.Digest][]byte{}
	return func(yield func(item, error) bool) {
		s.yield = yield
		_ = (s.inside == nil || s.packaged(*s.inside)) && (!s.signatures || s.legacyTag(".sig", aboutSignatures)) &&
			(!s.signatures && len(s.types) == 0 || s.referrers()) && (len(s.types) == 0 || s.legacyTag(".att", aboutAttestations))
	}
}

// legacyTag reads the manifest at the tag sha256-<hex> with a suffix. The tag is read once, by one GET, and
// everything below by digest.
func (s *search) legacyTag(suffix string, a about) bool {
	what := "legacy tag " + suffix
	m, err := s.content.Tagged(s.ctx, s.spot.repository.WithTag(s.spot.digest.Algorithm+"-"+s.spot.digest.Hex+suffix))
	if errors.Is(err, mirror.ErrNotFound) {
		return true
	}
	if err != nil {
		return s.fail(what, a, err)
	}
	parts, err := s.parts(m, m.Descriptor)
	if err != nil {
		return s.fail(what, a, err)
	}
	mediaType := payloadType
	if a == aboutAttestations {
		mediaType = envelopeType
	}
	return s.layers(m.Descriptor, parts, mediaType, item{about: a})
}

func (s *search) referrers() bool {
	list, err := s.content.Referrers(s.ctx, s.spot.repository, s.spot.digest)
	both := aboutSignatures | aboutAttestations
	switch {
	case errors.Is(err, mirror.ErrNotFound):
		return true
	case err != nil:
		return s.fail("referrers", both, err)
	case len(list) > s.limits.Referrers:
		return s.fail("referrers", both, fault{fmt.Errorf("too many referrers, the limit is %d", s.limits.Referrers)})
	}
	for _, d := range list {
		if !s.referrer(d) {
			return false
		}
	}
	return true
}

// referrer looks into one referrer. What the list says of its type is a hint that some registries get wrong, so the
// manifest decides; only one that says itself to be a statement that nobody asks for is passed over unread.
func (s *search) referrer(d mirror.Descriptor) bool {
	it := item{about: aboutSignatures | aboutAttestations, offered: d.Annotations[typeAnnotation]}
	if !s.wanted(it.offered) {
		return true
	}
	what := "referrer " + mirror.Short(d.Digest)
	m, parts, err := s.manifest(d)
	if err != nil {
		return s.fail(what, it.about, err)
	}
	kind := parts.ArtifactType
	if kind == "" && parts.Config != nil {
		kind = string(parts.Config.MediaType)
	}
	var layerType string
	switch {
	case strings.HasPrefix(kind, bundleType):
		if it.offered = parts.Annotations[typeAnnotation]; !s.wanted(it.offered) {
			return true
		}
		layerType = bundleType
	case kind == signatureType && s.signatures:
		layerType, it.about = payloadType, aboutSignatures
	case kind == attestationType && len(s.types) > 0:
		layerType, it.about = envelopeType, aboutAttestations
	default:
		return true // an SBOM or anything else that nobody asks for
	}
	if parts.Subject == nil || parts.Subject.Digest != s.spot.digest {
		return s.fail(what, it.about, fault{errors.New("its subject is another image")})
	}
	return s.layers(m, parts, layerType, it)
}

// wanted says whether a statement of a predicate type may be of use; "" is a type that is not known.
func (s *search) wanted(predicate string) bool {
	return predicate == "" || predicate == signPredicate && s.signatures || slices.Contains(s.types, predicate)
}

func (s *search) manifest(d mirror.Descriptor) (mirror.Descriptor, mirror.Parts, error) {
	if d.Size > s.limits.Manifest {
		return d, mirror.Parts{}, fault{fmt.Errorf("manifest of %d bytes: %w", d.Size, mirror.ErrTooLarge)}
	}
	m, err := s.content.Manifest(s.ctx, s.spot.repository, d.Digest)
	if err != nil {
		return d, mirror.Parts{}, err
	}
	parts, err := s.parts(m, d)
	return mirror.Descriptor{MediaType: m.Descriptor.MediaType, Digest: d.Digest, Size: int64(len(m.Body))}, parts, err
}

// parts checks a manifest against the descriptor that led to it, and reads it.
func (s *search) parts(m mirror.Manifest, d mirror.Descriptor) (mirror.Parts, error) {
	if size := max(int64(len(m.Body)), m.Descriptor.Size); size > s.limits.Manifest {
		return mirror.Parts{}, fault{fmt.Errorf("manifest of %d bytes: %w", size, mirror.ErrTooLarge)}
	}
	if mirror.DigestOf(m.Body) != d.Digest {
		return mirror.Parts{}, fault{fmt.Errorf("manifest %s: %w", mirror.Short(d.Digest), mirror.ErrDigestMismatch)}
	}
	parts, err := m.Parts()
	if err != nil {
		return mirror.Parts{}, fault{err}
	}
	return parts, nil
}

// unusable says whether the content itself is to blame for an error, and not the way to it.
func unusable(err error) bool {
	var f fault
	return errors.As(err, &f) || errors.Is(err, mirror.ErrNotFound) || errors.Is(err, mirror.ErrDigestMismatch) || errors.Is(err, mirror.ErrTooLarge)
}

// fail passes an error on, as a fault where the content itself is to blame.
func (s *search) fail(what string, a about, err error) bool {
	if err = fmt.Errorf("%s: %w", what, err); unusable(err) {
		err = fault{err}
	}
	return s.yield(item{about: a}, err)
}
