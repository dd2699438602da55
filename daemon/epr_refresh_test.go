package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// A channel in the catalog that was never written, as that of a set that was suspended before, keeps no server from being
// ready: it would be so for good.
func TestOutlet_IsReadyWithoutWhatWasNeverWritten(t *testing.T) {
	s := newShop(t)
	var said bytes.Buffer
	s.outlet.log = slog.New(slog.NewTextHandler(&said, nil))
	s.catalog("elastic/production", "elastic/snapshot")
	s.outlet.refresh(t.Context())
	if w := ask(s.outlet, "/readyz"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("ready with nothing to serve: %d", w.Code)
	}
	nginx := s.store(testenv.EPRPackage{Name: "nginx", Version: "1.20.0"})
	s.publish(inProduction, s.line.itemOf, nginx)
	for range 3 {
		s.outlet.refresh(t.Context())
	}
	for path, want := range map[string]int{"/readyz": 200, "/epr/elastic/production/search": 200, "/epr/elastic/snapshot/search": 503} {
		if w := ask(s.outlet, path); w.Code != want {
			t.Errorf("%s: %d, want %d: %s", path, w.Code, want, w.Body)
		}
	}
	if n := strings.Count(said.String(), "never written"); n != 2 || strings.Contains(said.String(), "EPR010") {
		t.Errorf("told %d times, want once for each channel:\n%s", n, &said)
	}
	// One that the registry cannot give now is another matter.
	fresh := s.newOutlet()
	s.publish(inSnapshot, s.line.itemOf, nginx)
	s.local.Proxy().Break(testenv.Always(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/manifests/snapshot") }, testenv.Fault{Status: http.StatusForbidden}))
	fresh.refresh(t.Context())
	if w := ask(fresh, "/readyz"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("ready without a channel that is there: %d", w.Code)
	}
	s.local.Proxy().Break(nil)
	s.outlet.refresh(t.Context())
	if got := searched(t, s.outlet, "/epr/elastic/snapshot/search"); got != "nginx-1.20.0" {
		t.Errorf("once it was written: %s", got)
	}
}

func TestOutlet_AChannelThatHangsKeepsNoOtherFromBeingRead(t *testing.T) {
	s := newShop(t)
	nginx := s.store(testenv.EPRPackage{Name: "nginx", Version: "1.20.0"})
	s.publish(inProduction, s.line.itemOf, nginx)
	s.publish(inSnapshot, s.line.itemOf, nginx)
	s.catalog("elastic/production", "elastic/snapshot") // production is the first one
	let := make(chan struct{})
	s.local.Proxy().Break(testenv.Always(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/manifests/production") }, testenv.Fault{Until: let}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.outlet.refresh(t.Context())
	}()
	for ask(s.outlet, "/epr/elastic/snapshot/search").Code != http.StatusOK {
		select {
		case <-done:
			t.Fatal("the look ended, and the other channel was not read")
		case <-t.Context().Done():
			t.Fatal("the other channel was never read")
		case <-time.After(time.Millisecond): // until it was read
		}
	}
	close(let)
	<-done
	if got := searched(t, s.outlet, "/epr/elastic/production/search"); got != "nginx-1.20.0" {
		t.Errorf("the one that hung: %s", got)
	}
	// What both have in common is in memory once.
	var first []*epr.Contents
	for _, one := range *s.outlet.offers.Load() {
		first = append(first, one.now.Load().contents)
	}
	if &first[0].Items[0].Search[0] != &first[1].Items[0].Search[0] {
		t.Error("the same shard is in memory twice")
	}
}

// What cannot be in a channel is told when it changes, not at each step.
func TestChannels_WhatIsLeftOutIsToldOnce(t *testing.T) {
	k := newKept(t)
	var said bytes.Buffer
	k.line.log = slog.New(slog.NewTextHandler(&said, nil))
	k.records(map[mirror.Stage][]testenv.EPRPackage{"production": {{Name: "nginx", Version: "1.20.0"}, {Name: "gone", Version: "1.0.0"}}})
	gone := k.stored["gone-1.0.0"]
	at := mirror.Reference{Host: localName, Repository: "mirror/epr.elastic.co/gone"}
	if err := k.line.registry.Delete(t.Context(), at.AtDigest(gone.Manifest.Descriptor.Digest)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		k.mustWrite(false)
	}
	if n := strings.Count(said.String(), "EPR012"); n != len(k.set.Stages) {
		t.Errorf("told %d times of %d channels:\n%s", n, len(k.set.Stages), &said)
	}
	delete(k.stored, "gone-1.0.0")
	k.store(testenv.EPRPackage{Name: "gone", Version: "1.0.0"})
	k.shop.mustWrite(t, gone, at)
	k.mustWrite(false)
	if err := k.line.registry.Delete(t.Context(), at.AtDigest(gone.Manifest.Descriptor.Digest)); err != nil {
		t.Fatal(err)
	}
	if got := k.holds("production"); got != "gone-1.0.0 nginx-1.20.0" {
		t.Errorf("once it was back: %s", got)
	}
}

// Nothing is made beside the cycle while nothing that it is made of changed.
func TestBesides_NothingIsComputedWhereNothingChanged(t *testing.T) {
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.0.0"})
	s.config += fmt.Sprintf("packages: {export: [{set: elastic, dir: %q}]}\n", t.TempDir())
	s.commit("two stages", map[string]string{"desired/elastic.yaml": packageSet("versions: all", "stages: [snapshot, production]\n")})
	s.sync()
	b := s.line.besides
	looks := func() bool { // whether the folder was thought of again
		t.Helper()
		b.exports = map[string]exported{}
		if _, err := s.line.makeBesides(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(b.exports) > 0
	}
	s.line.besides.audit = true
	if !looks() {
		t.Error("an audit did not look")
	}
	if looks() {
		t.Error("nothing changed, and all was computed again")
	}
	record := must(s.line.state.Record("elastic"))(t)
	if err := s.line.state.SetLines("elastic", record); err != nil || looks() {
		t.Errorf("the same record was written again, and all was computed: %v", err)
	}
	record.Stages["production"] = record.Stages["snapshot"]
	if err := s.line.state.SetLines("elastic", record); err != nil || !looks() {
		t.Errorf("a record changed and nobody looked: %v", err)
	}
	b.layers[mirror.DigestOf([]byte("gone"))] = b.layers[record.At("snapshot")["nginx-1.0.0"].Image.Digest]
	for i := range layersUnneeded + 1 {
		b.layers[mirror.DigestOf(fmt.Append(nil, i))] = b.layers[mirror.Digest{}]
	}
	if s.line.besides.audit = true; !looks() || len(b.layers) != 1 {
		t.Errorf("%d packages are remembered, 1 stands", len(b.layers))
	}
}

// A package that was compared, and is what it was, wakes nobody.
func TestWatch_WhatWasComparedInVainWakesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	s.open()
	p := s.line.packages
	ends := func(set string, changed bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended[set] = changed
		if p.news != nil {
			p.news()
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.line.watch(ctx) }()
	ends("same", false)
	for !p.idle("same") {
		runtime.Gosched() // until it was taken in
	}
	ends("changed", true)
	<-s.line.wakes.signal
	if w, ok := s.line.wakes.take(); !ok || len(w.Sets) != 1 || w.Sets[0] != "changed" {
		t.Errorf("woken for %v", w)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
