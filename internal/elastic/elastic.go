// Package elastic is the Elastic package as a thing: the zip with its manifest, what can be wrong with it, the facts that
// are kept of it, and the OCI artifact that it lies in.
//
// It promises that no byte of a zip is ever unpacked to disk, that reading one is bounded whatever it says of itself, and
// that the same bytes give the same artifact with every release of ours: facts are what the package's own documents say,
// word for word; what is made of them for Kibana is made when it is asked for (internal/epr). It opens no connection, and
// who signed a package is policy's matter.
package elastic

import (
	"io"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Facts are what is kept of a package as the config of its artifact.
type Facts struct {
	Format int `json:"format"` // of this document: 1
	mirror.Package
	// Documents are the manifests of the package and of its data streams, and what else answers to Kibana are made of, by
	// path below the root directory, byte for byte.
	Documents map[string]string `json:"documents"`
	// Files are all files of the package, sorted by path.
	Files []File `json:"files"`
}

// File is one file of a package.
type File struct {
	Path string `json:"path"` // below the root directory
	Size int64  `json:"size"` // bytes, unpacked
}

// Check reads a zip of size bytes without unpacking it to disk, and gives its facts. What is wrong with it is a
// mirror.Problem: it is no package, it is not want, it is malformed or a danger.
func Check(zip io.ReaderAt, size int64, want mirror.Package) (Facts, error) {
	panic("not written yet")
}
