package sources

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// upstream answers what a tag points to and counts who asked.
type upstream struct {
	mu    sync.Mutex
	asked map[string]int
	tags  map[string]mirror.Digest
	err   error
}

func (u *upstream) Resolve(_ context.Context, r mirror.Reference) (mirror.Descriptor, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.asked == nil {
		u.asked = map[string]int{}
	}
	u.asked[r.String()]++
	d, ok := u.tags[r.String()]
	switch {
	case u.err != nil:
		return mirror.Descriptor{}, u.err
	case !ok:
		return mirror.Descriptor{}, fmt.Errorf("head: %w", mirror.ErrNotFound)
	}
	return mirror.Descriptor{Digest: d}, nil
}

func ref(t *testing.T, s string) mirror.Reference {
	t.Helper()
	r, err := mirror.ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var (
	oldDigest = mirror.DigestOf([]byte("old"))
	newDigest = mirror.DigestOf([]byte("new"))
)

func TestResolve_AsksOnlyWhatIsNotKnown(t *testing.T) {
	origin, before := mirror.DigestOf([]byte("this file")), mirror.DigestOf([]byte("file before"))
	tests := []struct {
		name   string
		image  string // of the entry
		stands string // at the first stage
		origin mirror.Digest
		follow bool
		fresh  bool
		asks   int
		want   mirror.Digest
	}{
		{name: "pinned", image: "nginx:1@" + oldDigest.String(), fresh: true, want: oldDigest},
		{name: "new tag", image: "nginx:1", asks: 1, want: newDigest},
		{name: "once: same file", image: "nginx:1", stands: "nginx:1", origin: origin, fresh: true, want: oldDigest},
		{name: "once: file changed", image: "nginx:1", stands: "nginx:1", origin: before, asks: 1, want: newDigest},
		{name: "once: tag changed", image: "nginx:1", stands: "nginx:0", origin: origin, asks: 1, want: newDigest},
		{name: "follow: schedule due", image: "nginx:1", stands: "nginx:1", origin: origin, follow: true, fresh: true, asks: 1, want: newDigest},
		{name: "follow: not due", image: "nginx:1", stands: "nginx:1", origin: before, follow: true, want: oldDigest},
		{name: "follow: not due, other tag", image: "nginx:1", stands: "nginx:0", follow: true, asks: 1, want: newDigest},
		{name: "follow: not due, other host", image: "nginx:1", stands: "ghcr.io/library/nginx:1", follow: true, asks: 1, want: newDigest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := mirror.Set{Name: "s", Stages: mirror.DefaultStages, Follow: tt.follow, Origin: origin,
				Entries: []mirror.Entry{{Name: "e", Image: ref(t, tt.image)}}}
			record := mirror.Record{Origin: tt.origin, Stages: map[mirror.Stage]mirror.Standing{}}
			if tt.stands != "" {
				record.Stages["snapshot"] = mirror.Standing{"e": {Image: ref(t, tt.stands).WithDigest(oldDigest)}}
			}
			u := &upstream{tags: map[string]mirror.Digest{"docker.io/library/nginx:1": newDigest}}
			got := Resolve(t.Context(), set, record, u, tt.fresh)
			if len(got) != 1 || got[0].Err != nil || got[0].Image.Digest != tt.want || len(u.asked) != tt.asks {
				t.Errorf("got %+v after %d requests, want %s after %d", got, len(u.asked), mirror.Short(tt.want), tt.asks)
			}
			if got[0].Image.Tag != "1" {
				t.Errorf("the tag is lost: %s", got[0].Image)
			}
		})
	}
}

func TestResolve_AsksTheSameReferenceOnceAndKeepsTheOrder(t *testing.T) {
	set := mirror.Set{Stages: mirror.DefaultStages}
	for i := range 60 {
		set.Entries = append(set.Entries, mirror.Entry{Name: fmt.Sprintf("e%02d", i), Image: ref(t, fmt.Sprintf("nginx:%d", i%3))})
	}
	u := &upstream{tags: map[string]mirror.Digest{"docker.io/library/nginx:0": oldDigest, "docker.io/library/nginx:1": newDigest}}
	got := Resolve(t.Context(), set, mirror.Record{}, u, true)
	for r, n := range u.asked {
		if n != 1 {
			t.Errorf("%s was asked %d times", r, n)
		}
	}
	for i, c := range got {
		if c.Entry.Name != set.Entries[i].Name || (c.Err != nil) != (i%3 == 2) || (i%3 == 2) != errors.Is(c.Err, mirror.ErrNotFound) {
			t.Errorf("%d: got %+v", i, c)
		}
	}
}

func TestResolve_OneFailureIsOneCandidate(t *testing.T) {
	set := mirror.Set{Stages: mirror.DefaultStages, Entries: []mirror.Entry{
		{Name: "a", Image: ref(t, "nginx:1")}, {Name: "b", Image: ref(t, "nginx:2@"+oldDigest.String())}}}
	broken := errors.New("no route")
	got := Resolve(t.Context(), set, mirror.Record{}, &upstream{err: broken}, true)
	if !errors.Is(got[0].Err, broken) || got[0].Image.HasDigest() || got[1].Err != nil {
		t.Errorf("got %+v", got)
	}
	got = Resolve(t.Context(), set, mirror.Record{}, &upstream{tags: map[string]mirror.Digest{"docker.io/library/nginx:1": {}}}, true)
	if got[0].Err == nil {
		t.Error("an answer without a digest was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	u := &upstream{}
	if got = Resolve(ctx, set, mirror.Record{}, u, true); !errors.Is(got[0].Err, context.Canceled) || len(u.asked) > 0 {
		t.Errorf("after the end of the context: got %v, %d requests", got[0].Err, len(u.asked))
	}
}
