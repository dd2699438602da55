package transfer

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/poundlock/poundlock/internal/mirror"
	client "github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/testenv"
)

// withReferrersAPI serves an in-memory registry that has the referrers API and announces it by OCI-Subject,
// which distribution does neither.
func withReferrersAPI(t *testing.T) (*testenv.Proxy, *testenv.Server) {
	t.Helper()
	proxy := testenv.NewProxy(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	server, err := testenv.NewServer(proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return proxy, server
}

func newSigner(t *testing.T) *testenv.Signer {
	t.Helper()
	s, err := testenv.NewSigner("ed25519")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) signLegacy(t *testing.T, image mirror.Reference, d mirror.Digest) {
	t.Helper()
	if err := newSigner(t).SignLegacy(t.Context(), w.up.Back()+"/"+image.Repository, d); err != nil {
		t.Fatal(err)
	}
}

func (w *world) signBundle(t *testing.T, image mirror.Reference, d mirror.Digest) {
	t.Helper()
	if err := newSigner(t).SignBundle(t.Context(), w.up.Back()+"/"+image.Repository, d); err != nil {
		t.Fatal(err)
	}
}

// tagged resolves a tag; the zero descriptor when there is none.
func (w *world) tagged(t *testing.T, host, repo, tag string) mirror.Descriptor {
	t.Helper()
	d, err := w.client.Resolve(t.Context(), mirror.Reference{Host: host, Repository: repo, Tag: tag})
	if err != nil {
		return mirror.Descriptor{}
	}
	return d
}

func sigTag(d mirror.Digest) string { return client.FallbackTag(d) + ".sig" }

// referrersAt lists the digests of referrers, sorted.
func (w *world) referrersAt(t *testing.T, at mirror.Reference, d mirror.Digest) (all []string) {
	t.Helper()
	list, err := w.client.Referrers(t.Context(), at, d)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		all = append(all, r.Digest.String())
	}
	slices.Sort(all)
	return all
}

func TestMover_SignaturesTravelWithTheirSubject(t *testing.T) {
	for _, api := range []bool{false, true} {
		t.Run(fmt.Sprintf("target with referrers API %v", api), func(t *testing.T) {
			w := newWorld(t)
			host, proxy := w.local.Host(), w.local.Proxy()
			if api {
				p, server := withReferrersAPI(t)
				host, proxy = server.Host(), p
				w.client = newClient(t, w.up.URL(), server.URL())
			}
			index := w.push(t, "app", "1", testenv.Index("app"))
			m, parts := w.manifest(t, index)
			child := parts.Manifests[0]
			for _, d := range []mirror.Digest{index.Digest, child.Digest} {
				w.signLegacy(t, index, d)
				w.signBundle(t, index, d)
				w.signBundle(t, index, d)
			}
			// An attestation by legacy tag is a manifest as any other, and so is a referrer of a referrer.
			att := strings.TrimSuffix(sigTag(index.Digest), ".sig") + ".att"
			w.push(t, "app", att, testenv.Image("attestation"))
			sbom := w.push(t, "app", "", testenv.Referrer("sbom", "application/spdx+json", m.Descriptor))
			sm, err := w.client.Manifest(t.Context(), index, sbom.Digest)
			if err != nil {
				t.Fatal(err)
			}
			w.push(t, "app", "", testenv.Referrer("about sbom", "text/plain", sm.Descriptor))

			mover := w.mover(t)
			copied(t, mover, newJob(t, w.client, index, host))

			to := mirror.Reference{Host: host, Repository: "mirror/app"}
			for _, tag := range []string{sigTag(index.Digest), sigTag(child.Digest), att} {
				up, here := w.tagged(t, w.up.Host(), "app", tag), w.tagged(t, host, "mirror/app", tag)
				if up.Digest != here.Digest || up.Digest == (mirror.Digest{}) {
					t.Errorf("tag %s: upstream %s, here %s", tag, up.Digest, here.Digest)
				}
				if err := readAll(t.Context(), w.client, to, here.Digest); err != nil {
					t.Error(err)
				}
			}
			for d, n := range map[mirror.Digest]int{index.Digest: 3, child.Digest: 2, sbom.Digest: 1} {
				up, here := w.referrersAt(t, index, d), w.referrersAt(t, to, d)
				if !slices.Equal(up, here) || len(here) != n {
					t.Errorf("referrers of %s: upstream %d, here %d, want %d", d, len(up), len(here), n)
				}
			}
			w.journal.wantEmpty(t)

			proxy.Reset()
			if bytes := copied(t, mover, newJob(t, w.client, index, host)); bytes != 0 || proxy.Counts().Writes() != 0 {
				t.Errorf("a second run: %d bytes, %v", bytes, proxy.Counts().Requests)
			}
		})
	}
}

func TestMover_ReadsReferrersThroughTheAPI(t *testing.T) {
	w := newWorld(t)
	_, server := withReferrersAPI(t)
	w.client = newClient(t, server.URL(), w.local.URL())
	d, err := testenv.Push(t.Context(), server.Host(), "app", "1", testenv.Image("app"))
	if err != nil {
		t.Fatal(err)
	}
	if err := newSigner(t).SignBundle(t.Context(), server.Host()+"/app", d); err != nil {
		t.Fatal(err)
	}
	image := mirror.Reference{Host: server.Host(), Repository: "app", Digest: d}
	copied(t, w.mover(t), w.job(t, image))
	to := mirror.Reference{Host: w.local.Host(), Repository: "mirror/app"}
	if up, here := w.referrersAt(t, image, d), w.referrersAt(t, to, d); !slices.Equal(up, here) || len(up) != 1 {
		t.Errorf("upstream %v, here %v", up, here)
	}
}

func TestMover_ACounterSignatureSurvives(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "app", "1", testenv.Image("app"))
	w.signLegacy(t, image, image.Digest)
	m := w.mover(t)
	copied(t, m, w.job(t, image))
	// The site signs what it holds; then the vendor signs again.
	if err := newSigner(t).SignLegacy(t.Context(), w.local.Back()+"/mirror/app", image.Digest); err != nil {
		t.Fatal(err)
	}
	w.signLegacy(t, image, image.Digest)

	copied(t, m, w.job(t, image))

	up := w.layersAt(t, image, sigTag(image.Digest))
	to := mirror.Reference{Host: w.local.Host(), Repository: "mirror/app"}
	here := w.layersAt(t, to, sigTag(image.Digest))
	if len(up) != 2 || len(here) != 3 {
		t.Fatalf("%d signatures upstream, %d here", len(up), len(here))
	}
	for s := range up {
		if !here[s] {
			t.Errorf("signature %s is lost", s)
		}
	}
	if err := readAll(t.Context(), w.client, to, w.tagged(t, to.Host, to.Repository, sigTag(image.Digest)).Digest); err != nil {
		t.Error(err)
	}
	w.local.Proxy().Reset()
	copied(t, m, w.job(t, image))
	if c := w.local.Proxy().Counts(); c.Writes() != 0 {
		t.Errorf("nothing changed and %v", c.Requests)
	}
}

// layersAt gives the signatures in the manifest at a tag.
func (w *world) layersAt(t *testing.T, at mirror.Reference, tag string) map[string]bool {
	t.Helper()
	_, parts := w.manifest(t, at.WithDigest(w.tagged(t, at.Host, at.Repository, tag).Digest))
	all := map[string]bool{}
	for _, l := range parts.Layers {
		all[l.Annotations[signatureAnnotation]] = true
	}
	return all
}

func TestMover_BringsTheSignatureThatWasVerified(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "app", "1", testenv.Image("app"))
	w.signLegacy(t, image, image.Digest)
	verified := w.tagged(t, w.up.Host(), "app", sigTag(image.Digest))
	job := w.job(t, image, mirror.Evidence{Descriptor: verified})
	w.signLegacy(t, image, image.Digest) // the tag moves after the verdict
	if w.tagged(t, w.up.Host(), "app", sigTag(image.Digest)).Digest == verified.Digest {
		t.Fatal("the signature tag did not move")
	}

	copied(t, w.mover(t), job)

	if here := w.tagged(t, w.local.Host(), "mirror/app", sigTag(image.Digest)); here.Digest != verified.Digest {
		t.Errorf("the tag names %s, verified was %s", here.Digest, verified.Digest)
	}
}

func TestMover_FailsWhenTheVerifiedSignatureIsGone(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "app", "1", testenv.Image("app"))
	gone := mirror.NewManifest("application/vnd.oci.image.manifest.v1+json", []byte("{}")).Descriptor
	if d := run(t, w.mover(t), w.job(t, image, mirror.Evidence{Descriptor: gone})); ReasonOf(d[0].Err).Code != mirror.NotVerified {
		t.Errorf("got %v", d[0].Err)
	}
}

func TestMover_FailsWhenTheTargetListsNoReferrer(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "app", "1", testenv.Image("app"))
	w.signBundle(t, image, image.Digest)
	w.local.Proxy().Break(testenv.Always(func(r *http.Request) bool {
		return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/"+client.FallbackTag(image.Digest))
	}, testenv.Fault{Status: http.StatusForbidden}))
	if d := run(t, w.mover(t), w.job(t, image)); ReasonOf(d[0].Err).Code != mirror.LocalFailed {
		t.Errorf("got %v", d[0].Err)
	}
}

func TestMover_FailsOnTooManyReferrers(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "app", "1", testenv.Image("app"))
	if d := run(t, w.mover(t), newJob(t, crowded{w.client}, image, w.local.Host())); ReasonOf(d[0].Err).Code != mirror.BadContent {
		t.Errorf("got %v", d[0].Err)
	}
}

// crowded is content with more referrers than anyone should have.
type crowded struct{ mirror.Content }

func (crowded) Referrers(context.Context, mirror.Reference, mirror.Digest) (all []mirror.Descriptor, _ error) {
	for i := range mirror.MaxReferrers + 1 {
		all = append(all, mirror.Descriptor{Digest: mirror.DigestOf([]byte{byte(i)})})
	}
	return all, nil
}
