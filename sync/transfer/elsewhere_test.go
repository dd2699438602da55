package transfer

import (
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// signature is what a test signs and how it finds it again.
type signature struct {
	at mirror.Reference // the repository it lies in
	d  mirror.Digest    // its manifest
}

// signIn signs a digest in another repository of the upstream, under its tag.
func (w *world) signIn(t *testing.T, repo string, d mirror.Digest) signature {
	t.Helper()
	if err := newSigner(t).SignLegacy(t.Context(), w.up.Back()+"/"+repo, d); err != nil {
		t.Fatal(err)
	}
	at := mirror.Reference{Host: w.up.Host(), Repository: repo}
	return signature{at, w.tagged(t, at.Host, repo, sigTag(d)).Digest}
}

func (s signature) evidence(of mirror.Digest) mirror.Evidence {
	return mirror.Evidence{Descriptor: mirror.Descriptor{Digest: s.d}, In: s.at, Of: of}
}

func TestMover_BringsEvidenceOfAnotherRepositoryBesideTheImage(t *testing.T) {
	w := newWorld(t)
	index := w.push(t, "app", "1", testenv.Index("multi"))
	_, parts := w.manifest(t, index)
	child := parts.Manifests[0].Digest
	w.signLegacy(t, index, index.Digest) // beside it lies another signature
	root, sub := w.signIn(t, "team/signatures", index.Digest), w.signIn(t, "team/signatures", child)
	w.signIn(t, "team/signatures", mirror.DigestOf([]byte("another image")))

	job := w.job(t, index, root.evidence(mirror.Digest{}), sub.evidence(child))
	mover := w.mover(t)
	copied(t, mover, job)

	to := mirror.Reference{Host: w.local.Host(), Repository: "mirror/app"}
	if here := w.layersAt(t, to, sigTag(index.Digest)); len(here) != 2 {
		t.Errorf("%d signatures of the index here, want that of the image's repository and that of the other one", len(here))
	}
	if here := w.tagged(t, to.Host, to.Repository, sigTag(child)).Digest; here != sub.d {
		t.Errorf("the child's tag names %s, want %s", here, sub.d)
	}
	for _, d := range []mirror.Digest{root.d, sub.d} {
		if err := readAll(t.Context(), w.client, to, d); err != nil {
			t.Errorf("evidence is not whole here: %v", err)
		}
	}
	tags, err := w.client.Tags(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(slices.DeleteFunc(tags, func(tag string) bool { return !strings.HasSuffix(tag, ".sig") })); n != 2 {
		t.Errorf("%d signature tags here, want those of the index and of the child", n)
	}
	w.local.Proxy().Reset()
	copied(t, mover, job)
	if c := w.local.Proxy().Counts(); c.Writes() != 0 {
		t.Errorf("a second run: %v", c.Requests)
	}
	wantWhole(t, w.local)
}

func TestMover_BringsReferrersOfAnotherRepository(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "app", "1", testenv.Image("app"))
	w.push(t, "team/signatures", "1", testenv.Image("app")) // so that a referrer of it can be written there
	at := mirror.Reference{Host: w.up.Host(), Repository: "team/signatures"}
	for range 2 {
		if err := newSigner(t).SignBundle(t.Context(), w.up.Back()+"/team/signatures", image.Digest); err != nil {
			t.Fatal(err)
		}
	}
	list, err := w.client.Referrers(t.Context(), at, image.Digest)
	if err != nil || len(list) != 2 {
		t.Fatalf("got %d referrers, %v", len(list), err)
	}
	copied(t, w.mover(t), w.job(t, image, signature{at, list[1].Digest}.evidence(mirror.Digest{})))
	to := mirror.Reference{Host: w.local.Host(), Repository: "mirror/app"}
	if here := w.referrersAt(t, to, image.Digest); len(here) != 1 || here[0] != list[1].Digest.String() {
		t.Errorf("got referrers %v, want the verified one alone", here)
	}
}

func TestMover_FailsWhenEvidenceOfAnotherRepositoryIsGone(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "app", "1", testenv.Image("app"))
	gone := signature{mirror.Reference{Host: w.up.Host(), Repository: "team/signatures"}, mirror.DigestOf([]byte("gone"))}
	if d := run(t, w.mover(t), w.job(t, image, gone.evidence(mirror.Digest{}))); ReasonOf(d[0].Err).Code != mirror.NotVerified {
		t.Errorf("got %v", d[0].Err)
	}
}

func TestMover_PinsAChildsSignatureUnderTheChildsTag(t *testing.T) {
	w := newWorld(t)
	index := w.push(t, "app", "1", testenv.Index("multi"))
	_, parts := w.manifest(t, index)
	child := parts.Manifests[0].Digest
	w.signLegacy(t, index, child)
	verified := w.tagged(t, w.up.Host(), "app", sigTag(child))
	job := w.job(t, index, mirror.Evidence{Descriptor: mirror.Descriptor{Digest: verified.Digest}, Of: child})
	w.signLegacy(t, index, child) // the tag names another manifest now
	copied(t, w.mover(t), job)
	if here := w.tagged(t, w.local.Host(), "mirror/app", sigTag(child)).Digest; here != verified.Digest {
		t.Errorf("the child's tag names %s, verified was %s", here, verified.Digest)
	}
	if here := w.tagged(t, w.local.Host(), "mirror/app", sigTag(index.Digest)).Digest; here != (mirror.Digest{}) {
		t.Errorf("the signature of a child lies under the tag of the index: %s", here)
	}
}
