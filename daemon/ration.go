package daemon

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/poundlock/poundlock/internal/mirror"
)

// ration is how many entries that stand a step may still judge with requests. A changed policy, key or root would
// otherwise ask registries of thousands of images at once; nil is no bound.
type ration struct{ left atomic.Int64 }

// ration gives that of one step: trust.rejudging, or none for who wants to know of all that stands.
func (l *Line) ration(w Wake) *ration {
	if w.Whole {
		return nil
	}
	r := &ration{}
	r.left.Store(int64(l.config.Trust.Rejudging))
	return r
}

// of gives content that is read for one entry. The first request takes a share of the ration; where none is left,
// nothing is asked.
func (r *ration) of(c mirror.Content) mirror.Content {
	if r == nil || c == nil {
		return c
	}
	share := &share{from: c}
	share.take = sync.OnceValue(func() bool { return r.left.Add(-1) >= 0 })
	return share
}

// withheld says whether something was asked of content and not answered, since the ration was used up.
func withheld(c mirror.Content) bool {
	s, ok := c.(*share)
	return ok && s.denied.Load()
}

// share is the content of one entry that stands.
type share struct {
	from   mirror.Content // not embedded: what Content may be asked besides one day must not pass by
	take   func() bool
	denied atomic.Bool
}

var errLater = errors.New("enough was asked by this step")

func (s *share) granted() error {
	if s.take() {
		return nil
	}
	s.denied.Store(true)
	return errLater
}

func (s *share) Manifest(ctx context.Context, r mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	if err := s.granted(); err != nil {
		return mirror.Manifest{}, err
	}
	return s.from.Manifest(ctx, r, d)
}

func (s *share) Blob(ctx context.Context, r mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	if err := s.granted(); err != nil {
		return nil, err
	}
	return s.from.Blob(ctx, r, d, offset)
}

func (s *share) Referrers(ctx context.Context, r mirror.Reference, d mirror.Digest) ([]mirror.Descriptor, error) {
	if err := s.granted(); err != nil {
		return nil, err
	}
	return s.from.Referrers(ctx, r, d)
}

func (s *share) Resolve(ctx context.Context, r mirror.Reference) (mirror.Descriptor, error) {
	if err := s.granted(); err != nil {
		return mirror.Descriptor{}, err
	}
	return s.from.Resolve(ctx, r)
}

func (s *share) Tagged(ctx context.Context, r mirror.Reference) (mirror.Manifest, error) {
	if err := s.granted(); err != nil {
		return mirror.Manifest{}, err
	}
	return s.from.Tagged(ctx, r)
}
