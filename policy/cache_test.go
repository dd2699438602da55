package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// shelf is content that counts how often it is read.
type shelf struct {
	mu    sync.Mutex
	blobs map[mirror.Digest][]byte
	reads int
}

func (s *shelf) Blob(_ context.Context, _ mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	body, ok := s.blobs[d]
	if !ok {
		return nil, mirror.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(body[offset:])), nil
}

func (s *shelf) Manifest(ctx context.Context, r mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	b, err := s.Blob(ctx, r, d, 0)
	if err != nil {
		return mirror.Manifest{}, err
	}
	body, err := io.ReadAll(b)
	return mirror.Manifest{Body: body, Descriptor: mirror.Descriptor{Digest: d}}, err
}

func (s *shelf) Tagged(context.Context, mirror.Reference) (mirror.Manifest, error) {
	return mirror.Manifest{}, mirror.ErrNotFound
}

func (s *shelf) Resolve(context.Context, mirror.Reference) (mirror.Descriptor, error) {
	return mirror.Descriptor{}, mirror.ErrNotFound
}

func (s *shelf) Referrers(context.Context, mirror.Reference, mirror.Digest) ([]mirror.Descriptor, error) {
	return nil, nil
}

func (s *shelf) add(body []byte) mirror.Digest {
	d := mirror.DigestOf(body)
	s.blobs[d] = body
	return d
}

func read(t *testing.T, c mirror.Content, r mirror.Reference, d mirror.Digest, offset int64) []byte {
	t.Helper()
	b, err := c.Blob(t.Context(), r, d, offset)
	if err != nil {
		t.Error(err)
		return nil
	}
	body, err := io.ReadAll(b)
	if err := errors.Join(err, b.Close()); err != nil {
		t.Error(err)
	}
	return body
}

func TestCache_KeepsSmallThingsOfEachRepositoryWithinItsBytes(t *testing.T) {
	s := &shelf{blobs: map[mirror.Digest][]byte{}}
	small, large := s.add([]byte("small")), s.add(bytes.Repeat([]byte("x"), cacheBlob+10))
	c := newCache(s, 100)
	for _, step := range []struct {
		name string
		r    mirror.Reference
		d    mirror.Digest
		from int64
		want int // reads below it
	}{
		{"first", judgee, small, 0, 1}, {"again", judgee, small, 0, 0}, {"a part", judgee, small, 2, 0},
		{"another repository", mirror.Reference{Host: "quay.io", Repository: "x"}, small, 0, 1},
		{"large", judgee, large, 0, 1}, {"large again", judgee, large, 0, 1}, {"a part that is not known", judgee, large, 5, 1},
	} {
		s.reads = 0
		if got := read(t, c, step.r, step.d, step.from); !bytes.Equal(got, s.blobs[step.d][step.from:]) || s.reads != step.want {
			t.Errorf("%s: %d bytes after %d reads, want %d bytes after %d", step.name, len(got), s.reads, len(s.blobs[step.d]), step.want)
		}
	}
	for i := range 20 {
		read(t, c, judgee, s.add(fmt.Appendf(nil, "%20d", i)), 0)
	}
	if c.size > 100 || c.size == 0 || len(c.known) != c.order.Len() {
		t.Errorf("it holds %d bytes in %d and %d places, want at most 100", c.size, len(c.known), c.order.Len())
	}
	if s.reads = 0; len(read(t, c, judgee, small, 0)) != 5 || s.reads != 1 {
		t.Error("what was used longest ago is still there")
	}
}

func TestCache_KeepsNothingThatIsNotWhatItSays(t *testing.T) {
	s := &shelf{blobs: map[mirror.Digest][]byte{}}
	d := mirror.DigestOf([]byte("honest"))
	s.blobs[d] = []byte("forged")
	c := newCache(s, 1000)
	read(t, c, judgee, d, 0)
	if _, err := c.Manifest(t.Context(), judgee, d); err != nil || len(c.known) != 0 {
		t.Errorf("got %v and %d memories, want none", err, len(c.known))
	}
	if _, err := c.Manifest(t.Context(), judgee, mirror.DigestOf(nil)); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestCache_IsForManyAtOnce(t *testing.T) {
	s := &shelf{blobs: map[mirror.Digest][]byte{}}
	var all []mirror.Digest
	for i := range 10 {
		all = append(all, s.add(fmt.Appendf(nil, "%20d", i)))
	}
	c := Cached(s)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, d := range all {
				if got := read(t, c, judgee, d, 0); mirror.DigestOf(got) != d {
					t.Errorf("got %q", got)
				}
			}
		})
	}
	wg.Wait()
}
