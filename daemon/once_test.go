package daemon

import (
	"context"
	"errors"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// shelf is content that counts how often it is asked for tags and lists.
type shelf struct {
	mirror.Content
	asked map[string]int
	err   error
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
	ref := mirror.Reference{Host: "r.example", Repository: "a"}
	for _, tt := range []struct {
		name string
		err  error
		want int // requests of each kind
	}{
		{"what is there", nil, 1},
		{"what is not there", mirror.ErrNotFound, 1},
		{"trouble", errors.New("connection reset"), 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := shelf{asked: map[string]int{}, err: tt.err}
			c := readOnce(s)
			for range 2 {
				_, errReferrers := c.Referrers(t.Context(), ref, mirror.DigestOf(nil))
				_, errTagged := c.Tagged(t.Context(), ref)
				_, errResolve := c.Resolve(t.Context(), ref)
				for _, err := range []error{errReferrers, errTagged, errResolve} {
					if !errors.Is(err, tt.err) {
						t.Errorf("got %v, want %v", err, tt.err)
					}
				}
			}
			for _, kind := range []string{"referrers", "tagged", "resolve"} {
				if s.asked[kind] != tt.want {
					t.Errorf("%s: asked %d times, want %d", kind, s.asked[kind], tt.want)
				}
			}
		})
	}
	if readOnce(nil) != nil {
		t.Error("nobody to ask became somebody")
	}
}
