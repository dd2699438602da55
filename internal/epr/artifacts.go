package epr

import (
	"context"
	"fmt"
	"net/http"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// maxArtifacts is how many bytes of artifacts are kept, about; artifactWeight those of one.
const (
	maxArtifacts   = 16 << 20
	artifactWeight = 800
)

// titleKey is where the artifact of a package says which one it is. Source: opencontainers/image-spec : annotations.md.
const titleKey = "org.opencontainers.image.title"

// artifactKey names the artifact of a package in a repository.
type artifactKey struct {
	repository string
	digest     mirror.Digest
}

// whole is find for what gives out bytes of a package. What the index of the channel says of its layers must be what its
// artifact says, which was judged: the index lies where others may be able to write, and what it names is read with our rights.
func (f *face) whole(w http.ResponseWriter, r *http.Request, parts []string, missing string) *version {
	v := f.find(w, parts, missing)
	if v == nil {
		return nil
	}
	if err := f.agrees(r.Context(), v); err != nil {
		f.fail(w, r, err)
		return nil
	}
	return v
}

// agrees says why the layers of a version are not those of its artifact. It asks once for each artifact.
func (f *face) agrees(ctx context.Context, v *version) error {
	key := artifactKey{v.Local.Name(), v.Local.Digest}
	layers, known := f.artifacts.get(key)
	if !known {
		m, err := f.content.Manifest(ctx, v.Local, v.Local.Digest)
		if err != nil {
			return fmt.Errorf("artifact of %s: %w", v.Package, err)
		}
		if layers, err = elastic.Open(m); err != nil {
			return fmt.Errorf("artifact of %s: %w", v.Package, err)
		}
		f.artifacts.add(key, layers, artifactWeight)
	}
	for _, pair := range [][2]mirror.Descriptor{{layers.Facts, v.Layers.Facts}, {layers.Zip, v.Layers.Zip}, {layers.Signature, v.Layers.Signature}} {
		if pair[0].Digest != pair[1].Digest || pair[0].Size != pair[1].Size {
			return fmt.Errorf("%w: the channel says of %s that its parts are others than its artifact %s names", ErrMalformed, v.Package, v.Local.Digest)
		}
	}
	if layers.Zip.Annotations[titleKey] != v.Package.String()+".zip" {
		return fmt.Errorf("%w: the channel names the artifact %s for %s, which it is not of", ErrMalformed, v.Local.Digest, v.Package)
	}
	return nil
}
