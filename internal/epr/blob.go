package epr

import (
	"context"
	"errors"
	"io"

	"github.com/poundlock/poundlock/internal/mirror"
)

// tries is how often reading may fail without a byte between: a registry that hiccups breaks no transfer.
const tries = 3

// blob reads a blob of a registry from wherever it is asked to, each part by one request.
type blob struct {
	ctx     context.Context
	content mirror.Content
	at      mirror.Reference
	is      mirror.Descriptor
	offset  int64
	body    io.ReadCloser
	failed  int   // times in a row
	err     error // why reading ended, where it was not the end
}

// Seek only notes the offset.
func (b *blob) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.offset
	case io.SeekEnd:
		offset += b.is.Size
	}
	if offset < 0 {
		return 0, errors.New("negative offset")
	}
	if offset != b.offset {
		b.Close()
	}
	b.offset = offset
	return offset, nil
}

// Read reads on. Bytes that turn out not to be the blob's never come to an end: the last of them are withheld.
func (b *blob) Read(p []byte) (int, error) {
	if b.offset >= b.is.Size {
		return 0, io.EOF
	}
	for {
		n, err := b.readOnce(p)
		if n > 0 || err == nil {
			b.offset, b.failed = b.offset+int64(n), 0
			return n, nil
		}
		b.Close()
		if b.failed++; b.failed >= tries || b.ctx.Err() != nil || errors.Is(err, mirror.ErrDigestMismatch) || errors.Is(err, mirror.ErrNotFound) {
			b.err = err
			return 0, err
		}
	}
}

func (b *blob) readOnce(p []byte) (n int, err error) {
	if b.body == nil {
		if b.body, err = b.content.Blob(b.ctx, b.at, b.is.Digest, b.offset); err != nil {
			b.body = nil
			return 0, err
		}
	}
	n, err = b.body.Read(p[:min(int64(len(p)), b.is.Size-b.offset)])
	if int64(n) == b.is.Size-b.offset && err == nil { // the digest is compared at the end
		var one [1]byte
		_, err = io.ReadFull(b.body, one[:])
	}
	switch {
	case errors.Is(err, mirror.ErrDigestMismatch):
		return 0, err
	case errors.Is(err, io.EOF) && n == 0:
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// Close ends the request that is open, if there is one.
func (b *blob) Close() {
	if b.body != nil {
		b.body.Close()
		b.body = nil
	}
}

// readAll gives n bytes of a blob from an offset on.
func readAll(ctx context.Context, c mirror.Content, at mirror.Reference, d mirror.Descriptor, offset, n int64) ([]byte, error) {
	b := &blob{ctx: ctx, content: c, at: at, is: d, offset: offset}
	defer b.Close()
	data := make([]byte, n)
	_, err := io.ReadFull(b, data)
	return data, err
}
