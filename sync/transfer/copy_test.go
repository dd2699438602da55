package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

func TestMover_CrossesEachBlobOnce(t *testing.T) {
	w := newWorld(t)
	const images = 100
	shared := testenv.Layer{Seed: "base", Size: 20 << 10}
	jobs, refs := make([]Job, images), make([]mirror.Reference, images)
	var pushes sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i := range images {
		pushes.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			repo := fmt.Sprintf("team/app%d", i)
			d, err := testenv.Push(t.Context(), w.up.Back(), repo, "1", testenv.Image(repo, shared, testenv.Layer{Seed: repo, Size: 20 << 10}))
			if err != nil {
				t.Error(err)
			}
			refs[i] = mirror.Reference{Host: w.up.Host(), Repository: repo, Tag: "1", Digest: d}
		})
	}
	pushes.Wait()
	for i, ref := range refs {
		jobs[i] = w.job(t, ref)
	}
	unique := uniqueBytes(t, w, refs)
	w.up.Proxy().Reset()
	w.local.Proxy().Reset()

	bytes := copied(t, w.mover(t), jobs...)

	up, local := w.up.Proxy().Counts(), w.local.Proxy().Counts()
	if up.BlobSent != unique || local.BlobReceived != unique || bytes != unique {
		t.Errorf("unique bytes: %d; read upstream %d, written %d, reported %d", unique, up.BlobSent, local.BlobReceived, bytes)
	}
	if got := local.Of(testenv.BlobMount); got != images-1 {
		t.Errorf("%d mounts, want %d", got, images-1)
	}
	for _, ref := range refs {
		w.stands(t, ref)
	}
	w.journal.wantEmpty(t)

	t.Run("and no byte when all is there", func(t *testing.T) {
		w.up.Proxy().Reset()
		w.local.Proxy().Reset()
		if bytes := copied(t, w.mover(t), jobs...); bytes != 0 {
			t.Errorf("%d bytes crossed again", bytes)
		}
		up, local := w.up.Proxy().Counts(), w.local.Proxy().Counts()
		if up.Of(testenv.BlobGet) != 0 || local.Writes() != 0 {
			t.Errorf("upstream %v, local %v", up.Requests, local.Requests)
		}
	})
}

// uniqueBytes adds up the sizes of the distinct blobs of images.
func uniqueBytes(t *testing.T, w *world, refs []mirror.Reference) (total int64) {
	t.Helper()
	seen := map[mirror.Digest]bool{}
	for _, ref := range refs {
		_, parts := w.manifest(t, ref)
		for _, b := range parts.Blobs() {
			if !seen[b.Digest] {
				seen[b.Digest] = true
				total += b.Size
			}
		}
	}
	return total
}

func TestMover_HealsABlobMissingUnderAPresentManifest(t *testing.T) {
	w := newWorld(t)
	index := w.push(t, "app", "1", testenv.Index("app"))
	copied(t, w.mover(t), w.job(t, index))
	lost := firstLayer(t, w, index)
	remove(t, w.local, "mirror/app", lost.Digest)
	w.up.Proxy().Reset()

	bytes := copied(t, w.mover(t), w.job(t, index))

	if sent := w.up.Proxy().Counts().BlobSent; bytes != lost.Size || sent != lost.Size {
		t.Errorf("%d bytes reported, %d sent; the blob has %d", bytes, sent, lost.Size)
	}
	w.stands(t, index)
}

// firstLayer gives a layer of the first child of an index.
func firstLayer(t *testing.T, w *world, index mirror.Reference) mirror.Descriptor {
	t.Helper()
	_, parts := w.manifest(t, index)
	if len(parts.Manifests) > 0 {
		return firstLayer(t, w, index.WithDigest(parts.Manifests[0].Digest))
	}
	return parts.Layers[0]
}

func remove(t *testing.T, r *testenv.Registry, repo string, blob mirror.Digest) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+r.Back()+"/v2/"+repo+"/blobs/"+blob.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("delete blob: %s", resp.Status)
	}
}

func TestMover_KeepsTheDigestOfAnIndex(t *testing.T) {
	w := newWorld(t)
	index := w.push(t, "app", "1", testenv.Index("app", testenv.Layer{Seed: "both"}))
	copied(t, w.mover(t), w.job(t, index))
	w.stands(t, index)
	wantWhole(t, w.local)
}

func TestMover_UsesTheSessionOfAMountThatWasRefused(t *testing.T) {
	w := newWorld(t)
	shared := testenv.Layer{Seed: "base", Size: 50 << 10}
	one := w.push(t, "one", "1", testenv.Image("one", shared))
	two := w.push(t, "two", "1", testenv.Image("two", shared))
	w.local.Proxy().Reset()

	copied(t, startMover(t, noMounts{w.client}, w.journal), w.job(t, one), w.job(t, two))

	w.stands(t, one)
	w.stands(t, two)
	if c := w.local.Proxy().Counts(); c.Of(testenv.UploadPost) != 4 || c.Of(testenv.UploadPut) != 4 {
		t.Errorf("four blobs in two repositories took %v", c.Requests)
	}
	w.journal.wantEmpty(t)
}

func TestMover_SurvivesWhatItRememberedWrongly(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "app", "1", testenv.Image("app"))
	for name, repository := range map[string]string{
		"the same repository":                  "mirror/app",   // no upload, until the registry refuses the manifest
		"another, whose mount is answered 202": "mirror/other", // an upload in the session that came with it
	} {
		t.Run(name, func(t *testing.T) {
			w.local.Proxy().Reset()
			m := w.mover(t)
			layer := firstLayer(t, w, image)
			x := m.blobs.hold(layer.Digest)
			m.blobs.settle(x, w.local.Host()+"/"+repository, stepAsk, true, "")
			m.blobs.release(layer.Digest, x)

			copied(t, m, w.job(t, image))

			w.stands(t, image)
			w.journal.wantEmpty(t)
			remove(t, w.local, "mirror/app", layer.Digest)
			if c := w.local.Proxy().Counts(); repository == "mirror/other" && c.Of(testenv.BlobMount) > 1 {
				t.Errorf("mounted again and again: %v", c.Requests)
			}
		})
		if err := removeManifest(t, w, image); err != nil {
			t.Fatal(err)
		}
	}
}

func removeManifest(t *testing.T, w *world, image mirror.Reference) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete,
		"http://"+w.local.Back()+"/v2/mirror/"+image.Repository+"/manifests/"+image.Digest.String(), nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// noMounts answers every mount with an upload session, as registries may.
type noMounts struct{ Target }

func (n noMounts) Mount(ctx context.Context, to, _ mirror.Reference, _ mirror.Digest) (bool, string, error) {
	session, err := n.Begin(ctx, to)
	return false, session, err
}

func TestMover_PromotesInsideTheTargetWithoutBytes(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "app", "1", testenv.Index("app"))
	copied(t, w.mover(t), w.job(t, image))
	w.local.Proxy().Reset()
	a := mirror.Action{Kind: mirror.Copy, Image: image, New: image.Digest,
		From: mirror.Reference{Host: w.local.Host(), Repository: "mirror/app"},
		To:   mirror.Reference{Host: w.local.Host(), Repository: "production/app", Tag: "1"}}
	v, _, err := mirror.Verify(t.Context(), admit(nil), a, w.client)
	if err != nil {
		t.Fatal(err)
	}

	copied(t, w.mover(t), Job{Verified: v, From: w.client})

	if c := w.local.Proxy().Counts(); c.BlobReceived != 0 || c.Of(testenv.BlobMount) != 4 {
		t.Errorf("%d bytes, %v", c.BlobReceived, c.Requests)
	}
	if err := readAll(t.Context(), w.client, a.To, image.Digest); err != nil {
		t.Error(err)
	}
}

// Whoever plans while a copy arrives wants it once more; it is not begun again.
func TestMover_DoesNotBeginAgainWhatArrived(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "team/app", "1", testenv.Image("app"))
	m := w.mover(t)
	job := w.job(t, image)
	m.Want("set", []Job{job})
	landed := func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.sets["set"].wanted) == 0 }
	for !landed() {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if landed() {
			break
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	w.up.Proxy().Reset()
	m.Want("set", []Job{job})
	if _, done, err := m.Next(t.Context()); err != nil || len(done) != 1 || done[0].Err != nil {
		t.Errorf("got %v, %v; want the one end of the job", done, err)
	}
	if !m.Idle("set") || w.up.Proxy().Counts().Total() != 0 {
		t.Errorf("the copy was begun again: %d requests", w.up.Proxy().Counts().Total())
	}
}

func TestMover_RefusesWhatWasNotVerified(t *testing.T) {
	w := newWorld(t)
	w.up.Proxy().Reset()
	done := run(t, w.mover(t), Job{From: w.client})
	if len(done) != 1 || !errors.Is(done[0].Err, mirror.ErrRefused) || ReasonOf(done[0].Err).Code != mirror.NotVerified {
		t.Errorf("done %v", done)
	}
	if n := w.up.Proxy().Counts().Total() + w.local.Proxy().Counts().Total(); n != 0 {
		t.Errorf("%d requests for it", n)
	}
}

func TestMover_RefusesADescriptorThatLies(t *testing.T) {
	w := newWorld(t)
	child := testenv.Image("child")
	liar := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: child, Descriptor: mirror.Descriptor{Size: 7}})
	if m, err := liar.IndexManifest(); err != nil || m.Manifests[0].Size != 7 {
		t.Fatal("the index writer corrects sizes: this test needs another way to lie")
	}
	ref := w.push(t, "app", "1", liar)
	done := run(t, w.mover(t), w.job(t, ref))
	if ReasonOf(done[0].Err).Code != mirror.BadContent {
		t.Errorf("got %v", done[0].Err)
	}
	if _, err := w.client.Manifest(t.Context(), mirror.Reference{Host: w.local.Host(), Repository: "mirror/app"}, ref.Digest); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("the index came: %v", err)
	}
}
