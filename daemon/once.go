package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
)

// once is content that is read from its registry once, however many policies are judged by it: manifests, tags,
// lists, and blobs as small as signatures are. That something is not there is remembered too; trouble is not.
type once struct {
	from mirror.Content

	mu   sync.Mutex
	read map[string]any // by what was asked; an error is one that stays
}

// maxOnce is the size in bytes up to which a blob is kept.
const maxOnce = 1 << 20

func readOnce(from mirror.Content) mirror.Content {
	if from == nil {
		return nil // nobody may be asked
	}
	return &once{from: from, read: map[string]any{}}
}

// first gives what is known of a question, or asks it.
func first[T any](o *once, question string, ask func() (T, error)) (T, error) {
	o.mu.Lock()
	known, ok := o.read[question]
	o.mu.Unlock()
	switch known := known.(type) {
	case error:
		var none T
		return none, known
	case T:
		if ok {
			return known, nil
		}
	}
	got, err := ask()
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil:
		o.read[question] = got
	case errors.Is(err, mirror.ErrNotFound):
		o.read[question] = err
	}
	return got, err
}

// Manifest reads a manifest.
func (o *once) Manifest(ctx context.Context, r mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	return first(o, "manifest "+r.AtDigest(d).String(), func() (mirror.Manifest, error) { return o.from.Manifest(ctx, r, d) })
}

// Referrers lists what refers to a digest.
func (o *once) Referrers(ctx context.Context, r mirror.Reference, d mirror.Digest) ([]mirror.Descriptor, error) {
	return first(o, "referrers "+r.AtDigest(d).String(), func() ([]mirror.Descriptor, error) { return o.from.Referrers(ctx, r, d) })
}

// Tagged reads the manifest that a tag names.
func (o *once) Tagged(ctx context.Context, r mirror.Reference) (mirror.Manifest, error) {
	return first(o, "tagged "+r.String(), func() (mirror.Manifest, error) { return o.from.Tagged(ctx, r) })
}

// Resolve asks what a tag names.
func (o *once) Resolve(ctx context.Context, r mirror.Reference) (mirror.Descriptor, error) {
	return first(o, "resolve "+r.String(), func() (mirror.Descriptor, error) { return o.from.Resolve(ctx, r) })
}

// Blob streams a blob; a small one is kept once it was read to its end, where its digest is checked.
func (o *once) Blob(ctx context.Context, r mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	question := "blob " + r.AtDigest(d).String()
	o.mu.Lock()
	known, ok := o.read[question].([]byte)
	o.mu.Unlock()
	if ok && offset == 0 {
		return io.NopCloser(bytes.NewReader(known)), nil
	}
	body, err := o.from.Blob(ctx, r, d, offset)
	if err != nil || offset != 0 {
		return body, err
	}
	head, err := io.ReadAll(io.LimitReader(body, maxOnce+1))
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	if len(head) > maxOnce {
		return joined{io.MultiReader(bytes.NewReader(head), body), body}, nil
	}
	if err := body.Close(); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.read[question] = head
	return io.NopCloser(bytes.NewReader(head)), nil
}

// joined reads what was read ahead and then the rest.
type joined struct {
	io.Reader
	io.Closer
}
