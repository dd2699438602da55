package daemon

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/testenv"
)

// Killed at any moment between the first byte and the channel, the next run goes on: it ends as an undisturbed one does,
// nothing that came whole is fetched once more, and a part goes on where it broke.
func TestPackages_KilledAnywhere(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	packages := []testenv.EPRPackage{{Name: "nginx", Version: "1.20.0", Size: size}, {Name: "apache", Version: "2.0.0"}, {Name: "bad", Version: "1.0.0", SignsOther: true}}
	first := newPackageSite(t, packages...)
	key := first.epr.Key
	for i, p := range packages {
		packages[i].SignsOther, packages[i].Signature = false, string(first.epr.Signature(p.ID())) // who signs anew makes another signature
	}
	first.run()
	want := first.end()
	if got := first.channel("snapshot"); got != "apache-2.0.0 nginx-1.20.0" {
		t.Fatalf("undisturbed: the channel has %q", got)
	}
	of := func(method, part, end string) func(*http.Request) bool {
		return func(r *http.Request) bool {
			return r.Method == method && strings.Contains(r.URL.Path, part) && strings.HasSuffix(r.URL.Path, end)
		}
	}
	for _, tt := range []struct {
		name   string
		server func(s *packageSite) *testenv.Proxy
		at     func(*http.Request) bool
		anew   bool // nothing lies in the spool yet
	}{
		{"while the zip comes", (*packageSite).eprProxy, func(r *http.Request) bool { return testenv.OfZip("nginx-1.20.0")(r) && r.Header.Get("Range") != "" }, true},
		{"before its signature", (*packageSite).eprProxy, testenv.OfSignature("nginx-1.20.0"), true},
		{"before the first upload", (*packageSite).localProxy, of(http.MethodPost, "/epr.elastic.co/nginx/", ""), false},
		{"while a blob is copied", (*packageSite).localProxy, of(http.MethodPut, "/epr.elastic.co/nginx/blobs/", ""), false},
		{"before the manifest", (*packageSite).localProxy, of(http.MethodPut, "/epr.elastic.co/nginx/manifests/", ""), false},
		{"before the tag of the stage", (*packageSite).localProxy, of(http.MethodPut, "/epr.elastic.co/nginx/manifests/", "-snapshot"), false},
		{"before the commit", (*packageSite).gitProxy, of(http.MethodPost, "", "git-receive-pack"), false},
		{"before the channel", (*packageSite).localProxy, of(http.MethodPost, "poundlock/channels", ""), false},
		{"before the channel's tag", (*packageSite).localProxy, of(http.MethodPut, "poundlock/channels", "snapshot"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newPackageSiteWith(t, testenv.EPROptions{Key: key}, packages...)
			cmd, killed := s.process(), make(chan struct{})
			half := testenv.Once(1, testenv.OfZip("nginx-1.20.0"), testenv.Fault{Truncate: true, After: size / 2})
			die := func(r *http.Request) *testenv.Fault {
				if !tt.at(r) {
					return nil
				}
				select {
				case <-killed:
				default:
					close(killed)
					_ = cmd.Process.Kill()
				}
				return &testenv.Fault{Until: t.Context().Done()}
			}
			s.epr.Proxy().Break(half)
			if tt.server(s) == s.epr.Proxy() {
				s.epr.Proxy().Break(func(r *http.Request) *testenv.Fault {
					if f := half(r); f != nil {
						return f
					}
					return die(r)
				})
			} else {
				tt.server(s).Break(die)
			}
			if err := cmd.Run(); err == nil {
				t.Fatal("it was not killed")
			}
			if tags := s.repositories(); !tt.anew && len(tags) > 0 {
				t.Logf("in the registry: %v", tags)
			}
			s.whole()
			s.leftNothing("bad")
			for _, p := range []*testenv.Proxy{s.epr.Proxy(), s.local.Proxy(), s.git.Proxy()} {
				p.Break(nil)
			}
			s.epr.Proxy().Reset()
			s.run()
			counts := s.epr.Proxy().Counts()
			if zips := s.epr.Asked(testenv.OfZip("nginx-1.20.0")); !tt.anew && zips > 0 || counts.Sent > size/2+200_000 {
				t.Errorf("%d zips and %d bytes were sent: %v", zips, counts.Sent, counts.Paths)
			}
			s.whole()
			s.leftNothing("bad")
			got := s.end()
			if !maps.Equal(got, want) {
				t.Errorf("it ends in\n%v\nwant\n%v", got, want)
			}
			if got := s.channel("snapshot"); got != "apache-2.0.0 nginx-1.20.0" {
				t.Errorf("the channel has %q", got)
			}
		})
	}
}

func (s *packageSite) eprProxy() *testenv.Proxy   { return s.epr.Proxy() }
func (s *packageSite) localProxy() *testenv.Proxy { return s.local.Proxy() }
func (s *packageSite) gitProxy() *testenv.Proxy   { return s.git.Proxy() }

// run syncs in a process of its own, to its end, and opens the state that this left.
func (s *packageSite) run() {
	s.t.Helper()
	s.close()
	if err := s.process().Run(); err != nil {
		s.t.Fatal(err)
	}
	s.open()
}

// A local registry that goes away while packages are fetched costs no zip, and what stands in the spool is copied when it is
// back.
func TestPackages_TheRegistryIsAwayWhileTheyAreFetched(t *testing.T) {
	t.Parallel()
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.20.0", Size: 300_000}, testenv.EPRPackage{Name: "apache", Version: "2.0.0"})
	s.epr.Proxy().Break(func(r *http.Request) *testenv.Fault {
		if testenv.OfZip("")(r) {
			s.local.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Reset: true}))
		}
		return nil
	})
	if _, err := s.trySync(); err == nil && s.stands("snapshot") != "" {
		t.Errorf("without a registry stands %q", s.stands("snapshot"))
	}
	if n := len(s.spooled()); n != 2 {
		t.Errorf("%d packages in the spool", n)
	}
	s.epr.Proxy().Break(nil)
	s.local.Proxy().Break(nil)
	s.epr.Proxy().Reset()
	s.now = s.now.Add(time.Hour)
	s.sync()
	if got := s.stands("snapshot"); got != "apache-2.0.0 nginx-1.20.0" || s.epr.Asked(testenv.OfZip("")) != 0 || len(s.spooled()) != 0 {
		t.Errorf("stands %q; spool %q; asked %v", got, s.spooled(), s.epr.Proxy().Counts().Paths)
	}
	s.whole()
}

// An upstream that is in trouble in the middle of a zip is asked for the rest, until it sends it.
func TestPackages_TroubleInTheMiddleCostsNoByteTwice(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for _, o := range []testenv.EPROptions{{}, {ETags: true}} {
		s := newPackageSiteWith(t, o, testenv.EPRPackage{Name: "nginx", Version: "1.20.0", Size: size})
		n := 0
		s.epr.Proxy().Break(func(r *http.Request) *testenv.Fault {
			if !testenv.OfZip("")(r) {
				return nil
			}
			switch n++; n {
			case 1:
				return &testenv.Fault{Truncate: true, After: size / 3}
			case 2:
				return &testenv.Fault{Status: 502}
			case 3:
				return &testenv.Fault{Truncate: true, After: size / 3}
			case 4:
				return &testenv.Fault{Reset: true}
			}
			return nil
		})
		s.sync()
		if sent := s.epr.Proxy().Counts().Sent; s.stands("snapshot") != "nginx-1.20.0" || sent > size+100_000 {
			t.Errorf("stands %q; %d bytes were sent for %d: %v", s.stands("snapshot"), sent, size, s.epr.Proxy().Counts().Paths)
		}
	}
}

// A disk that is full stops what does not fit and nothing else; with room again it comes by itself.
func TestPackages_TheDiskIsFull(t *testing.T) {
	t.Parallel()
	s := newPackageSite(t, testenv.EPRPackage{Name: "big", Version: "1.0.0", Size: 3 << 20}, testenv.EPRPackage{Name: "small", Version: "1.0.0"})
	s.config += "packages: {atOnce: 1}\n"
	disk := filepath.Join(s.dir, "state", "spool", "packages")
	must(0, os.MkdirAll(disk, 0o700))(t)
	if err := syscall.Mount("none", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no small disk can be made here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	r := s.sync()["elastic"]
	if got := s.stands("snapshot"); got != "small-1.0.0" {
		t.Errorf("stands %q: %+v", got, r.Plan.Actions)
	}
	told := false
	for _, a := range r.Plan.Actions {
		told = told || a.Key.Entry == "big-1.0.0" && strings.Contains(a.Reason.String(), "no space is left")
	}
	if !told || len(s.spooled()) != 0 {
		t.Errorf("told: %v, in the spool: %q", told, s.spooled())
	}
	must(0, syscall.Mount("none", disk, "tmpfs", syscall.MS_REMOUNT, "size=16m"))(t)
	s.now = s.now.Add(2 * time.Hour)
	s.sync()
	if got := s.stands("snapshot"); got != "big-1.0.0 small-1.0.0" {
		t.Errorf("with room stands %q", got)
	}
	s.whole()
	s.close()
}

// Two daemons of one site agree on packages and channels: the second fetches nothing that stands, and at rest neither writes.
func TestPackages_OfTwoDaemons(t *testing.T) {
	t.Parallel()
	nginx := testenv.EPRPackage{Name: "nginx", Version: "1.20.0"}
	s := newPackageSite(t, nginx, testenv.EPRPackage{Name: "apache", Version: "2.0.0"}, testenv.EPRPackage{Name: "bad", Version: "1.0.0", SignsOther: true})
	two := &packageSite{s.twin(), s.epr}
	two.now = s.now.Add(90 * time.Second)
	s.sync()
	two.sync()
	if n := s.epr.Asked(testenv.OfZip("nginx-1.20.0")); n != 1 {
		t.Errorf("the zip of nginx was fetched %d times", n)
	}
	s.commit("rise", map[string]string{"stages/elastic/staging.yaml": s.stageOf("snapshot")})
	s.sync()
	two.sync()
	// Other bytes under the same version, of which the listing says nothing: only the daemon that compares sees them.
	nginx.Seed = "other"
	must(0, s.epr.Put(nginx))(t)
	before := must(s.line.state.Record("elastic"))(t).At("snapshot")["nginx-1.20.0"].Image
	two.now = two.now.Add(25 * time.Hour)
	two.sync()
	after := must(two.line.state.Record("elastic"))(t).At("snapshot")["nginx-1.20.0"].Image
	if after == before {
		t.Fatal("the second daemon saw no other bytes")
	}
	s.sync() // its clock stands: nothing would make it compare
	if now := must(s.line.state.Record("elastic"))(t).At("snapshot")["nginx-1.20.0"].Image; now != after {
		t.Errorf("the first daemon put back what the second brought: %s, want %s", now, after)
	}
	s.now = two.now
	rest(t, s.site, two.site)
	for _, d := range []*packageSite{s, two} {
		s.local.Proxy().Reset()
		s.epr.Proxy().Reset()
		must(d.line.cycle(t.Context(), Wake{Why: "poll"}))(t)
		must(0, d.line.settleChannels(t.Context()))(t)
		if local, up := s.local.Proxy().Counts(), s.epr.Proxy().Counts(); local.Total()+up.Total() != 0 || !d.line.packages.idle("elastic") {
			t.Errorf("at rest: %v, %v", local.Paths, up.Paths)
		}
		if got := d.channel("staging"); got != "apache-2.0.0 nginx-1.20.0" {
			t.Errorf("the channel has %q", got)
		}
	}
	s.local.Proxy().Reset()
	s.now, two.now = s.now.Add(time.Hour), two.now.Add(time.Hour)
	s.sync()
	two.sync()
	if n := s.local.Proxy().Counts().Writes(); n != 0 {
		t.Errorf("%d writes at rest: %v", n, s.local.Proxy().Counts().Paths)
	}
	s.whole()
}

// A server of channels that is started while the daemon, Git and upstream are dead serves what the registry holds; also one
// that is started while that is away, as soon as it is back.
func TestPackages_AServerStartsWhileTheDaemonIsDead(t *testing.T) {
	t.Parallel()
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.20.0"})
	s.config += "epr: {listen: \"127.0.0.1:0\", refresh: 1s}\n"
	s.open()
	s.sync()
	zip, c := s.epr.Zip("nginx-1.20.0"), s.line.config
	s.close()
	must(0, os.RemoveAll(filepath.Join(s.dir, "state")))(t)
	s.epr.Close()
	s.git.Close()
	for _, away := range []bool{false, true} {
		if away {
			s.local.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Status: http.StatusBadGateway}))
		}
		began := make(chan map[string]string, 1)
		o := Outlet{Options: Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now, Version: "test"},
			Load: func() (config.Config, error) { return c, nil }, Began: func(at map[string]string) { began <- at }}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- o.Run(ctx) }()
		at := "http://" + (<-began)["127.0.0.1:0"]
		get := func(path string) (int, string) {
			resp := must(http.Get(at + path))(t)
			defer resp.Body.Close()
			return resp.StatusCode, string(must(io.ReadAll(resp.Body))(t))
		}
		if code, _ := get("/readyz"); away && code != http.StatusServiceUnavailable {
			t.Errorf("ready without a registry: %d", code)
		}
		s.local.Proxy().Break(nil)
		within, cancel := context.WithTimeout(t.Context(), time.Minute)
		for {
			if code, _ := get("/readyz"); code == http.StatusOK || within.Err() != nil {
				break
			}
		}
		cancel()
		if code, body := get("/epr/snapshot/search"); code != http.StatusOK || !strings.Contains(body, `"nginx"`) {
			t.Errorf("away: %v: %d %s", away, code, body)
		}
		if code, body := get("/epr/elastic/snapshot/epr/nginx/nginx-1.20.0.zip"); code != http.StatusOK || body != string(zip) {
			t.Errorf("away: %v: the zip: %d, %d bytes", away, code, len(body))
		}
		// What it read stays while the registry is away; a zip is an error then, never other bytes.
		s.local.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Status: http.StatusBadGateway}))
		if code, body := get("/epr/snapshot/search"); code != http.StatusOK || !strings.Contains(body, `"nginx"`) {
			t.Errorf("away: %v: without the registry: %d %s", away, code, body)
		}
		s.local.Proxy().Break(nil)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
