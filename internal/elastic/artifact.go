package elastic

import (
	"context"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Layers are the parts of a package's artifact.
type Layers struct {
	Facts     mirror.Descriptor
	Zip       mirror.Descriptor
	Signature mirror.Descriptor // zero where the package has none
}

// Pack gives the artifact of a package below a repository, which is named without tag and digest: the same for the same
// bytes, whenever and wherever it is made. Its blobs are facts and signature; the zip stays where it lies. A nil signature
// is of a package that has none.
func Pack(repository mirror.Reference, zip mirror.Descriptor, signature []byte, f Facts) mirror.Artifact {
	panic("not written yet")
}

// Open reads the manifest of a package's artifact; any other manifest is an error.
func Open(m mirror.Manifest) (Layers, error) { panic("not written yet") }

// Read reads the facts of a package that lies in a repository, by manifest and config.
func Read(ctx context.Context, c mirror.Content, r mirror.Reference) (Facts, Layers, error) {
	panic("not written yet")
}
