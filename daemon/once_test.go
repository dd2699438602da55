package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// shelf is content that counts how often it is asked.
type shelf struct {
	asked map[string]int
	blobs map[mirror.Digest][]byte
	err   error
}

func (s shelf) Manifest(_ context.Context, _ mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	s.asked["manifest"]++
	return mirror.NewManifest("x", s.blobs[d]), s.err
}

func (s shelf) Blob(_ context.Context, _ mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	s.asked["blob"]++
	return io.NopCloser(bytes.NewReader(s.blobs[d][offset:])), s.err
}

func (s shelf) Referrers(context.Context, mirror.Reference, mirror.Digest) ([]mirror.Descriptor, error) {
	s.asked["referrers"]++
	return nil, s.err
}

func (s shelf) Tagged(context.Context, mirror.Reference) (mirror.Manifest, error) {
	s.asked["tagged"]++
	return mirror.Manifest{}, s.err
}

func (s shelf) Resolve(context.Context, mirror.Reference) (mirror.Descriptor, error) {
	s.asked["resolve"]++
	return mirror.Descriptor{}, s.err
}

func TestReadOnce_AsksOnceAndForgetsTrouble(t *testing.T) {
	small, large := []byte("a signature"), bytes.Repeat([]byte("x"), maxOnce+10)
	ref := mirror.Reference{Host: "r.example", Repository: "a"}
	for _, tt := range []struct {
		name        string
		err         error
		body        []byte
		want, blobs int // requests of each kind
	}{
		{"what is there", nil, small, 1, 1},
		{"what is not there", mirror.ErrNotFound, small, 1, 2},
		{"trouble", errors.New("connection reset"), small, 2, 2},
		{"a large blob", nil, large, 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := mirror.DigestOf(tt.body)
			s := shelf{map[string]int{}, map[mirror.Digest][]byte{d: tt.body}, tt.err}
			c := readOnce(s)
			for range 2 {
				_, err := c.Manifest(t.Context(), ref, d)
				_, errReferrers := c.Referrers(t.Context(), ref, d)
				_, errTagged := c.Tagged(t.Context(), ref)
				_, errResolve := c.Resolve(t.Context(), ref)
				for _, err := range []error{err, errReferrers, errTagged, errResolve} {
					if !errors.Is(err, tt.err) {
						t.Errorf("got %v, want %v", err, tt.err)
					}
				}
				body, err := c.Blob(t.Context(), ref, d, 0)
				if !errors.Is(err, tt.err) {
					t.Fatalf("blob: %v", err)
				}
				if err != nil {
					continue
				}
				if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, tt.body) || body.Close() != nil {
					t.Errorf("blob: %d bytes of %d, %v", len(got), len(tt.body), err)
				}
			}
			for _, kind := range []string{"manifest", "referrers", "tagged", "resolve"} {
				if s.asked[kind] != tt.want {
					t.Errorf("%s: asked %d times, want %d", kind, s.asked[kind], tt.want)
				}
			}
			if s.asked["blob"] != tt.blobs {
				t.Errorf("blob: asked %d times, want %d", s.asked["blob"], tt.blobs)
			}
		})
	}
	if readOnce(nil) != nil {
		t.Error("nobody to ask became somebody")
	}
}
