package daemon

import (
	"context"
	"errors"
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
)

// once is content whose tags and lists are asked for once, however many policies are judged by it; what is read by
// digest, policy.Cached keeps already. That something is not there is remembered too; trouble is not.
type once struct {
	mirror.Content

	mu   sync.Mutex
	read map[string]any // by what was asked; an error is one that stays
}

func readOnce(from mirror.Content) mirror.Content {
	if from == nil {
		return nil // nobody may be asked
	}
	return &once{Content: from, read: map[string]any{}}
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

// Referrers lists what refers to a digest.
func (o *once) Referrers(ctx context.Context, r mirror.Reference, d mirror.Digest) ([]mirror.Descriptor, error) {
	return first(o, "referrers "+r.AtDigest(d).String(), func() ([]mirror.Descriptor, error) { return o.Content.Referrers(ctx, r, d) })
}

// Tagged reads the manifest that a tag names.
func (o *once) Tagged(ctx context.Context, r mirror.Reference) (mirror.Manifest, error) {
	return first(o, "tagged "+r.String(), func() (mirror.Manifest, error) { return o.Content.Tagged(ctx, r) })
}

// Resolve asks what a tag names.
func (o *once) Resolve(ctx context.Context, r mirror.Reference) (mirror.Descriptor, error) {
	return first(o, "resolve "+r.String(), func() (mirror.Descriptor, error) { return o.Content.Resolve(ctx, r) })
}
