package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
	"github.com/poundlock/poundlock/testenv"
)

// looks opens a line that only looks, as `poundlock plan` does, and gives what it shows.
func (s *site) looks(o PreviewOptions, offline bool, only ...string) (plan.Document, error) {
	s.t.Helper()
	line := s.looking(offline)
	if err := line.Only(only...); err != nil {
		return plan.Document{}, err
	}
	return line.Preview(s.t.Context(), o)
}

// looking opens a line that only looks, beside whatever line is open.
func (s *site) looking(offline bool) *Line {
	s.t.Helper()
	file := filepath.Join(s.dir, "look.yaml")
	if err := os.WriteFile(file, []byte(s.config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	c := must(config.Load(file, nil, nil))(s.t)
	line := must(Open(s.t.Context(), c, Options{Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)), Now: s.clock, Temporary: true, Offline: offline}))(s.t)
	s.t.Cleanup(func() {
		if err := line.Close(context.Background()); err != nil {
			s.t.Errorf("close: %v", err)
		}
	})
	return line
}

func (s *site) preview(o PreviewOptions, only ...string) plan.Document {
	s.t.Helper()
	return must(s.looks(o, false, only...))(s.t)
}

// quiet forgets what was asked until now.
func (s *site) quiet() {
	s.upstream.Proxy().Reset()
	s.local.Proxy().Reset()
	s.git.Proxy().Reset()
}

func (s *site) asked() (upstream, local int) {
	return s.upstream.Proxy().Counts().Total(), s.local.Proxy().Counts().Total()
}

// wholeFleet has 500 pinned entries, 500 signed tags, and images that are refused or missing.
func wholeFleet(t *testing.T) *site {
	t.Helper()
	s := newSite(t, map[string]string{"desired/policy.yaml": "version: 1\nsigners: {vendor: {key: keys/vendor.pub}}\nrules:\n" +
		"  - {match: \"docker.io/library/**\", require: {pinned: true}}\n  - {match: \"{ghcr,quay}.io/**\", require: {signers: [vendor], count: 1}}\n",
		"desired/pins.yaml": "version: 1\nsource: {kind: list, file: pins.txt}\nlayout: path\n", "desired/pins.txt": "docker.io/library/none:1\n",
		"desired/tags.yaml": "version: 1\nsource: {kind: list, file: tags.txt}\nlayout: path\nrender: {containerd: {}}\n", "desired/tags.txt": "ghcr.io/none/none:1\n"})
	var pins, tags [500]mirror.Reference
	var group errgroup.Group
	group.SetLimit(8)
	for i := range 500 {
		group.Go(func() error {
			for _, one := range []struct {
				text string
				into *mirror.Reference
			}{{fmt.Sprintf("docker.io/library/repo%02d:v%d", i/10, i%10), &pins[i]}, {fmt.Sprintf("ghcr.io/team/repo%02d:v%d", i/10, i%10), &tags[i]}} {
				ref, err := mirror.ParseReference(one.text)
				if err != nil {
					return err
				}
				d, err := testenv.Push(t.Context(), s.upstream.Back(), ref.Name(), ref.Tag, testenv.Image(fmt.Sprint("repo", i/10)))
				if err != nil {
					return err
				}
				*one.into = ref.WithDigest(d)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	text := "quay.io/team/gone:1\n"
	for i, ref := range tags {
		if i%10 == 0 {
			if err := s.vendor.SignLegacy(t.Context(), s.upstream.Back()+"/"+ref.Name(), ref.Digest, testenv.Claiming(ref.Name())); err != nil {
				t.Fatal(err)
			}
		}
		text += ref.WithDigest(mirror.Digest{}).String() + "\n"
	}
	for i := range 3 {
		text += s.push(fmt.Sprintf("quay.io/team/unsigned:%d", i), fmt.Sprint("unsigned", i)).WithDigest(mirror.Digest{}).String() + "\n"
	}
	s.commit("a thousand", map[string]string{"desired/pins.txt": list(pins[:]...), "desired/tags.txt": text})
	return s
}

func TestPreview_AnUnchangedFleetCostsNoRegistryRequest(t *testing.T) {
	t.Parallel()
	s := wholeFleet(t)
	s.sync()
	s.close()
	for _, daemonRuns := range []bool{false, true} {
		s.now = s.now.Add(4 * time.Minute)
		if daemonRuns {
			s.runs() // it asks all at its start
		}
		s.quiet()
		began := time.Now()
		doc := s.preview(PreviewOptions{MaxAge: 15 * time.Minute, Sizes: true})
		t.Logf("a plan of %d entries beside a daemon (%t): %s", doc.Totals.Unchanged, daemonRuns, time.Since(began))
		if up, local := s.asked(); up+local != 0 {
			t.Errorf("daemon %t: %d upstream and %d local requests, want none", daemonRuns, up, local)
		}
		for _, path := range s.git.Proxy().Counts().Paths {
			if !strings.Contains(path, "info/refs") {
				t.Errorf("daemon %t: Git was asked for %s: the clone that is here should do", daemonRuns, path)
			}
		}
		want := plan.Totals{Unchanged: 1000, Refused: 3, Missing: 1, AsBefore: 4}
		if doc.Totals != want || !doc.Totals.Quiet() {
			t.Errorf("daemon %t: got %+v, want %+v", daemonRuns, doc.Totals, want)
		}
		if age := s.now.Sub(doc.AsOf); age != 4*time.Minute && !daemonRuns || age != 0 && daemonRuns || doc.Age != age {
			t.Errorf("daemon %t: upstream tags as of %s (%s) ago, want the age of the last run", daemonRuns, age, doc.Age)
		}
	}
}

// runs starts the daemon on the site and waits until its first cycle is over.
func (s *site) runs() {
	s.t.Helper()
	line := s.open()
	ctx, cancel := contextWithCancel(s.t)
	line.setReady(errStarting)
	ended := make(chan error, 1)
	go func() { ended <- line.Run(ctx) }()
	until(s.t, "the first cycle has ended", func() bool { return line.ready() == nil })
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("run: %v", err)
		}
	})
}

func TestPreview_AsksAgainWhatIsTooOld(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\", \"docker.io/library/other:1\"]}\nlayout: path\n"})
	s.pushSigned("docker.io/library/web:1", "old")
	s.push("docker.io/library/other:1", "other")
	s.sync()
	s.close()
	s.pushSigned("docker.io/library/web:1", "new")
	s.now = s.now.Add(10 * time.Minute)
	for _, tt := range []struct {
		name     string
		options  PreviewOptions
		upstream bool // is asked
		audited  bool
		copies   int
	}{
		{"young enough", PreviewOptions{MaxAge: 15 * time.Minute}, false, false, 0},
		{"too old", PreviewOptions{MaxAge: 5 * time.Minute}, true, false, 1},
		{"never old enough", PreviewOptions{}, true, false, 1},
		{"refresh", PreviewOptions{MaxAge: time.Hour, Refresh: true}, true, true, 1},
		{"audit", PreviewOptions{MaxAge: time.Hour, Audit: true}, false, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.quiet()
			doc := s.preview(tt.options)
			up := slices.Contains(s.upstream.Proxy().Counts().Paths, "HEAD /v2/docker.io/library/web/manifests/1")
			if doc.Totals.Copy != tt.copies || up != tt.upstream {
				t.Errorf("%d copies, want %d; the upstream tag was asked: %t, want %t", doc.Totals.Copy, tt.copies, up, tt.upstream)
			}
			if local := s.local.Proxy().Counts().Of(testenv.ManifestHead); (local >= 2) != tt.audited {
				t.Errorf("%d local HEADs, want an audit: %t", local, tt.audited)
			}
			if doc.Totals.Refused != 1 || doc.Totals.AsBefore != 1 {
				t.Errorf("refused %d, as before %d, want 1 and 1", doc.Totals.Refused, doc.Totals.AsBefore)
			}
		})
	}
}

func TestPreview_ShowsANewRefusalUntilARunFoundIt(t *testing.T) {
	t.Parallel()
	s := webSite(t)
	s.sync()
	s.close()
	s.commit("stricter", map[string]string{"desired/policy.yaml": vendorPolicy})
	doc := s.preview(PreviewOptions{MaxAge: time.Hour})
	if doc.Totals.Refused != 1 || doc.Totals.AsBefore != 0 || doc.Totals.Quiet() {
		t.Errorf("before a run: %+v", doc.Totals)
	}
	s.sync()
	s.close()
	if doc = s.preview(PreviewOptions{MaxAge: time.Hour}); doc.Totals.AsBefore != 1 || !doc.Totals.Quiet() {
		t.Errorf("after a run: %+v", doc.Totals)
	}
}

// listening counts who connects to an address.
func listening(t *testing.T, addr string, connections *atomic.Int64) {
	t.Helper()
	l := must(net.Listen("tcp", addr))(t)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			conn.Close()
		}
	}()
}

func TestPreview_OfflineConnectsToNobody(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\", \"docker.io/library/other:1\"]}\nlayout: path\n"})
	if _, err := s.looks(PreviewOptions{}, true); err == nil || !strings.Contains(err.Error(), "not read yet") {
		t.Errorf("before anything was fetched: %v", err)
	}
	s.pushSigned("docker.io/library/web:1", "web")
	s.push("docker.io/library/other:1", "other")
	s.sync()
	s.commit("one more", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\", \"docker.io/library/other:1\", \"docker.io/library/more:1\"]}\nlayout: path\n"})
	s.pushSigned("docker.io/library/more:1", "more")
	must(s.line.refresh(t.Context()))(t) // Git is fetched, upstream is not asked
	s.now = s.now.Add(48 * time.Hour)
	s.close()
	s.upstream.Close()
	s.local.Close()
	s.git.Close()
	var connections atomic.Int64
	for _, host := range []string{s.upstream.Host(), s.local.Host(), s.git.Host()} {
		listening(t, host, &connections)
	}
	doc, err := s.looks(PreviewOptions{MaxAge: time.Minute, Sizes: true}, true)
	if err != nil {
		t.Fatal(err)
	}
	want := plan.Totals{Unchanged: 1, Refused: 1, AsBefore: 1, Unknown: 1, Files: 1} // the record says which version of the list it is of
	if doc.Totals != want || !doc.Offline {
		t.Errorf("got %+v, want %+v", doc.Totals, want)
	}
	for _, a := range doc.Plans[0].Actions {
		if strings.Contains(a.Key.Entry, "more") && a.Reason.String() != "unknown, offline" {
			t.Errorf("what is not known: %s", a.Reason)
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections, want none", n)
	}
}

func TestPreview_WeighsWhatIsToCome(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy,
		"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\nlayout: path\n", "desired/web.txt": "docker.io/library/none:1\n"})
	shared := testenv.Layer{Seed: "shared", Size: 100_000}
	base := s.push("docker.io/library/web:1", "one", shared)
	s.commit("one", map[string]string{"desired/web.txt": list(base)})
	s.sync()
	s.close()
	next := s.push("docker.io/library/web:2", "two", shared, testenv.Layer{Seed: "two", Size: 50_000})
	twin := s.push("ghcr.io/team/twin:1", "twin", testenv.Layer{Seed: "two", Size: 50_000})
	s.commit("more", map[string]string{"desired/web.txt": list(base, next, twin)})
	s.quiet()
	doc := s.preview(PreviewOptions{Sizes: true})
	sizes := map[string]mirror.Size{}
	var sum int64
	for _, a := range doc.Plans[0].Actions {
		if a.Kind == mirror.Copy {
			sizes[a.Image.Repository] = a.Size
			sum += a.Size.Bytes
		}
	}
	web, twins := sizes["library/web"], sizes["team/twin"]
	if web.Layers != 2 || web.Here < 100_000 || web.Bytes-web.Here < 50_000 || web.Unknown != "" || twins.Layers != 1 || twins.Here != 0 {
		t.Errorf("web %+v, twin %+v", web, twins)
	}
	if total := doc.Totals; total.Copy != 2 || total.SizesUnknown != 0 || total.BytesHere != web.Here || total.BytesToCopy+total.BytesHere >= sum-50_000 {
		t.Errorf("totals %+v, the two together have %d bytes, of which the second layer is one", total, sum)
	}
	heads := s.local.Proxy().Counts()
	if got := heads.Of(testenv.BlobHead); got > 3 || heads.Of(testenv.BlobGet) > 0 {
		t.Errorf("%d blob HEADs at the local registry, want at most one for each blob of a repository that holds something", got)
	}
	s.upstream.Proxy().Break(testenv.Always(testenv.OfKind(testenv.ManifestGet), testenv.Fault{Status: 403}))
	doc = s.preview(PreviewOptions{Sizes: true})
	if doc.Totals.Copy != 0 || doc.Totals.Failed != 2 {
		t.Errorf("manifests that cannot be read: %+v, want that neither can be copied", doc.Totals)
	}
}

func TestPreview_ASuspendedSetWaits(t *testing.T) {
	t.Parallel()
	s := webSite(t)
	s.commit("pause", map[string]string{"rendered/demo/suspended.yaml": "version: 1\nsuspended:\n  web: {reason: the disk is full}\n"})
	doc := s.preview(PreviewOptions{})
	if doc.Totals.Refused != 1 || doc.Totals.Changes() {
		t.Errorf("got %+v, want the copy to wait", doc.Totals)
	}
	if why := doc.Plans[0].Suspended; why == nil || why.Reason != "the disk is full" {
		t.Errorf("the set does not say that it is suspended: %+v", why)
	}
	for _, a := range doc.Plans[0].Actions {
		if a.Kind == mirror.Refuse && a.Key.Entry != "" && (a.Reason.Code != mirror.Paused || !strings.Contains(a.Reason.Detail, "the disk is full") || !strings.Contains(a.Fix, "poundlock resume web")) {
			t.Errorf("it does not say why: %+v", a)
		}
	}
}
