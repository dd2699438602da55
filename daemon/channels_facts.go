package daemon

import (
	"context"
	"errors"
	"io"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
)

// bucketFacts holds the digests of artifacts whose facts were read from the zip in them, by us.
var bucketFacts = []byte("facts")

// FactsRead says whether we know that the facts of an artifact are those of its zip.
func (s *State) FactsRead(artifact mirror.Digest) bool {
	_, known := s.get(bucketFacts, artifact.String())
	return known
}

// ReadFacts remembers that the facts of an artifact are those of its zip.
func (s *State) ReadFacts(artifact mirror.Digest) error {
	if s.FactsRead(artifact) {
		return nil
	}
	return s.put(bucketFacts, map[string]string{artifact.String(): ""})
}

// factsOf says why the facts in the artifact of a package are not those of its zip. A signature is over the zip alone: what
// Kibana is told of a package is believed of what we packed, and of anything else its zip is asked once.
func (l *Line) factsOf(ctx context.Context, s epr.Standing, facts elastic.Facts, layers elastic.Layers) error {
	if l.state.FactsRead(s.Local.Digest) {
		return nil
	}
	zip := &farBlob{ctx: ctx, content: l.registry, at: s.Local, is: layers.Zip}
	if err := facts.Of(zip, layers.Zip.Size); err != nil {
		return err
	}
	return l.state.ReadFacts(s.Local.Digest)
}

// farBlob reads parts of a blob. It holds the part that it read last: a directory is read piece by piece.
type farBlob struct {
	ctx     context.Context
	content mirror.Content
	at      mirror.Reference
	is      mirror.Descriptor
	start   int64
	data    []byte
}

const farPart = 128 << 10 // bytes of one request

// ReadAt reads from a part of the blob on.
func (b *farBlob) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		if at >= b.is.Size {
			return n, io.EOF
		}
		if at < b.start || at >= b.start+int64(len(b.data)) {
			if err := b.read(at); err != nil {
				return n, err
			}
		}
		n += copy(p[n:], b.data[at-b.start:])
	}
	return n, nil
}

func (b *farBlob) read(at int64) (err error) {
	body, err := b.content.Blob(b.ctx, b.at, b.is.Digest, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	data := make([]byte, min(farPart, b.is.Size-at))
	if _, err := io.ReadFull(body, data); err != nil {
		return err
	}
	b.start, b.data = at, data
	return nil
}
