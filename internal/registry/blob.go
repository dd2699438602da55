package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// HasBlob asks by one HEAD whether r's repository holds the blob.
func (c *Client) HasBlob(ctx context.Context, r mirror.Reference, d mirror.Digest) (bool, error) {
	q, err := c.blobRequest("head blob", http.MethodHead, r, d)
	if err != nil {
		return false, err
	}
	_, _, err = c.send(ctx, q)
	if errors.Is(err, mirror.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Blob streams the blob d of r's repository from byte offset on. From offset 0 the reader fails at its end
// with mirror.ErrDigestMismatch when the bytes are not d's; a resumed stream is checked by whoever holds
// the first part. A connection that breaks is a temporary *Error of Read.
func (c *Client) Blob(ctx context.Context, r mirror.Reference, d mirror.Digest, offset int64) (_ io.ReadCloser, err error) {
	defer func() { err = c.discreet(err) }()
	q, err := c.blobRequest("get blob", http.MethodGet, r, d)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		q.header = http.Header{"Range": {"bytes=" + strconv.FormatInt(offset, 10) + "-"}}
		q.success = []int{http.StatusOK, http.StatusPartialContent}
	}
	resp, err := c.do(ctx, q)
	if refused := (*Error)(nil); offset > 0 && errors.As(err, &refused) && refused.Status == http.StatusRequestedRangeNotSatisfiable {
		q.header = nil // some registries know no range without an end: the first part is passed over instead
		resp, err = c.do(ctx, q)
	}
	if err != nil {
		return nil, err
	}
	b := &blobReader{body: resp.Body, request: q}
	if offset == 0 {
		b.hash, b.want = sha256.New(), d
		return b, nil
	}
	if err := seek(resp, offset); err != nil {
		resp.Body.Close()
		return nil, q.fail(err)
	}
	return b, nil
}

// seek brings an answer to a ranged request to its offset: a server may ignore ranges and send everything,
// but must not send another part.
func seek(resp *http.Response, offset int64) error {
	if resp.StatusCode == http.StatusOK {
		_, err := io.CopyN(io.Discard, resp.Body, offset)
		return err
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) {
		return fmt.Errorf("asked for bytes from %d, answered with %q", offset, printable(resp.Header.Get("Content-Range")))
	}
	return nil
}

// blobReader hashes what passes and compares at the end. hash is nil for a part of a blob.
type blobReader struct {
	body    io.ReadCloser
	request request
	hash    hash.Hash
	want    mirror.Digest
}

func (b *blobReader) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if b.hash != nil {
		b.hash.Write(p[:n])
	}
	switch {
	case err == nil:
		return n, nil
	case err != io.EOF:
		return n, b.request.fail(err)
	case b.hash != nil && hex.EncodeToString(b.hash.Sum(nil)) != b.want.Hex:
		return n, fmt.Errorf("get blob %s: %w", b.request.ref, mirror.ErrDigestMismatch)
	}
	return n, io.EOF
}

func (b *blobReader) Close() error { return b.body.Close() }

func (c *Client) blobRequest(op, method string, r mirror.Reference, d mirror.Digest) (request, error) {
	if _, err := mirror.ParseDigest(d.String()); err != nil {
		return request{}, fmt.Errorf("%s of %s: %w", op, r.Name(), err)
	}
	u, err := c.address(r, "blobs/"+d.String())
	if err != nil {
		return request{}, fmt.Errorf("%s: %w", op, err)
	}
	return request{op: op, ref: r.AtDigest(d), method: method, url: u, success: []int{http.StatusOK}}, nil
}
