package git

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/diff"
	lines "github.com/go-git/go-git/v5/utils/diff"
)

const (
	unifiedContext = 2               // lines around a change
	unifiedWithin  = 2 * time.Second // after which a difference is told as a whole file that goes and one that comes
)

// Unified gives what makes new of old as a unified diff, as patch reads it, without the lines that name the file; ""
// where they are alike. nil stands for a file that is not there.
func Unified(old, new []byte) (string, error) {
	var b strings.Builder
	if err := diff.NewUnifiedEncoder(&b, unifiedContext).Encode(textPatch{string(old), string(new)}); err != nil {
		return "", fmt.Errorf("compare: %w", err)
	}
	_, hunks, changed := strings.Cut(b.String(), "\n@@ ")
	if !changed {
		return "", nil
	}
	return "@@ " + hunks, nil
}

// textPatch is a change of one text, in the words of the encoder.
type textPatch struct{ old, new string }

func (p textPatch) FilePatches() []diff.FilePatch { return []diff.FilePatch{p} }
func (textPatch) Message() string                 { return "" }
func (textPatch) IsBinary() bool                  { return false }

func (p textPatch) Files() (from, to diff.File) { return textFile(p.old), textFile(p.new) }

func (p textPatch) Chunks() []diff.Chunk {
	var all []diff.Chunk
	for _, d := range lines.DoWithTimeout(p.old, p.new, unifiedWithin) {
		c := textChunk{text: d.Text}
		switch { // by the sign of the operation
		case d.Type > 0:
			c.operation = diff.Add
		case d.Type < 0:
			c.operation = diff.Delete
		}
		all = append(all, c)
	}
	return all
}

type textFile string

func (f textFile) Hash() plumbing.Hash   { return plumbing.ComputeHash(plumbing.BlobObject, []byte(f)) }
func (textFile) Mode() filemode.FileMode { return filemode.Regular }
func (textFile) Path() string            { return "file" }

type textChunk struct {
	text      string
	operation diff.Operation
}

func (c textChunk) Content() string      { return c.text }
func (c textChunk) Type() diff.Operation { return c.operation }
