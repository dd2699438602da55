package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	titleKey    = "org.opencontainers.image.title"
	createdKey  = "org.opencontainers.image.created"
	noTime      = "1970-01-01T00:00:00Z" // when it was packed is nobody's fact: the same bytes have the same digest
)

// Layers are the parts of a package's artifact.
type Layers struct {
	Facts     mirror.Descriptor `json:"facts"`
	Zip       mirror.Descriptor `json:"zip"`
	Signature mirror.Descriptor `json:"signature,omitzero"` // zero where the package has none
}

// manifest is an OCI image manifest as Pack writes it. Source: opencontainers/image-spec : manifest.md, "Guidelines for
// Artifact Usage".
type manifest struct {
	SchemaVersion int                 `json:"schemaVersion"`
	MediaType     string              `json:"mediaType"`
	ArtifactType  string              `json:"artifactType"`
	Config        mirror.Descriptor   `json:"config"`
	Layers        []mirror.Descriptor `json:"layers"`
	Annotations   map[string]string   `json:"annotations"`
}

// Pack gives the artifact of a package below a repository, which is named without tag and digest: the same for the same
// bytes, whenever and wherever it is made. Its blobs are facts and signature; the zip stays where it lies. A nil signature
// is of a package that has none.
func Pack(repository mirror.Reference, zip mirror.Descriptor, signature []byte, f Facts) mirror.Artifact {
	facts := f.encode()
	a := mirror.Artifact{Blobs: map[mirror.Digest][]byte{mirror.DigestOf(facts): facts}}
	layers := []mirror.Descriptor{layer(mirror.PackageZip, zip.Digest, zip.Size, f.String()+".zip")}
	if signature != nil {
		d := mirror.DigestOf(signature)
		a.Blobs[d] = signature
		layers = append(layers, layer(mirror.PackageSignature, d, int64(len(signature)), f.String()+".zip.sig"))
	}
	body, err := json.Marshal(manifest{2, ociManifest, mirror.PackageArtifact,
		mirror.Descriptor{MediaType: mirror.NewMediaType(mirror.PackageFacts), Digest: mirror.DigestOf(facts), Size: int64(len(facts))},
		layers, map[string]string{titleKey: f.String(), createdKey: noTime}})
	if err != nil {
		panic("elastic: a manifest cannot be written: " + err.Error()) // strings and numbers only
	}
	a.Manifest = mirror.NewManifest(ociManifest, body)
	a.Image = mirror.Reference{Host: repository.Host, Repository: repository.Repository, Tag: f.Tag(), Digest: a.Manifest.Descriptor.Digest}
	return a
}

func layer(mediaType string, d mirror.Digest, size int64, title string) mirror.Descriptor {
	return mirror.Descriptor{MediaType: mirror.NewMediaType(mediaType), Digest: d, Size: size, Annotations: map[string]string{titleKey: title}}
}

// Open reads the manifest of a package's artifact; any other manifest is an error.
func Open(m mirror.Manifest) (Layers, error) {
	parts, err := m.Parts()
	if err != nil {
		return Layers{}, err
	}
	fail := func(format string, args ...any) (Layers, error) {
		return Layers{}, fmt.Errorf("manifest %s is of no package: %w", m.Descriptor.Digest, fmt.Errorf(format, args...))
	}
	switch {
	case parts.ArtifactType != mirror.PackageArtifact:
		return fail("its type is %q", mirror.OneLine(parts.ArtifactType))
	case parts.Config == nil || parts.Config.MediaType != mirror.NewMediaType(mirror.PackageFacts):
		return fail("it has no facts")
	case parts.Config.Size > MaxFacts:
		return fail("facts of %d bytes: %w", parts.Config.Size, mirror.ErrTooLarge)
	case len(parts.Layers) < 1 || len(parts.Layers) > 2:
		return fail("it has %d layers", len(parts.Layers))
	case parts.Layers[0].MediaType != mirror.NewMediaType(mirror.PackageZip):
		return fail("its first layer is no zip")
	case parts.Layers[0].Size > MaxZip:
		return fail("a zip of %d bytes: %w", parts.Layers[0].Size, mirror.ErrTooLarge)
	}
	l := Layers{Facts: *parts.Config, Zip: parts.Layers[0]}
	if len(parts.Layers) == 2 {
		l.Signature = parts.Layers[1]
		if l.Signature.MediaType != mirror.NewMediaType(mirror.PackageSignature) || l.Signature.Size > MaxSignature {
			return fail("its second layer is no signature")
		}
	}
	return l, nil
}

// Read reads the facts of a package that lies in a repository, by manifest and config.
func Read(ctx context.Context, c mirror.Content, r mirror.Reference) (Facts, Layers, error) {
	m, err := c.Manifest(ctx, r, r.Digest)
	if err != nil {
		return Facts{}, Layers{}, fmt.Errorf("package %s: %w", r, err)
	}
	layers, err := Open(m)
	if err != nil {
		return Facts{}, Layers{}, fmt.Errorf("package %s: %w", r, err)
	}
	f, err := readFacts(ctx, c, r, layers.Facts)
	if err != nil {
		return Facts{}, Layers{}, fmt.Errorf("package %s: facts: %w", r, err)
	}
	return f, layers, nil
}

func readFacts(ctx context.Context, c mirror.Content, r mirror.Reference, d mirror.Descriptor) (Facts, error) {
	blob, err := c.Blob(ctx, r, d.Digest, 0)
	if err != nil {
		return Facts{}, err
	}
	defer blob.Close()
	body, err := io.ReadAll(io.LimitReader(blob, MaxFacts+1))
	switch {
	case err != nil:
		return Facts{}, err
	case len(body) > MaxFacts:
		return Facts{}, mirror.ErrTooLarge
	}
	return decodeFacts(body)
}

// decodeFacts reads what Pack stored. Fields that a newer release added are passed over; another format is an error.
func decodeFacts(body []byte) (Facts, error) {
	var f Facts
	if err := json.Unmarshal(body, &f); err != nil {
		return Facts{}, err
	}
	if f.Format != 1 {
		return Facts{}, fmt.Errorf("format %d is not read by this Poundlock", f.Format)
	}
	if len(f.Files) > MaxEntries || len(f.Folders) > MaxEntries {
		return Facts{}, fmt.Errorf("%d files: %w", len(f.Files)+len(f.Folders), mirror.ErrTooLarge)
	}
	for name, text := range f.Documents {
		if len(text) > maxDocument {
			return Facts{}, fmt.Errorf("%q has %d bytes: %w", cut(name), len(text), mirror.ErrTooLarge)
		}
	}
	p, err := mirror.NewPackage(f.Name, f.Version)
	if err != nil {
		return Facts{}, err
	}
	said, err := Identify([]byte(f.Documents[manifestFile]))
	switch {
	case err != nil:
		return Facts{}, fmt.Errorf("%s: %w", manifestFile, err)
	case said != p:
		return Facts{}, fmt.Errorf("they are of %s, their %s says %s", p, manifestFile, said)
	}
	return f, nil
}

// PackHere is Pack for a zip in memory, which is among the artifact's blobs.
func PackHere(repository mirror.Reference, zip, signature []byte, f Facts) mirror.Artifact {
	d := mirror.DigestOf(zip)
	a := Pack(repository, mirror.Descriptor{Digest: d, Size: int64(len(zip))}, signature, f)
	a.Blobs[d] = zip
	return a
}
