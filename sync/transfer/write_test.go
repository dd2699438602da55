package transfer

import (
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

func TestWrite_BringsContentThenItsTag(t *testing.T) {
	w := newWorld(t)
	made := w.push(t, "made", "1", testenv.Image("made"))
	mover := w.mover(t)
	to := mirror.Reference{Host: w.local.Host(), Repository: "mirror/poundlock/channels/elastic", Tag: "production"}
	for range 2 { // the second time as after a crash before it was noted
		if err := mover.Write(t.Context(), elsewhere{w.client, made}, here.WithDigest(made.Digest), to); err != nil {
			t.Fatal(err)
		}
		if at := w.tagged(t, to.Host, to.Repository, to.Tag); at.Digest != made.Digest {
			t.Errorf("the tag names %s, want %s", at.Digest, made.Digest)
		}
		if err := readAll(t.Context(), w.client, to, made.Digest); err != nil {
			t.Error(err)
		}
	}
	gone := here.WithDigest(mirror.DigestOf([]byte("gone")))
	if err := mover.Write(t.Context(), elsewhere{w.client, made}, gone, to); err == nil {
		t.Error("content that is not there was written")
	}
	if at := w.tagged(t, to.Host, to.Repository, to.Tag); at.Digest != made.Digest {
		t.Error("the tag moved without content")
	}
}
