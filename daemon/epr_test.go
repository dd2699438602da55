package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// shop is a site whose local registry holds packages and channels that a test puts there, and an outlet that serves them.
type shop struct {
	*site
	t      *testing.T
	outlet *outlet
	stored map[string]mirror.Artifact // by name-version
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{site: newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy}), t: t, stored: map[string]mirror.Artifact{}}
	s.config += "epr: {listen: \"127.0.0.1:0\", refresh: 1s}\n"
	s.open()
	s.outlet = s.newOutlet()
	return s
}

// newOutlet makes an outlet that listens nowhere and looks only when it is told to.
func (s *shop) newOutlet() *outlet {
	s.t.Helper()
	o := newOutlet(slog.New(slog.NewTextHandler(s.t.Output(), nil)), s.clock, newMetrics("test"), true)
	c := s.line.config
	c.EPR.Listen = ""
	if err := o.change(c, time.Second); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = o.close(time.Second) })
	return o
}

// store puts the artifact of a package into the local registry, as the line does once it is verified; the same one each time.
func (s *shop) store(p testenv.EPRPackage) epr.Standing {
	s.t.Helper()
	at := mirror.Reference{Host: localName, Repository: "mirror/epr.elastic.co/" + p.Name}
	name := must(mirror.ParsePackage(p.ID()))(s.t)
	a, made := s.stored[p.ID()]
	if !made {
		up := must(testenv.NewEPR(testenv.EPROptions{}, p))(s.t)
		defer up.Close()
		zip := up.Zip(p.ID())
		a = elastic.PackHere(at, zip, up.Signature(p.ID()), must(elastic.Check(bytes.NewReader(zip), int64(len(zip)), name))(s.t))
		s.stored[p.ID()] = a
	}
	if err := s.line.writeMade(s.t.Context(), a, at); err != nil {
		s.t.Fatal(err)
	}
	return epr.Standing{Package: name, Stage: "production", Local: at.AtDigest(a.Manifest.Descriptor.Digest)}
}

// publish writes a channel as the daemon does, and the catalog of all that there are.
func (s *shop) publish(name epr.Name, item epr.Maker, all ...epr.Standing) {
	s.t.Helper()
	at := name.In(localName, "mirror")
	var before *epr.Index
	if tagged, err := s.line.registry.Resolve(s.t.Context(), at); err == nil {
		before = must(s.line.indexBefore(s.t.Context(), at.WithDigest(tagged.Digest)))(s.t)
	}
	made := must(epr.WriteIndex(s.t.Context(), s.line.registry, at, name, before, all, item))(s.t)
	if len(made.LeftOut) > 0 {
		s.t.Fatal(made.LeftOut)
	}
	if err := s.line.writeMade(s.t.Context(), made.Artifact, at); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) catalog(names ...string) {
	s.t.Helper()
	var all []epr.Name
	for _, n := range names {
		all = append(all, must(epr.ParseName(n))(s.t))
	}
	at := epr.CatalogIn(localName, "mirror")
	if err := s.line.writeMade(s.t.Context(), must(epr.WriteCatalog(at, all))(s.t), at); err != nil {
		s.t.Fatal(err)
	}
}

// ask gives the answer of an outlet to a GET.
func ask(o *outlet, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	o.routes().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// found gives what a search answers, as name-version.
func searched(t *testing.T, o *outlet, path string) string {
	t.Helper()
	w := ask(o, path)
	var items []struct{ Name, Version string }
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &items); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var all []string
	for _, i := range items {
		all = append(all, i.Name+"-"+i.Version)
	}
	return strings.Join(all, " ")
}

var (
	inProduction = epr.Name{Set: "elastic", Channel: "production"}
	inSnapshot   = epr.Name{Set: "elastic", Channel: "snapshot"}
)

func TestOutlet_ServesEachChannelBelowItsPath(t *testing.T) {
	s := newShop(t)
	nginx, system := s.store(testenv.EPRPackage{Name: "nginx", Version: "1.20.0"}), s.store(testenv.EPRPackage{Name: "system", Version: "2.0.0"})
	s.publish(inProduction, s.line.itemOf, nginx)
	s.publish(inSnapshot, s.line.itemOf, nginx, system)
	for _, path := range []string{"/readyz", "/epr/elastic/production/search"} {
		if w := ask(s.outlet, path); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s before anything was read: %d", path, w.Code)
		}
	}
	s.catalog("elastic/production", "elastic/snapshot")
	s.outlet.refresh(t.Context())
	for path, want := range map[string]string{
		"/epr/elastic/production/search": "nginx-1.20.0", "/epr/elastic/snapshot/search": "nginx-1.20.0 system-2.0.0",
		"/epr/production/search": "nginx-1.20.0", // the set may be left out where there is one
	} {
		if got := searched(t, s.outlet, path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for path, want := range map[string]int{
		"/readyz": 200, "/healthz": 200, "/metrics": 200, "/": 200, "/epr/elastic/production": 200, "/epr/elastic/production/": 200, "/epr/production/health": 200,
		"/epr/elastic/production/epr/nginx/nginx-1.20.0.zip": 200, "/epr/elastic/production/epr/nginx/nginx-1.20.0.zip.sig": 200,
		"/epr/elastic/production/package/nginx/1.20.0/": 200, "/epr/elastic/production/package/nginx/1.20.0/docs/README.md": 200,
		"/epr/elastic/production/package/system/2.0.0/": 404, "/epr/elastic/staging/search": 404, "/epr/other/production/search": 404, "/epr/": 404, "/search": 404,
	} {
		if w := ask(s.outlet, path); w.Code != want {
			t.Errorf("%s: %d, want %d: %.200s", path, w.Code, want, w.Body)
		}
	}
	if w := ask(s.outlet, "/epr/production/package/nginx/1.20.0"); w.Header().Get("Location") != "/epr/production/package/nginx/1.20.0/" {
		t.Errorf("a redirect leads to %q", w.Header().Get("Location"))
	}
	zip := ask(s.outlet, "/epr/elastic/production/epr/nginx/nginx-1.20.0.zip").Body.Bytes()
	if _, err := elastic.Check(bytes.NewReader(zip), int64(len(zip)), nginx.Package); err != nil {
		t.Errorf("the zip that is served: %v", err)
	}
	// With a second set the short form names nothing any more.
	s.publish(epr.Name{Set: "more", Channel: "production"}, s.line.itemOf, system)
	s.catalog("elastic/production", "elastic/snapshot", "more/production")
	s.outlet.refresh(t.Context())
	if w := ask(s.outlet, "/epr/production/search"); w.Code != http.StatusNotFound {
		t.Errorf("a path that two sets could mean: %d", w.Code)
	}
	s.catalog("more/production")
	s.outlet.refresh(t.Context())
	if w := ask(s.outlet, "/epr/elastic/production/search"); w.Code != http.StatusNotFound {
		t.Errorf("a channel that is no more: %d", w.Code)
	}
}

func TestOutlet_ALookCostsARequestForEachChannel(t *testing.T) {
	s := newShop(t)
	s.publish(inProduction, s.line.itemOf, s.store(testenv.EPRPackage{Name: "nginx", Version: "1.20.0"}))
	s.catalog("elastic/production")
	s.outlet.refresh(t.Context())
	s.local.Proxy().Reset()
	s.outlet.refresh(t.Context())
	if c := s.local.Proxy().Counts(); len(c.Requests) != 1 || c.Requests[testenv.ManifestHead] != 2 {
		t.Errorf("want two HEADs, one for the catalog and one for the channel: %v", c.Requests)
	}
}

func TestOutlet_ServesWhatItReadWhateverHappensToTheRegistry(t *testing.T) {
	s := newShop(t)
	nginx := s.store(testenv.EPRPackage{Name: "nginx", Version: "1.20.0"})
	s.publish(inProduction, s.line.itemOf, nginx)
	s.catalog("elastic/production")
	s.outlet.refresh(t.Context())
	at := inProduction.In(localName, "mirror")
	for name, harm := range map[string]func(){
		"away": func() {
			s.local.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Status: http.StatusBadGateway}))
		},
		"no index by us": func() { s.mustWrite(t, must(epr.WriteCatalog(at, nil))(t), at) },
		"one of another": func() {
			s.mustWrite(t, must(epr.WriteIndex(t.Context(), s.line.registry, at, inSnapshot, nil, []epr.Standing{nginx}, s.line.itemOf))(t).Artifact, at)
		},
		"no catalog by us": func() {
			s.mustWrite(t, must(epr.WriteIndex(t.Context(), s.line.registry, at, inSnapshot, nil, nil, s.line.itemOf))(t).Artifact, epr.CatalogIn(localName, "mirror"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			harm()
			s.outlet.refresh(t.Context())
			s.local.Proxy().Break(nil)
			if got := searched(t, s.outlet, "/epr/elastic/production/search"); got != "nginx-1.20.0" {
				t.Errorf("got %q", got)
			}
			s.store(testenv.EPRPackage{Name: "nginx", Version: "1.20.0"})
			s.publish(inProduction, s.line.itemOf, nginx)
			s.catalog("elastic/production")
		})
	}
}

func (s *shop) mustWrite(t *testing.T, a mirror.Artifact, at mirror.Reference) {
	t.Helper()
	if err := s.line.writeMade(t.Context(), a, at); err != nil {
		t.Fatal(err)
	}
}

// template gives a maker of items that look like a real one, without reading a package for each.
func (s *shop) template() epr.Maker {
	s.t.Helper()
	of := s.store(testenv.EPRPackage{Name: "template", Version: "0.0.1", Kibana: "^8.12.0"})
	item := must(s.line.itemOf(s.t.Context(), of))(s.t)
	return func(_ context.Context, p epr.Standing) (epr.Item, error) {
		made := item
		text := strings.ReplaceAll(string(item.Search), "0.0.1", p.Package.Version)
		made.Search = json.RawMessage(strings.ReplaceAll(text, `"name":"template"`, `"name":"`+p.Package.Name+`"`))
		made.Package = p.Package
		return made, nil
	}
}

func manyPackages(names, versions int, stage string) (all []epr.Standing) {
	for i := range names {
		for v := range versions {
			p := mirror.Package{Name: fmt.Sprintf("pkg_%04d", i), Version: fmt.Sprintf("1.%d.0", v)}
			all = append(all, epr.Standing{Package: p, Stage: stage, Local: mirror.Reference{Host: localName, Repository: "mirror/epr.elastic.co/" + p.Name, Digest: mirror.DigestOf([]byte(p.String()))}})
		}
	}
	return all
}

func TestOutlet_SwitchesAChannelOfFiftyThousandUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("50,000 packages")
	}
	s := newShop(t)
	item := s.template()
	before := manyPackages(5000, 10, "production")
	s.publish(inProduction, item, before...)
	s.catalog("elastic/production")
	s.outlet.refresh(t.Context())
	served := httptest.NewServer(s.outlet.routes())
	defer served.Close()

	var asked, failed, old, fresh atomic.Int64
	var workers sync.WaitGroup
	done := make(chan struct{})
	paths := []string{"/search?package=pkg_0001&all=true", "/search?package=pkg_4999&all=true", "/categories", "/package/pkg_0001/1.9.0/docs/none"}
	for i := range 4 {
		workers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				path := paths[i]
				resp, err := served.Client().Get(served.URL + "/epr/elastic/production" + path)
				if err != nil {
					failed.Add(1)
					continue
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				asked.Add(1)
				if want := 200; i < 3 && (err != nil || resp.StatusCode != want) {
					failed.Add(1)
				}
				switch n := strings.Count(string(body), `"download"`); {
				case i >= 2:
				case n == 10:
					old.Add(1)
				case n == 11:
					fresh.Add(1)
				default:
					failed.Add(1) // half a channel
				}
			}
		})
	}
	extra := func(name string) epr.Standing {
		e := before[0]
		e.Package = mirror.Package{Name: name, Version: "2.0.0"}
		e.Local.Digest = mirror.DigestOf([]byte(name))
		return e
	}
	s.publish(inProduction, item, append(before, extra("pkg_0001"), extra("pkg_4999"))...)
	s.outlet.refresh(t.Context())
	for was := fresh.Load(); fresh.Load() < was+4 && failed.Load() == 0; {
		runtime.Gosched() // until the load saw the new channel
	}
	close(done)
	workers.Wait()
	if failed.Load() > 0 || old.Load() == 0 || fresh.Load() == 0 {
		t.Errorf("%d requests, %d failed, %d saw the channel before, %d the one after", asked.Load(), failed.Load(), old.Load(), fresh.Load())
	}
}

func TestOutlet_PortsServeOneChannelAtTheRoot(t *testing.T) {
	s := newShop(t)
	s.publish(inProduction, s.line.itemOf, s.store(testenv.EPRPackage{Name: "nginx", Version: "1.20.0"}))
	s.catalog("elastic/production")
	c := s.line.config
	c.EPR.Listen, c.EPR.Ports = "127.0.0.1:0", map[string]string{"elastic/production": "localhost:0"}
	if err := s.outlet.change(c, time.Second); err != nil {
		t.Fatal(err)
	}
	s.outlet.refresh(t.Context())
	at := s.outlet.addresses()
	get := func(url string) (int, string) {
		resp, err := http.Get("http://" + url)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if code, body := get(at["localhost:0"] + "/search"); code != 200 || !strings.Contains(body, "nginx") {
		t.Errorf("port: %d %s", code, body)
	}
	if code, _ := get(at["127.0.0.1:0"] + "/epr/elastic/production/search"); code != 200 {
		t.Errorf("path: %d", code)
	}
	// What stays keeps its listener, what is gone is closed, what cannot be opened changes nothing.
	c.EPR.Ports = nil
	if err := s.outlet.change(c, time.Second); err != nil {
		t.Fatal(err)
	}
	if now := s.outlet.addresses(); len(now) != 1 || now["127.0.0.1:0"] != at["127.0.0.1:0"] {
		t.Errorf("addresses %v, were %v", now, at)
	}
	if code, _ := get(at["localhost:0"] + "/search"); code != 0 {
		t.Errorf("a port that is gone answers %d", code)
	}
	c.EPR.Ports = map[string]string{"elastic/production": at["127.0.0.1:0"]}
	if err := s.outlet.change(c, time.Second); err == nil {
		t.Error("an address in use was taken")
	}
	if code, _ := get(at["127.0.0.1:0"] + "/epr/elastic/production/search"); code != 200 {
		t.Errorf("after a refused change: %d", code)
	}
}

// Indexes lie where others may be able to write: a server has a bound on all of them together, and goes on with what it has.
func TestOutlet_AllChannelsTogetherAreBounded(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	first, second := s.store(testenv.EPRPackage{Name: "nginx", Version: "1.0.0"}), s.store(testenv.EPRPackage{Name: "redis", Version: "2.0.0"})
	other := epr.Name{Set: "other", Channel: "production"}
	s.publish(inProduction, s.line.itemOf, first)
	s.catalog("elastic/production")
	s.outlet.refresh(t.Context())
	one := s.outlet.unpacked(nil)
	if one == 0 {
		t.Fatal("a channel has no bytes")
	}
	s.outlet.most = one + one/2
	s.publish(other, s.line.itemOf, first)
	s.catalog("elastic/production", "other/production")
	s.outlet.refresh(t.Context())
	if got := searched(t, s.outlet, "/epr/elastic/production/search"); got != "nginx-1.0.0" {
		t.Errorf("what was served is %q now", got)
	}
	if w := ask(s.outlet, "/epr/other/production/search"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a channel more than there is room for: %d", w.Code)
	}
	if s.outlet.ready() == nil || s.outlet.unpacked(nil) != one || s.outlet.reading.Load() != 0 {
		t.Errorf("ready, or %d bytes and %d being read, want %d and none", s.outlet.unpacked(nil), s.outlet.reading.Load(), one)
	}

	// What the channels of a set have in common counts once, and one that is replaced does not count beside the new one.
	s.publish(inSnapshot, s.line.itemOf, first)
	s.catalog("elastic/production", "elastic/snapshot")
	s.outlet.refresh(t.Context())
	s.publish(inProduction, s.line.itemOf, second)
	s.publish(inSnapshot, s.line.itemOf, second)
	s.outlet.most = 2*one + one/2
	s.outlet.refresh(t.Context())
	if got := searched(t, s.outlet, "/epr/elastic/production/search") + searched(t, s.outlet, "/epr/elastic/snapshot/search"); got != "redis-2.0.0redis-2.0.0" {
		t.Errorf("served is %q", got)
	}
}

func TestOutlet_TellsOfAPortWhoseChannelNobodyHas(t *testing.T) {
	known := map[epr.Name]bool{{Set: "elastic", Channel: "production"}: true, {Set: "elastic", Channel: "9.3.0"}: true}
	ports := config.EPR{Ports: map[string]string{"elastic/production": ":1", "elastic/9.3.0": ":2", "elastic/prodution": ":3"}}
	if got := strangers(ports, known); !slices.Equal(got, []string{"elastic/prodution"}) {
		t.Errorf("told of %q", got)
	}
}

// A process that only serves channels has no heartbeat and no configuration of a daemon to show.
func TestOutlet_ShowsOnlyItsOwnMetrics(t *testing.T) {
	all, err := newMetricsAlone("1").registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		if name := family.GetName(); name != "poundlock_build_info" && name != "poundlock_requests_total" && !strings.HasPrefix(name, "poundlock_epr_") {
			t.Errorf("shows %s", name)
		}
	}
}
