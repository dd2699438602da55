package mirror

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Limits on what is read from a registry into memory. Larger content is refused, never truncated.
const (
	MaxManifest  = 4 << 20 // bytes of one manifest or index
	MaxReferrers = 50      // signatures, attestations and other referrers of one digest, where nobody says otherwise
	MaxListed    = 1000    // referrers of one digest that are read from a list at all
)

// Errors that callers choose by. They are wrapped with the step and the reference.
var (
	ErrNotFound       = errors.New("not found")
	ErrDigestMismatch = errors.New("content does not match its digest")
	ErrTooLarge       = errors.New("larger than the limit")
)

// Content is where manifests and blobs are read from: an upstream, the local registry, a bundle. Every
// answer is checked against the digest that was asked for; a missing object is ErrNotFound.
type Content interface {
	// Manifest reads the manifest d in the repository of r, at most MaxManifest bytes.
	Manifest(ctx context.Context, r Reference, d Digest) (Manifest, error)
	// Blob streams the blob d from byte offset on. The reader fails with ErrDigestMismatch at its end when
	// the bytes are not d's; that is checked for offset 0 only.
	Blob(ctx context.Context, r Reference, d Digest, offset int64) (io.ReadCloser, error)
	// Referrers lists what refers to d: the referrers API of OCI 1.1 or its fallback tag. Legacy cosign tags
	// are not among them: they are tags, read with Tagged.
	Referrers(ctx context.Context, r Reference, d Digest) ([]Descriptor, error)
	// Tagged reads the manifest that the tag of r names, by one GET; its digest is that of its bytes.
	Tagged(ctx context.Context, r Reference) (Manifest, error)
	// Resolve asks what the tag of r points to, by one HEAD.
	Resolve(ctx context.Context, r Reference) (Descriptor, error)
}

// Manifest is a manifest or an index as it lies in a registry: its exact bytes and their descriptor.
type Manifest struct {
	Descriptor Descriptor
	Body       []byte
}

// NewManifest gives the manifest with the given bytes; its digest and size are computed.
func NewManifest(mediaType string, body []byte) Manifest {
	return Manifest{Body: body, Descriptor: Descriptor{
		MediaType: NewMediaType(mediaType), Digest: DigestOf(body), Size: int64(len(body))}}
}

// Parts are what a manifest points to. Manifests are the children of an index, Blobs the config and the
// layers of an image or artifact; Subject is what a referrer refers to.
type Parts struct {
	MediaType    string
	ArtifactType string
	Manifests    []Descriptor
	Config       *Descriptor
	Layers       []Descriptor
	Subject      *Descriptor
	Annotations  map[string]string
}

// Blobs lists config and layers, each digest once.
func (p Parts) Blobs() []Descriptor {
	var all []Descriptor
	seen := map[Digest]bool{}
	add := func(d Descriptor) {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			all = append(all, d)
		}
	}
	if p.Config != nil {
		add(*p.Config)
	}
	for _, l := range p.Layers {
		add(l)
	}
	return all
}

// Parts reads the manifest's bytes: OCI image manifest and index, Docker schema 2 manifest and list.
func (m Manifest) Parts() (Parts, error) {
	var raw struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		ArtifactType  string            `json:"artifactType"`
		Manifests     []Descriptor      `json:"manifests"`
		Config        *Descriptor       `json:"config"`
		Layers        []Descriptor      `json:"layers"`
		Subject       *Descriptor       `json:"subject"`
		Annotations   map[string]string `json:"annotations"`
	}
	if err := CheckValues(m.Body); err != nil {
		return Parts{}, fmt.Errorf("manifest %s: %w", m.Descriptor.Digest, err)
	}
	if err := json.NewDecoder(bytes.NewReader(m.Body)).Decode(&raw); err != nil {
		return Parts{}, fmt.Errorf("manifest %s: %w", m.Descriptor.Digest, err)
	}
	if raw.SchemaVersion != 2 {
		return Parts{}, fmt.Errorf("manifest %s: schema version %d is not supported", m.Descriptor.Digest, raw.SchemaVersion)
	}
	p := Parts{MediaType: raw.MediaType, ArtifactType: raw.ArtifactType, Manifests: raw.Manifests,
		Config: raw.Config, Layers: raw.Layers, Subject: raw.Subject, Annotations: raw.Annotations}
	if p.MediaType == "" {
		p.MediaType = string(m.Descriptor.MediaType)
	}
	for _, d := range append(p.Blobs(), p.Manifests...) {
		if _, err := ParseDigest(d.Digest.String()); err != nil || d.Size < 0 {
			return Parts{}, fmt.Errorf("manifest %s: descriptor with digest %q and size %d", m.Descriptor.Digest, d.Digest, d.Size)
		}
	}
	return p, nil
}
