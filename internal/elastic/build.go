package elastic

import (
	"io"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Build packs the files below a folder as a package. The same files give the same bytes. What is wrong with them is told in
// one pass, each at its file.
func Build(files mirror.Files, dir string) (zip []byte, p mirror.Package, ps mirror.Problems) {
	panic("not written yet")
}

// Signer signs packages with an OpenPGP key.
type Signer struct{}

// NewSigner reads an armored private key; passphrase is empty for one that has none.
func NewSigner(armored, passphrase []byte) (Signer, error) { panic("not written yet") }

// Sign gives the armored detached signature of a zip: the same for the same bytes and key.
func (s Signer) Sign(zip io.Reader) ([]byte, error) { panic("not written yet") }
