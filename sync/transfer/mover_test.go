package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// holdBack makes every read of a layer wait until release, and says when the first one has come.
func holdBack(w *world, layer mirror.Descriptor) (came chan struct{}, release func()) {
	came, until := make(chan struct{}), make(chan struct{})
	var once sync.Once
	match := about(layer.Digest, testenv.BlobGet)
	fault := testenv.Always(match, testenv.Fault{Until: until})
	w.up.Proxy().Break(func(r *http.Request) *testenv.Fault {
		f := fault(r)
		if f != nil {
			once.Do(func() { close(came) })
		}
		return f
	})
	return came, sync.OnceFunc(func() { close(until) })
}

func TestMover_AHotfixDoesNotWaitBehindALargeCopy(t *testing.T) {
	w := newWorld(t)
	var jobs []Job
	large, layer := w.pushBig(t, "large")
	jobs = append(jobs, w.job(t, large))
	m := New(w.client, w.journal, Limits{Pause: time.Millisecond, Images: 1}, nil)
	came, release := holdBack(w, layer)
	defer m.Close(context.Background())
	defer release()
	for i := range 3 {
		jobs = append(jobs, w.job(t, w.push(t, fmt.Sprint("waiting", i), "1", testenv.Image(fmt.Sprint(i)))))
	}
	m.Want("s", jobs)
	<-came
	hotfix := w.job(t, w.push(t, "hotfix", "1", testenv.Image("hotfix")))
	m.Want("s", append(slices.Clone(jobs), hotfix))
	if _, done, err := m.Next(t.Context()); err != nil || done[0].Err != nil || done[0].Action.Image.Repository != "hotfix" {
		t.Fatalf("first to come: %v, %v", done, err)
	}
	m.Want("other", []Job{w.job(t, w.push(t, "other", "1", testenv.Image("other")))})
	if set, done, err := m.Next(t.Context()); err != nil || set != "other" || done[0].Err != nil {
		t.Fatalf("second to come: %s %v, %v", set, done, err)
	}
	if m.Idle("s") || !m.Idle("other") {
		t.Error("s is idle or other is not")
	}
	release()
	left := len(jobs)
	for left > 0 {
		_, done, err := m.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range done {
			if left--; d.Err != nil {
				t.Error(d.Err)
			}
		}
	}
}

func TestMover_TwoSetsShareOneFlight(t *testing.T) {
	w := newWorld(t)
	image, layer := w.pushBig(t, "app")
	came, release := holdBack(w, layer)
	m := w.mover(t)
	defer release()
	m.Want("a", []Job{w.job(t, image)})
	<-came
	m.Want("b", []Job{w.job(t, image)})
	m.Want("a", nil) // the flight goes on for b
	release()
	set, done, err := m.Next(t.Context())
	if err != nil || set != "b" || len(done) != 1 || done[0].Err != nil {
		t.Fatalf("%s %v %v", set, done, err)
	}
	if !m.Idle("a") || !m.Idle("b") {
		t.Error("a set is not idle")
	}
	if c := w.up.Proxy().Counts(); c.Of(testenv.BlobGet) != 2 {
		t.Errorf("two blobs took %d reads", c.Of(testenv.BlobGet))
	}
}

func TestMover_BreaksOffWhatNobodyWants(t *testing.T) {
	w := newWorld(t)
	image, layer := w.pushBig(t, "app")
	came, release := holdBack(w, layer)
	defer release()
	m := w.mover(t)
	m.Want("s", []Job{w.job(t, image)})
	<-came
	m.Want("s", nil)
	if !m.Idle("s") {
		t.Error("not idle")
	}
	m.Close(t.Context()) // returns though the layer is still held back
	w.journal.wantEmpty(t)
	if _, _, err := m.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
}

func TestMover_CloseLeavesSessionsToTheNextStart(t *testing.T) {
	w := newWorld(t)
	image, layer := w.pushBig(t, "app")
	came, release := holdBack(w, layer)
	defer release()
	m := w.mover(t)
	m.Want("s", []Job{w.job(t, image)})
	<-came
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	m.Close(ended)
	if open, _ := w.journal.Open(); len(open) == 0 {
		t.Error("no session in the journal")
	}
}

func TestMover_TellsItsProgress(t *testing.T) {
	w := newWorld(t)
	image, layer := w.pushBig(t, "app")
	var mu sync.Mutex
	var kinds []string
	var bytes int64
	m := New(w.client, w.journal, quick, func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		kinds = append(kinds, string(e.Kind))
		if e.Kind == BlobCopied {
			bytes += e.Bytes
		}
	})
	defer m.Close(context.Background())
	total := copied(t, m, w.job(t, image))
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(slices.Compact(kinds), " "); !strings.HasPrefix(got, "image-wanted image-started blob-named ") ||
		!strings.HasSuffix(got, " blob-copied image-done") || !strings.Contains(got, " blob-moving ") || bytes != total || total <= layer.Size {
		t.Errorf("events %s, %d of %d bytes", got, bytes, total)
	}
}

func TestMover_MemoryDoesNotGrowWithTheLayer(t *testing.T) {
	big := testenv.NewBig(256 << 20)
	up, err := testenv.NewServer(big)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	sink := testenv.NewSink()
	local, err := testenv.NewServer(sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(local.Close)
	client := newClient(t, up.URL(), local.URL())
	image := mirror.Reference{Host: up.Host(), Repository: testenv.BigRepository, Tag: testenv.BigTag, Digest: big.Digest()}
	job := newJob(t, client, image, local.Host())
	m := startMover(t, client, newJournal())

	before := heap()
	peak := before
	done := make(chan []mirror.Done)
	go func() { done <- run(t, m, job) }()
	for running := true; running; {
		select {
		case d := <-done:
			running = false
			if d[0].Err != nil {
				t.Fatal(d[0].Err)
			}
		case <-time.After(20 * time.Millisecond):
			peak = max(peak, heap())
		}
	}
	if grown := int64(peak) - int64(before); grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if len(sink.Blobs()) != 2 {
		t.Errorf("blobs that came: %v", sink.Blobs())
	}
}

func heap() uint64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
