package attest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sigstore/cosign/v2/pkg/oci/empty"
	"github.com/sigstore/cosign/v2/pkg/oci/mutate"
	"github.com/sigstore/cosign/v2/pkg/oci/static"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
)

// The media types and annotations under which cosign 3 keeps bundles, and ours beside them. Source of the first:
// github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md.
const (
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	emptyType     = "application/vnd.oci.empty.v1+json"
	kindKey       = "dev.sigstore.bundle.predicateType"
	contentKey    = "dev.sigstore.bundle.content"
	createdKey    = "org.opencontainers.image.created"
	markKey       = "dev.poundlock.statement"
	byKey         = "dev.poundlock.key"
	envelopeValue = "dsse-envelope"
)

// Beside gives statements on one digest as content that lies beside it: bundles among its referrers and, for a plain
// signature, the legacy tag besides. It is read as any registry is, in whatever repository.
func Beside(subject mirror.Descriptor, all ...Statement) (mirror.Content, error) {
	c := &made{subject: subject, manifests: map[mirror.Digest]mirror.Manifest{}, blobs: map[mirror.Digest][]byte{}, tags: map[string]mirror.Digest{}}
	for _, s := range all {
		if err := c.add(s); err != nil {
			return nil, fmt.Errorf("%s of %s: %w", s.mark, subject.Digest, err)
		}
	}
	return c, nil
}

// made is content in memory.
type made struct {
	subject   mirror.Descriptor
	manifests map[mirror.Digest]mirror.Manifest
	blobs     map[mirror.Digest][]byte
	tags      map[string]mirror.Digest
	referrers []mirror.Descriptor
}

// artifact is an OCI image manifest that refers to another one.
type artifact struct {
	SchemaVersion int                 `json:"schemaVersion"`
	MediaType     types.MediaType     `json:"mediaType"`
	ArtifactType  string              `json:"artifactType"`
	Config        mirror.Descriptor   `json:"config"`
	Layers        []mirror.Descriptor `json:"layers"`
	Subject       mirror.Descriptor   `json:"subject"`
	Annotations   map[string]string   `json:"annotations"`
}

func (c *made) add(s Statement) error {
	annotations := map[string]string{kindKey: s.kind, contentKey: envelopeValue, markKey: string(s.mark), byKey: s.by}
	if !s.at.IsZero() {
		annotations[createdKey] = s.at.UTC().Format(time.RFC3339)
	}
	body, err := json.Marshal(artifact{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: bundleType,
		Config: c.blob(emptyType, []byte("{}")), Layers: []mirror.Descriptor{c.blob(bundleType, s.bundle)}, Annotations: annotations,
		Subject: mirror.Descriptor{MediaType: c.subject.MediaType, Digest: c.subject.Digest, Size: c.subject.Size}})
	if err != nil {
		return err
	}
	m := c.manifest(string(types.OCIManifestSchema1), body)
	m.ArtifactType, m.Annotations = bundleType, annotations
	c.referrers = append(c.referrers, m)
	if s.payload == nil {
		return nil
	}
	return c.legacy(s)
}

// legacy adds the manifest that lies under the tag sha256-<hex>.sig, as the cosign library writes it.
func (c *made) legacy(s Statement) error {
	sig, err := static.NewSignature(s.payload, s.encoded())
	if err != nil {
		return err
	}
	list, err := mutate.AppendSignatures(empty.Signatures(), false, sig)
	if err != nil {
		return err
	}
	config, err := list.RawConfigFile()
	if err != nil {
		return err
	}
	body, err := list.RawManifest()
	if err != nil {
		return err
	}
	kind, err := list.MediaType()
	if err != nil {
		return err
	}
	c.blobs[mirror.DigestOf(config)], c.blobs[mirror.DigestOf(s.payload)] = config, s.payload
	c.tags[registry.FallbackTag(c.subject.Digest)+".sig"] = c.manifest(string(kind), body).Digest
	return nil
}

func (c *made) blob(kind string, body []byte) mirror.Descriptor {
	d := mirror.Descriptor{MediaType: types.MediaType(kind), Digest: mirror.DigestOf(body), Size: int64(len(body))}
	c.blobs[d.Digest] = body
	return d
}

func (c *made) manifest(kind string, body []byte) mirror.Descriptor {
	m := mirror.NewManifest(kind, body)
	c.manifests[m.Descriptor.Digest] = m
	return m.Descriptor
}

// Manifest gives a manifest that was made here.
func (c *made) Manifest(_ context.Context, _ mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	m, ok := c.manifests[d]
	if !ok {
		return m, mirror.ErrNotFound
	}
	return m, nil
}

// Blob gives a blob that was made here.
func (c *made) Blob(_ context.Context, _ mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	body, ok := c.blobs[d]
	if !ok || offset > int64(len(body)) {
		return nil, mirror.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(body[offset:])), nil
}

// Referrers lists the bundles.
func (c *made) Referrers(_ context.Context, _ mirror.Reference, d mirror.Digest) ([]mirror.Descriptor, error) {
	if d != c.subject.Digest {
		return nil, nil
	}
	return c.referrers, nil
}

// Tagged gives the manifest under the legacy tag.
func (c *made) Tagged(ctx context.Context, r mirror.Reference) (mirror.Manifest, error) {
	return c.Manifest(ctx, r, c.tags[r.Tag])
}

// Resolve says what the legacy tag names.
func (c *made) Resolve(ctx context.Context, r mirror.Reference) (mirror.Descriptor, error) {
	m, err := c.Tagged(ctx, r)
	return m.Descriptor, err
}
