package policy

import (
	"context"
	"io"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// packaged gives the OpenPGP signature that is a layer of a package's artifact, over the bytes of its zip. Anything else
// has none, and so has a package that came without.
func (s *search) packaged(at spot) bool {
	what := "package " + mirror.Short(at.digest)
	m, err := s.content.Manifest(s.ctx, at.repository, at.digest)
	if err != nil {
		return s.fail(what, aboutSignatures, err)
	}
	parts, err := s.parts(m, mirror.Descriptor{Digest: at.digest})
	if err != nil {
		return s.fail(what, aboutSignatures, err)
	}
	if parts.ArtifactType != mirror.PackageArtifact {
		return true // an image
	}
	layers, err := elastic.Open(m)
	if err != nil {
		return s.fail(what, aboutSignatures, fault{err})
	}
	if layers.Signature.Digest == (mirror.Digest{}) {
		return true
	}
	body, err := s.blobIn(at.repository, layers.Signature, elastic.MaxSignature)
	if err != nil {
		return s.fail("signature "+mirror.Short(layers.Signature.Digest), aboutSignatures, err)
	}
	s.found++
	it := item{about: aboutSignatures, manifest: mirror.Descriptor{MediaType: m.Descriptor.MediaType, Digest: at.digest, Size: int64(len(m.Body))}}
	it.Item = trust.Item{Form: trust.Detached, Body: body, Over: &trust.Signed{Digest: layers.Zip.Digest, Made: s.made, Open: func(ctx context.Context) (io.ReadCloser, error) {
		return s.content.Blob(ctx, at.repository, layers.Zip.Digest, 0)
	}}}
	return s.yield(it, nil)
}
