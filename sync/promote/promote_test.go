package promote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/testenv"
)

func TestMain(m *testing.M) {
	// Distribution's broadcaster of notifications has no end; there is one for each embedded registry.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/docker/go-events.(*Broadcaster).run"))
}

// ledger is an Owner in memory.
type ledger struct {
	mu   sync.Mutex
	ours map[string]map[mirror.Digest]bool
	log  []string
}

func (l *ledger) Ours(pointer mirror.Reference, d mirror.Digest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ours[pointer.String()][d]
}

func (l *ledger) Intend(pointer mirror.Reference, d mirror.Digest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ours == nil {
		l.ours = map[string]map[mirror.Digest]bool{}
	}
	if l.ours[pointer.String()] == nil {
		l.ours[pointer.String()] = map[mirror.Digest]bool{}
	}
	l.ours[pointer.String()][d] = true
	l.log = append(l.log, pointer.Tag)
	return nil
}

// site is a local registry with images in one repository, and what promote needs to tag them.
type site struct {
	*testenv.Registry
	client *registry.Client
	owner  *ledger
	fences int
	fenced error
}

func newSite(t *testing.T) *site {
	t.Helper()
	r, err := testenv.NewRegistry(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	client := registry.New(&http.Client{Transport: transport}, map[string]registry.Endpoint{r.Host(): {URL: r.URL()}})
	return &site{Registry: r, client: client, owner: &ledger{}}
}

func (s *site) image(t *testing.T, seed string) mirror.Digest {
	t.Helper()
	d, err := testenv.Push(t.Context(), s.Back(), "app", "", testenv.Image(seed))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (s *site) tag(t *testing.T, tag, seed string) mirror.Digest {
	t.Helper()
	d, err := testenv.Push(t.Context(), s.Back(), "app", tag, testenv.Image(seed))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// names says what a tag names; the zero digest where there is none.
func (s *site) names(t *testing.T, tag string) mirror.Digest {
	t.Helper()
	d, err := s.client.Resolve(t.Context(), s.at(tag))
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		t.Fatal(err)
	}
	return d.Digest
}

func (s *site) at(tag string) mirror.Reference {
	return mirror.Reference{Host: s.Host(), Repository: "app", Tag: tag}
}

func (s *site) work(t *testing.T, tag string, d mirror.Digest) Work {
	t.Helper()
	return Work{Verified: verified(t, s.at(tag), d)}
}

func verified(t *testing.T, to mirror.Reference, d mirror.Digest) mirror.Verified {
	t.Helper()
	a := mirror.Action{Kind: mirror.Tag, Key: mirror.Key{Set: "s", Entry: to.Tag}, To: to, New: d,
		Image: mirror.Reference{Host: "up.example", Repository: "app", Digest: d}}
	v, _, err := mirror.Verify(t.Context(), admit{}, a, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type admit struct{}

func (admit) Verify(context.Context, mirror.Action, mirror.Content) (mirror.Verdict, error) {
	return mirror.Verdict{Outcome: mirror.OutcomePinned, Reason: mirror.Because(mirror.PinnedCommit, "test")}, nil
}

func (s *site) move(t *testing.T, work ...Work) []mirror.Done {
	t.Helper()
	return Move(t.Context(), s.client, func(context.Context) error { s.fences++; return s.fenced }, s.owner, work)
}

func wantErr(t *testing.T, d mirror.Done, want error) {
	t.Helper()
	if !errors.Is(d.Err, want) {
		t.Errorf("%s: got %v, want %v", d.Action.To.Tag, d.Err, want)
	}
}

func TestMove_WritesAnAbsentTagAndMovesOursAndWritesNothingTwice(t *testing.T) {
	s := newSite(t)
	one, two := s.image(t, "one"), s.image(t, "two")
	for _, d := range []mirror.Digest{one, two, one} {
		wantErr(t, s.move(t, s.work(t, "stage", d))[0], nil)
		if got := s.names(t, "stage"); got != d {
			t.Fatalf("stage names %s, want %s", got, d)
		}
	}
	s.Proxy().Reset()
	s.fences = 0
	wantErr(t, s.move(t, s.work(t, "stage", one))[0], nil)
	if c := s.Proxy().Counts(); c.Total() != 1 || c.Writes() != 0 || s.fences != 0 {
		t.Errorf("a settled tag cost %v and %d fences", c.Requests, s.fences)
	}
}

func TestMove_NeverMovesAForeignTagUnlessAdopting(t *testing.T) {
	s := newSite(t)
	foreign, want := s.tag(t, "stage", "foreign"), s.image(t, "ours")
	s.Proxy().Reset()
	done := s.move(t, s.work(t, "stage", want))
	wantErr(t, done[0], ErrForeignTag)
	if ReasonOf(done[0].Err).Code != mirror.ForeignTag {
		t.Errorf("reason %v", ReasonOf(done[0].Err))
	}
	if got := s.names(t, "stage"); got != foreign || s.Proxy().Counts().Writes() != 0 {
		t.Errorf("stage names %s, writes %v", got, s.Proxy().Counts().Requests)
	}
	w := s.work(t, "stage", want)
	w.Adopt = true
	wantErr(t, s.move(t, w)[0], nil)
	if got := s.names(t, "stage"); got != want {
		t.Errorf("stage names %s after adoption, want %s", got, want)
	}
}

func TestMove_TakesOverATagThatNamesWhatWeWant(t *testing.T) {
	s := newSite(t)
	one, two := s.tag(t, "stage", "one"), s.image(t, "two")
	wantErr(t, s.move(t, s.work(t, "stage", one))[0], nil)
	wantErr(t, s.move(t, s.work(t, "stage", two))[0], nil)
}

func TestMove_KnowsItsTagAfterACrashBetweenNoteAndRecord(t *testing.T) {
	s := newSite(t)
	one, two := s.image(t, "one"), s.image(t, "two")
	s.Proxy().Break(testenv.Once(1, testenv.OfKind(testenv.ManifestPut), testenv.Fault{Lose: true}))
	wantErr(t, s.move(t, s.work(t, "stage", one))[0], nil) // the answer was lost, the tag is there
	// The record never heard of it; the note alone makes the tag ours.
	wantErr(t, s.move(t, s.work(t, "stage", two))[0], nil)
}

func TestMove_WritesTheVendorTagOnceOrFollows(t *testing.T) {
	s := newSite(t)
	one, two := s.image(t, "one"), s.image(t, "two")
	w := s.work(t, "stage", one)
	w.Vendor = s.at("2.8")
	wantErr(t, s.move(t, w)[0], nil)
	if last := s.owner.log[len(s.owner.log)-1]; last != "stage" {
		t.Errorf("the tag written last is %s, want the stage's", last)
	}
	w.Verified = verified(t, s.at("stage"), two)
	wantErr(t, s.move(t, w)[0], nil)
	if got := s.names(t, "2.8"); got != one {
		t.Errorf("once: the vendor tag names %s, want it left at %s", got, one)
	}
	w.Verified, w.Follow = verified(t, s.at("other"), two), true
	wantErr(t, s.move(t, w)[0], nil)
	if got := s.names(t, "2.8"); got != two {
		t.Errorf("follow: the vendor tag names %s, want %s", got, two)
	}
	s.tag(t, "9", "foreign")
	w.Verified, w.Vendor = verified(t, s.at("third"), two), s.at("9")
	wantErr(t, s.move(t, w)[0], ErrForeignTag)
}

func TestMove_MovesNoTagOfAGroupUnlessAllCould(t *testing.T) {
	s := newSite(t)
	d := s.image(t, "one")
	s.tag(t, "b", "foreign")
	var work []Work
	for _, tag := range []string{"a", "b", "c"} {
		w := s.work(t, tag, d)
		w.Group = "release"
		work = append(work, w)
	}
	alone := s.work(t, "alone", d)
	done := s.move(t, append(work, alone)...)
	wantErr(t, done[0], ErrHeld)
	wantErr(t, done[1], ErrForeignTag)
	wantErr(t, done[2], ErrHeld)
	wantErr(t, done[3], nil)
	if s.names(t, "a") != (mirror.Digest{}) || s.names(t, "c") != (mirror.Digest{}) || s.names(t, "alone") != d {
		t.Error("a tag of the group moved, or the one outside of it did not")
	}
	t.Run("nor when one manifest is not there", func(t *testing.T) {
		work[1] = s.work(t, "d", mirror.DigestOf([]byte("absent")))
		work[1].Group = "release"
		done := s.move(t, work...)
		wantErr(t, done[0], ErrHeld)
		wantErr(t, done[1], mirror.ErrNotFound)
	})
}

func TestMove_OneFailingTagStopsNoOther(t *testing.T) {
	s := newSite(t)
	d := s.image(t, "one")
	s.Proxy().Break(testenv.Always(func(r *http.Request) bool {
		return r.Method == http.MethodPut && r.URL.Path == "/v2/app/manifests/t1"
	}, testenv.Fault{Status: http.StatusInsufficientStorage}))
	done := s.move(t, s.work(t, "t0", d), s.work(t, "t1", d), s.work(t, "t2", d))
	if done[0].Err != nil || done[1].Err == nil || done[2].Err != nil {
		t.Errorf("ends: %v, %v, %v", done[0].Err, done[1].Err, done[2].Err)
	}
}

func TestMove_AsksTheFenceBeforeEachBatchAndStopsWhereItSays(t *testing.T) {
	s := newSite(t)
	d := s.image(t, "one")
	var work []Work
	for i := range 2*batch + 1 {
		w := s.work(t, fmt.Sprintf("t%03d", i), d)
		w.Group = "release"
		work = append(work, w)
	}
	asked := 0
	done := Move(t.Context(), s.client, func(context.Context) error {
		if asked++; asked == 2 {
			return errors.New("the desired ref moved")
		}
		return nil
	}, s.owner, work)
	for i, e := range done {
		if stopped := errors.Is(e.Err, ErrFenced); stopped != (i >= batch) {
			t.Fatalf("%d: %v", i, e.Err)
		}
		if written := s.names(t, e.Action.To.Tag) == d; written != (i < batch) {
			t.Fatalf("%d: written %v", i, written)
		}
	}
	if asked != 2 {
		t.Errorf("the fence was asked %d times, want 2", asked)
	}
}

func TestMove_RefusesWhatWasNotVerified(t *testing.T) {
	s := newSite(t)
	s.Proxy().Reset()
	done := s.move(t, Work{})
	wantErr(t, done[0], mirror.ErrRefused)
	if n := s.Proxy().Counts().Total(); n != 0 {
		t.Errorf("%d requests for nothing", n)
	}
	t.Run("and writes nothing without a fence", func(t *testing.T) {
		done := Move(t.Context(), s.client, nil, s.owner, []Work{s.work(t, "stage", s.image(t, "one"))})
		wantErr(t, done[0], ErrFenced)
	})
}

func TestMove_SeesATagThatSomeoneMovedMeanwhile(t *testing.T) {
	d, other := mirror.DigestOf([]byte("{}")), mirror.DigestOf([]byte("other"))
	tags := &fakeTags{put: func(context.Context) error { return nil }, after: other}
	to := mirror.Reference{Host: "local.example", Repository: "app", Tag: "stage"}
	done := Move(t.Context(), tags, func(context.Context) error { return nil }, &ledger{}, []Work{{Verified: verified(t, to, d)}})
	wantErr(t, done[0], ErrMoved)
}

func TestMove_WritesNothingMoreWhenTheFenceIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := mirror.DigestOf([]byte("{}"))
		tags := &fakeTags{put: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		var work []Work
		for i := range moving + 1 {
			to := mirror.Reference{Host: "local.example", Repository: "app", Tag: fmt.Sprint("t", i)}
			work = append(work, Work{Verified: verified(t, to, d)})
		}
		done := Move(t.Context(), tags, func(context.Context) error { return nil }, &ledger{}, work)
		if tags.puts != moving {
			t.Errorf("%d writes were tried, want %d", tags.puts, moving)
		}
		wantErr(t, done[moving], ErrFenced)
	})
}

// fakeTags is a registry whose writes do what the test says.
type fakeTags struct {
	mu    sync.Mutex
	puts  int
	put   func(context.Context) error
	after mirror.Digest
}

func (f *fakeTags) Resolve(context.Context, mirror.Reference) (mirror.Descriptor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.puts == 0 || f.after == (mirror.Digest{}) {
		return mirror.Descriptor{}, mirror.ErrNotFound
	}
	return mirror.Descriptor{Digest: f.after}, nil
}

func (f *fakeTags) Manifest(context.Context, mirror.Reference, mirror.Digest) (mirror.Manifest, error) {
	return mirror.NewManifest("application/vnd.oci.image.manifest.v1+json", []byte("{}")), nil
}

func (f *fakeTags) Put(ctx context.Context, _ mirror.Reference, _ mirror.Manifest) (bool, error) {
	f.mu.Lock()
	f.puts++
	f.mu.Unlock()
	return false, f.put(ctx)
}
