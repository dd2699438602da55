package transfer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// elsewhere reads one repository, wherever it is said to be.
type elsewhere struct {
	mirror.Content
	at mirror.Reference
}

func (e elsewhere) in(r mirror.Reference) mirror.Reference {
	r.Host, r.Repository = e.at.Host, e.at.Repository
	return r
}

func (e elsewhere) Manifest(ctx context.Context, r mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	return e.Content.Manifest(ctx, e.in(r), d)
}

func (e elsewhere) Blob(ctx context.Context, r mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	return e.Content.Blob(ctx, e.in(r), d, offset)
}

func (e elsewhere) Referrers(ctx context.Context, r mirror.Reference, d mirror.Digest) ([]mirror.Descriptor, error) {
	return e.Content.Referrers(ctx, e.in(r), d)
}

func (e elsewhere) Tagged(ctx context.Context, r mirror.Reference) (mirror.Manifest, error) {
	return e.Content.Tagged(ctx, e.in(r))
}

func (e elsewhere) Resolve(ctx context.Context, r mirror.Reference) (mirror.Descriptor, error) {
	return e.Content.Resolve(ctx, e.in(r))
}

func TestAttach_JoinsWhatIsThereAndDetachTakesItAway(t *testing.T) {
	for _, api := range []bool{false, true} {
		t.Run(fmt.Sprintf("referrers API %v", api), func(t *testing.T) {
			w := newWorld(t)
			host, proxy := w.local.Host(), w.local.Proxy()
			if api {
				p, server := withReferrersAPI(t)
				host, proxy = server.Host(), p
				w.client = newClient(t, w.up.URL(), server.URL())
			}
			// The image comes with a signature in both forms; another one is made after that.
			image := w.push(t, "app", "1", testenv.Image("app"))
			w.signLegacy(t, image, image.Digest)
			w.signBundle(t, image, image.Digest)
			mover := w.mover(t)
			copied(t, mover, newJob(t, w.client, image, host))
			to := mirror.Reference{Host: host, Repository: "mirror/app", Digest: image.Digest}
			before := w.referrersAt(t, to, image.Digest)
			made := w.push(t, "made", "1", testenv.Image("app"))
			w.signLegacy(t, made, made.Digest)
			w.signBundle(t, made, made.Digest)
			ours := w.referrersAt(t, made, made.Digest)
			content := elsewhere{w.client, made}

			for range 2 { // the second time as after a crash before it was noted
				if err := mover.Attach(t.Context(), content, to); err != nil {
					t.Fatal(err)
				}
				if got, want := w.referrersAt(t, to, image.Digest), slices.Sorted(slices.Values(append(slices.Clone(before), ours...))); !slices.Equal(got, want) {
					t.Errorf("got referrers %v, want %v", got, want)
				}
				m, err := w.client.Manifest(t.Context(), to, w.tagged(t, host, to.Repository, sigTag(image.Digest)).Digest)
				if err != nil {
					t.Fatal(err)
				}
				if parts, err := m.Parts(); err != nil || len(parts.Layers) != 2 {
					t.Errorf("under the legacy tag %d signatures, %v; want both", len(parts.Layers), err)
				}
			}
			proxy.Reset()
			if err := mover.Attach(t.Context(), content, to); err != nil || proxy.Counts().Writes() != 0 {
				t.Errorf("what is there was written again: %v, %v", err, proxy.Counts().Requests)
			}

			gone, err := mirror.ParseDigest(ours[0])
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := mover.Detach(t.Context(), to, []mirror.Digest{gone}, w.client.Delete); err != nil {
					t.Fatal(err)
				}
				if got := w.referrersAt(t, to, image.Digest); !slices.Equal(got, before) {
					t.Errorf("got referrers %v, want %v", got, before)
				}
			}
			if _, err := w.client.Manifest(t.Context(), to, gone); err == nil {
				t.Error("its manifest is still there")
			}
			if err := mover.Detach(t.Context(), to, []mirror.Digest{image.Digest}, func(context.Context, mirror.Reference) error { return http.ErrNotSupported }); err == nil || !strings.Contains(err.Error(), "detach") {
				t.Errorf("a registry that deletes nothing is not told: %v", err)
			}
		})
	}
}
