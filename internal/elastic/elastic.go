// Package elastic is the Elastic package as a thing: the zip with its manifest, what can be wrong with it, the facts that
// are kept of it, and the OCI artifact that it lies in.
//
// It promises that no byte of a zip is ever unpacked to disk, that reading one is bounded whatever it says of itself, and
// that the same bytes give the same artifact with every release of ours: facts are what the package's own documents say,
// word for word; what is made of them for Kibana is made when it is asked for (internal/epr). It opens no connection, and
// who signed a package is policy's matter.
package elastic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Limits of one package. A larger one is refused, never read in part.
const (
	MaxZip       = 1 << 30  // bytes of a zip
	MaxUnpacked  = 2 << 30  // bytes of all its files
	MaxEntries   = 65_535   // files and folders
	MaxSignature = 16 << 10 // bytes of a detached signature
	MaxFacts     = 8 << 20  // bytes of the facts as JSON; the package of detection rules has 20,000 files
)

// Facts are what is kept of a package as the config of its artifact.
type Facts struct {
	Format int `json:"format"` // of this document: 1
	mirror.Package
	// Documents are what Kibana's answers are made of beside the list of files, byte for byte, by path below the root
	// directory: manifest.yml and every data_stream/<name>/manifest.yml. All other files, such as docs/README.md and icons,
	// are answered from the zip.
	Documents map[string]string `json:"documents"`
	// Files are all files of the package in the order of the zip: a package registry lists assets and data streams in that
	// order.
	Files []File `json:"files"`
	// Folders are the directories that have an entry of their own, in the order of the zip: many zips have none, and what a
	// package registry lists as assets ends at the first level of folders where it sees nothing.
	Folders []string `json:"folders,omitempty"`
}

// File is one file of a package.
type File struct {
	Path string `json:"path"` // below the root directory
	Size int64  `json:"size"` // bytes, unpacked
}

// Check reads a zip of size bytes without unpacking it to disk, and gives its facts. It reads every file once, so that what
// is damaged or larger than it says is found here. The zero value of want is any package. What is wrong with the package is a
// mirror.Problem, the first that is found; any other error says that the bytes could not be read.
func Check(zip io.ReaderAt, size int64, want mirror.Package) (Facts, error) {
	return (&checked{from: &source{ReaderAt: zip, left: maxDirectory}, want: want}).check(size)
}

// Of says why facts are not those of a zip of size bytes. It reads the directory of the zip and the documents, so it is for a
// zip that was checked before, and facts that somebody else may have written beside it. What differs is a mirror.Problem, as
// with Check.
func (f Facts) Of(zip io.ReaderAt, size int64) error {
	c := &checked{from: &source{ReaderAt: zip, left: maxDirectory}, want: f.Package, outline: true}
	facts, err := c.check(size)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(facts.encode(), f.encode()):
		return c.problem("PKG016", "ask who packed it, and fetch it again", "its facts are not those of its zip")
	}
	return nil
}

func (c *checked) check(size int64) (Facts, error) {
	c.facts = Facts{Format: 1, Documents: map[string]string{}}
	for _, step := range []func() error{
		func() error { return c.open(size) },
		c.readNames,
		c.readSizes,
		c.readRoot,
		c.readFiles,
		c.readManifest,
		c.measure,
	} {
		if err := step(); err != nil {
			if c.from.err != nil {
				return Facts{}, fmt.Errorf("read package %s: %w", c.name(), c.from.err)
			}
			return Facts{}, err
		}
	}
	return c.facts, nil
}

// encode gives the facts as they are stored: the same bytes for the same package.
func (f Facts) encode() []byte {
	body, err := json.Marshal(f)
	if err != nil {
		panic("elastic: facts cannot be written: " + err.Error()) // strings and numbers only
	}
	return body
}

// measure refuses what Read would refuse later.
func (c *checked) measure() error {
	if n := len(c.facts.encode()); n > MaxFacts {
		return c.problem("PKG010", "split the package", "its manifests and the list of its files have %d MiB, more than %d", n>>20, MaxFacts>>20)
	}
	return nil
}
