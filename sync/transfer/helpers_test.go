package transfer

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"go.uber.org/goleak"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/testenv"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Distribution's broadcaster of notifications has no end; there is one for each embedded registry.
		goleak.IgnoreAnyFunction("github.com/docker/go-events.(*Broadcaster).run"),
		// A server's connection lingers for half a second after a request that was cut off.
		goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// memoryJournal is a Journal that lives as long as the test.
type memoryJournal struct {
	mu   sync.Mutex
	open map[string]Session
	all  int
}

func newJournal() *memoryJournal { return &memoryJournal{open: map[string]Session{}} }

func (j *memoryJournal) Begin(session string, to mirror.Reference, blob mirror.Digest) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all++
	j.open[session] = Session{URL: session, To: to, Blob: blob}
	return nil
}

func (j *memoryJournal) End(session string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.open, session)
	return nil
}

func (j *memoryJournal) Open() ([]Session, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Collect(maps.Values(j.open)), nil
}

func (j *memoryJournal) wantEmpty(t *testing.T) {
	t.Helper()
	if open, _ := j.Open(); len(open) != 0 {
		t.Errorf("%d upload sessions are still in the journal: %v", len(open), open)
	}
}

// quick are limits that make a broken registry cost milliseconds.
var quick = Limits{Pause: time.Millisecond}

// world is an upstream and a local registry, both real, and one client for both.
type world struct {
	up, local *testenv.Registry
	client    *registry.Client
	journal   *memoryJournal
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{up: startRegistry(t), local: startRegistry(t), journal: newJournal()}
	w.client = newClient(t, w.up.URL(), w.local.URL())
	return w
}

func startRegistry(t *testing.T) *testenv.Registry {
	t.Helper()
	r, err := testenv.NewRegistry(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func newClient(t *testing.T, urls ...string) *registry.Client {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	t.Cleanup(transport.CloseIdleConnections)
	endpoints := map[string]registry.Endpoint{}
	for _, u := range urls {
		endpoints[strings.TrimPrefix(u, "http://")] = registry.Endpoint{URL: u}
	}
	return registry.New(&http.Client{Transport: transport}, endpoints)
}

func (w *world) mover(t *testing.T) *Mover {
	t.Helper()
	return startMover(t, w.client, w.journal)
}

func startMover(t *testing.T, target Target, journal Journal) *Mover {
	t.Helper()
	m := New(target, journal, quick, nil)
	t.Cleanup(func() { m.Close(context.Background()) })
	return m
}

// push puts an image upstream and gives its reference with digest.
func (w *world) push(t *testing.T, repo, tag string, what remote.Taggable) mirror.Reference {
	t.Helper()
	d, err := testenv.Push(t.Context(), w.up.Back(), repo, tag, what)
	if err != nil {
		t.Fatal(err)
	}
	return mirror.Reference{Host: w.up.Host(), Repository: repo, Tag: tag, Digest: d}
}

// manifest reads the manifest of an image.
func (w *world) manifest(t *testing.T, image mirror.Reference) (mirror.Manifest, mirror.Parts) {
	t.Helper()
	m, err := w.client.Manifest(t.Context(), image, image.Digest)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := m.Parts()
	if err != nil {
		t.Fatal(err)
	}
	return m, parts
}

// job copies an upstream image to the local registry under the same path.
func (w *world) job(t *testing.T, image mirror.Reference, evidence ...mirror.Evidence) Job {
	t.Helper()
	return newJob(t, w.client, image, w.local.Host(), evidence...)
}

func newJob(t *testing.T, from mirror.Content, image mirror.Reference, host string, evidence ...mirror.Evidence) Job {
	t.Helper()
	a := mirror.Action{Kind: mirror.Copy, Key: mirror.Key{Set: "s", Entry: image.Repository}, Image: image, From: image,
		To: mirror.Reference{Host: host, Repository: "mirror/" + image.Repository, Tag: "s-stage"}, New: image.Digest}
	v, _, err := mirror.Verify(t.Context(), admit(evidence), a, from)
	if err != nil {
		t.Fatal(err)
	}
	return Job{Verified: v, From: from}
}

// admit is a verifier that admits everything, on the given evidence.
type admit []mirror.Evidence

func (a admit) Verify(context.Context, mirror.Action, mirror.Content) (mirror.Verdict, error) {
	return mirror.Verdict{Outcome: mirror.OutcomePinned, Reason: mirror.Because(mirror.PinnedCommit, "test"), Evidence: a}, nil
}

// run wants jobs for one set and waits until all are done.
func run(t *testing.T, m *Mover, jobs ...Job) []mirror.Done {
	t.Helper()
	m.Want("s", jobs)
	var all []mirror.Done
	for !m.Idle("s") {
		_, done, err := m.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, done...)
	}
	return all
}

// copied runs jobs that are to succeed and gives the blob bytes that crossed.
func copied(t *testing.T, m *Mover, jobs ...Job) (bytes int64) {
	t.Helper()
	for _, d := range run(t, m, jobs...) {
		if d.Err != nil {
			t.Fatal(d.Err)
		}
		bytes += d.Bytes
	}
	return bytes
}

// wantWhole reads everything that the local registry holds and checks that no tag names broken content.
func wantWhole(t *testing.T, r *testenv.Registry) {
	t.Helper()
	for _, fault := range testenv.Verify(r.Back()) {
		t.Error(fault)
	}
}

// stands says whether the image came whole, by reading every blob of it.
func (w *world) stands(t *testing.T, image mirror.Reference) {
	t.Helper()
	at := mirror.Reference{Host: w.local.Host(), Repository: "mirror/" + image.Repository}
	if err := readAll(t.Context(), w.client, at, image.Digest); err != nil {
		t.Error(err)
	}
}

func readAll(ctx context.Context, c *registry.Client, at mirror.Reference, d mirror.Digest) error {
	m, err := c.Manifest(ctx, at, d)
	if err != nil {
		return err
	}
	parts, err := m.Parts()
	if err != nil {
		return err
	}
	for _, child := range parts.Manifests {
		if err := readAll(ctx, c, at, child.Digest); err != nil {
			return err
		}
	}
	for _, b := range parts.Blobs() {
		r, err := c.Blob(ctx, at, b.Digest, 0)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, r)
		r.Close()
		if err != nil || n != b.Size {
			return fmt.Errorf("blob %s: %d of %d bytes: %w", b.Digest, n, b.Size, err)
		}
	}
	return nil
}
