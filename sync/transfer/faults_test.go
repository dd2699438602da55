package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// big is an image whose one layer takes long enough to break in the middle.
const bigLayer = 300 << 10

func (w *world) pushBig(t *testing.T, repo string) (image mirror.Reference, layer mirror.Descriptor) {
	t.Helper()
	image = w.push(t, repo, "1", testenv.Image(repo, testenv.Layer{Seed: repo, Size: bigLayer}))
	return image, firstLayer(t, w, image)
}

// about matches requests of a kind that name a blob: for uploads the one that commits it.
func about(d mirror.Digest, kind testenv.RequestKind) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return testenv.KindOf(r) == kind && strings.Contains(r.URL.Path+r.URL.Query().Get("digest"), d.String())
	}
}

func TestMover_GoesOnAfterASourceThatBreaks(t *testing.T) {
	for name, fault := range map[string]testenv.Fault{
		"in the middle":    {Truncate: true, After: 100 << 10},
		"with a 503":       {Status: http.StatusServiceUnavailable},
		"with a reset":     {Reset: true},
		"at its end":       {Truncate: true, After: bigLayer},
		"with wrong bytes": {Corrupt: true, After: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			image, layer := w.pushBig(t, "app")
			w.up.Proxy().Break(testenv.Once(1, about(layer.Digest, testenv.BlobGet), fault))
			w.local.Proxy().Reset()

			copied(t, w.mover(t), w.job(t, image))

			w.stands(t, image)
			w.journal.wantEmpty(t)
			// A source that breaks goes unnoticed by the target: its one request goes on where it stood.
			if c := w.local.Proxy().Counts(); !fault.Corrupt && c.Of(testenv.UploadPost, testenv.UploadPut, testenv.UploadPatch) != 4 {
				t.Errorf("two blobs took %v", c.Requests)
			}
		})
	}
}

func TestMover_StoresNoWrongBytes(t *testing.T) {
	w := newWorld(t)
	image, layer := w.pushBig(t, "app")
	good, _ := w.pushBig(t, "good")
	w.up.Proxy().Break(testenv.Always(about(layer.Digest, testenv.BlobGet), testenv.Fault{Corrupt: true, After: bigLayer}))
	w.up.Proxy().Reset()
	for _, d := range run(t, w.mover(t), w.job(t, image), w.job(t, good)) {
		switch isGood := d.Action.New == good.Digest; {
		case isGood && d.Err != nil:
			t.Error(d.Err)
		case !isGood && (ReasonOf(d.Err).Code != mirror.BadContent || !errors.Is(d.Err, mirror.ErrDigestMismatch)):
			t.Errorf("got %v", d.Err)
		}
	}
	gets := 0
	for _, p := range w.up.Proxy().Counts().Paths {
		if strings.HasPrefix(p, "GET") && strings.HasSuffix(p, layer.Digest.String()) {
			gets++
		}
	}
	if gets != tries {
		t.Errorf("fetched %d times, want %d", gets, tries)
	}
	at := mirror.Reference{Host: w.local.Host(), Repository: "mirror/app"}
	if there, err := w.client.HasBlob(t.Context(), at, layer.Digest); there || err != nil {
		t.Errorf("blob there: %v, %v", there, err)
	}
	if _, err := w.client.Manifest(t.Context(), at, image.Digest); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("manifest: %v", err)
	}
	w.journal.wantEmpty(t)
}

func TestMover_GoesOnAfterATargetThatBreaks(t *testing.T) {
	for name, f := range map[string]struct {
		kind    testenv.RequestKind
		fault   testenv.Fault
		resumed bool
	}{
		"session refused":          {testenv.UploadPost, testenv.Fault{Status: http.StatusServiceUnavailable}, false},
		"upload answered 500":      {testenv.UploadPut, testenv.Fault{Status: http.StatusInternalServerError}, false},
		"upload cut in the middle": {testenv.UploadPut, testenv.Fault{Truncate: true, After: 100 << 10}, true},
		"answer to upload lost":    {testenv.UploadPut, testenv.Fault{Lose: true}, false},
		"upload reset":             {testenv.UploadPut, testenv.Fault{Reset: true}, false},
		"manifest refused":         {testenv.ManifestPut, testenv.Fault{Status: http.StatusTooManyRequests}, false},
		"answer to manifest lost":  {testenv.ManifestPut, testenv.Fault{Lose: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			image, layer := w.pushBig(t, "app")
			match := testenv.OfKind(f.kind)
			if f.kind == testenv.UploadPut {
				match = about(layer.Digest, f.kind)
			}
			w.local.Proxy().Break(testenv.Once(1, match, f.fault))
			w.up.Proxy().Reset()
			w.local.Proxy().Reset()

			copied(t, w.mover(t), w.job(t, image))

			w.stands(t, image)
			w.journal.wantEmpty(t)
			if c := w.local.Proxy().Counts(); f.resumed && c.Of(testenv.UploadPatch) != 1 {
				t.Errorf("not resumed: %v", c.Requests)
			}
		})
	}
}

func TestMover_OneImageThatDoesNotFitStopsNoOther(t *testing.T) {
	for _, status := range []int{http.StatusInsufficientStorage, http.StatusInternalServerError} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			w := newWorld(t)
			image, layer := w.pushBig(t, "large")
			other, _ := w.pushBig(t, "other")
			w.local.Proxy().Break(testenv.Always(about(layer.Digest, testenv.UploadPut), testenv.Fault{Status: status}))
			m := w.mover(t)
			for _, d := range run(t, m, w.job(t, image), w.job(t, other)) {
				var e *Error
				switch failed := d.Action.New == image.Digest; {
				case !failed && d.Err != nil:
					t.Error(d.Err)
				case failed && (!errors.As(d.Err, &e) || !e.Temporary() || e.Code != mirror.LocalFailed):
					t.Errorf("got %v", d.Err)
				}
			}
			w.stands(t, other)

			w.local.Proxy().Break(nil) // there is room again
			copied(t, m, w.job(t, image))
			w.stands(t, image)
			w.journal.wantEmpty(t)
		})
	}
}

func TestMover_ResumesAnUploadAfterACrash(t *testing.T) {
	w := newWorld(t)
	image, layer := w.pushBig(t, "app")
	part := int64(100 << 10)
	cut := testenv.Once(1, about(layer.Digest, testenv.UploadPut), testenv.Fault{Truncate: true, After: part})
	dead := false
	w.local.Proxy().Break(func(r *http.Request) *testenv.Fault {
		if dead {
			return &testenv.Fault{Reset: true} // the registry is gone, and so are we
		}
		f := cut(r)
		dead = f != nil
		return f
	})
	first := w.mover(t)
	if d := run(t, first, w.job(t, image)); d[0].Err == nil {
		t.Fatal("the copy outlived its target")
	}
	first.Close(t.Context())
	if open, _ := w.journal.Open(); len(open) == 0 {
		t.Fatal("no session in the journal")
	}
	w.local.Proxy().Break(nil)
	if err := w.local.Restart(); err != nil {
		t.Fatal(err)
	}
	w.up.Proxy().Reset()

	second := w.mover(t)
	if err := second.Recover(); err != nil {
		t.Fatal(err)
	}
	copied(t, second, w.job(t, image))

	if sent := w.up.Proxy().Counts().BlobSent; sent >= layer.Size {
		t.Errorf("%d bytes were fetched again, the layer has %d", sent, layer.Size)
	}
	w.stands(t, image)
	if err := second.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	w.journal.wantEmpty(t)
}

func TestMover_SweepCancelsWhatNobodyWants(t *testing.T) {
	w := newWorld(t)
	to := mirror.Reference{Host: w.local.Host(), Repository: "mirror/app"}
	session, err := w.client.Begin(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	gone := session[:strings.Index(session, "/uploads/")] + "/uploads/00000000-0000-0000-0000-000000000000?_state=x"
	for _, s := range []string{session, gone} {
		if err := w.journal.Begin(s, to, mirror.DigestOf([]byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	m := w.mover(t)
	if err := m.Recover(); err != nil {
		t.Fatal(err)
	}
	if err := m.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Offset(t.Context(), session); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("the session is still open: %v", err)
	}
	w.journal.wantEmpty(t)
}

func TestMover_StartsOverWhereTheTargetCannotSay(t *testing.T) {
	// go-containerregistry's registry knows neither mounts nor the state of an upload.
	w := newWorld(t)
	proxy := testenv.NewProxy(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	server, err := testenv.NewServer(proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	w.client = newClient(t, w.up.URL(), server.URL())
	image, layer := w.pushBig(t, "app")
	proxy.Break(testenv.Once(1, about(layer.Digest, testenv.UploadPut), testenv.Fault{Truncate: true, After: 100 << 10}))
	copied(t, w.mover(t), newJob(t, w.client, image, server.Host()))
	at := mirror.Reference{Host: server.Host(), Repository: "mirror/app"}
	if err := readAll(t.Context(), w.client, at, image.Digest); err != nil {
		t.Error(err)
	}
}

func TestMover_BreaksOffAnUploadThatMovesNoByte(t *testing.T) {
	w := newWorld(t)
	image, layer := w.pushBig(t, "app")
	never := make(chan struct{})
	defer close(never)
	w.up.Proxy().Break(testenv.Always(about(layer.Digest, testenv.BlobGet), testenv.Fault{Until: never}))
	m := New(w.client, w.journal, Limits{Pause: time.Millisecond, Stall: 20 * time.Millisecond}, nil)
	defer m.Close(context.Background())
	d := run(t, m, w.job(t, image))
	if !errors.Is(d[0].Err, errStalled) {
		t.Errorf("got %v", d[0].Err)
	}
}
