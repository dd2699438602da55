package daemon

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// spooled lists what lies in the spool of a site.
func (s *packageSite) spooled() (names []string) {
	s.t.Helper()
	for _, f := range must(os.ReadDir(filepath.Join(s.dir, "state", "spool", "packages")))(s.t) {
		names = append(names, f.Name())
	}
	return names
}

// lose deletes the state, and the spool with it.
func (s *packageSite) lose() {
	s.t.Helper()
	s.close()
	if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		s.t.Fatal(err)
	}
}

// A package that was never seen is fetched, judged by its signature, copied and tagged; nothing of it stays in the spool,
// and nothing is fetched once more.
func TestPackages_AreFetchedJudgedAndStored(t *testing.T) {
	t.Parallel()
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.20.0"}, testenv.EPRPackage{Name: "apache", Version: "2.0.0-beta1"},
		testenv.EPRPackage{Name: "bad", Version: "1.0.0", SignsOther: true}, testenv.EPRPackage{Name: "unsigned", Version: "1.0.0", Unsigned: true},
		testenv.EPRPackage{Name: "plain", Version: "1.0.0", Unsigned: true, SignStatus: 404}, testenv.EPRPackage{Name: "broken", Version: "1.0.0", NoReadme: true})
	s.open()
	if p := must(s.line.Plan(t.Context(), Wake{Why: "plan", Resolve: true}))(t)[0]; len(kinds(p, mirror.Fetch)) != 6 || s.epr.Asked(testenv.OfZip("")) != 0 {
		t.Errorf("a plan fetches: %v, %v", kinds(p, mirror.Fetch), s.epr.Proxy().Counts().Paths)
	}
	report := s.sync()["elastic"]
	if got := s.stands("snapshot"); got != "apache-2.0.0-beta1 nginx-1.20.0" {
		t.Errorf("stands: %q; %+v", got, report.Plan.Actions)
	}
	want := map[string]mirror.ReasonCode{"snapshot/bad-1.0.0": mirror.BadSignature, "snapshot/unsigned-1.0.0": mirror.NoSignature,
		"snapshot/plain-1.0.0": mirror.NoSignature, "snapshot/broken-1.0.0": mirror.BadContent}
	refused := kinds(report.Plan, mirror.Refuse)
	for entry, code := range want {
		if refused[entry] != code {
			t.Errorf("%s is refused with %q, want %s", entry, refused[entry], code)
		}
	}
	if n := s.epr.Asked(testenv.OfZip("")); n != 6 {
		t.Errorf("%d zips were asked for, want 6: %v", n, s.epr.Proxy().Counts().Paths)
	}
	if names := s.spooled(); len(names) != 3 { // those that policy refused, as long as there is room
		t.Errorf("in the spool: %q", names)
	}
	s.whole()
	head := s.git.Head()
	for when, reopen := range map[string]func(){"at rest": func() {}, "after a start": s.close} {
		reopen()
		s.epr.Proxy().Reset()
		s.sync()
		if s.epr.Asked(testenv.OfZip("")) != 0 || s.git.Head() != head {
			t.Errorf("%s: %v", when, s.epr.Proxy().Counts().Paths)
		}
	}
	s.lose()
	s.epr.Proxy().Reset()
	s.sync()
	if n := s.epr.Asked(testenv.OfZip("")); n != 4 || s.git.Head() != head { // of those that stand none
		t.Errorf("after the state was lost: %v", s.epr.Proxy().Counts().Paths)
	}
}

// The zip is fetched again only when its signature or what its server says of it changed; then it is an ordinary change.
func TestPackages_OtherBytesOfTheSameVersion(t *testing.T) {
	t.Parallel()
	nginx := testenv.EPRPackage{Name: "nginx", Version: "1.20.0"}
	free := testenv.EPRPackage{Name: "free", Version: "1.0.0", Unsigned: true}
	for _, tt := range []struct {
		name         string
		change       testenv.EPRPackage
		zips         int
		other, ahead bool
	}{
		{name: "another word in the listing", change: testenv.EPRPackage{Name: "nginx", Version: "1.20.0", Advertised: "^9.0.0"}},
		{name: "other bytes and word", change: testenv.EPRPackage{Name: "nginx", Version: "1.20.0", Title: "Other", Seed: "x"}, zips: 1, other: true},
		{name: "other bytes, nothing told", change: testenv.EPRPackage{Name: "nginx", Version: "1.20.0", Seed: "x"}, ahead: true, zips: 1, other: true},
		{name: "nothing changed for a day", change: nginx, ahead: true},
		{name: "unsigned, another word", change: testenv.EPRPackage{Name: "free", Version: "1.0.0", Unsigned: true, Advertised: "^9.0.0"}, zips: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newPackageSite(t, nginx, free)
			s.commit("policy", map[string]string{"desired/policy.yaml": makerPolicy + "exceptions:\n" + excepted("epr.elastic.co/free")})
			s.sync()
			id, before := tt.change.ID(), s.file("rendered/demo/elastic/snapshot.yaml")
			if tt.change.Seed == "" && !tt.change.Unsigned {
				tt.change.Signature = string(s.epr.Signature(id)) // who signs anew makes another signature
			}
			if err := s.epr.Put(tt.change); err != nil {
				t.Fatal(err)
			}
			if tt.ahead {
				s.now = s.now.Add(25 * time.Hour)
			}
			s.epr.Proxy().Reset()
			s.sync()
			zips := 0
			for _, path := range s.epr.Proxy().Counts().Paths {
				if strings.HasPrefix(path, "GET ") && strings.HasSuffix(path, id+".zip") {
					zips++
				}
			}
			if after := s.file("rendered/demo/elastic/snapshot.yaml"); zips != tt.zips || (after != before) != tt.other {
				t.Errorf("%d zips, want %d; the record changed: %v, want %v\n%v", zips, tt.zips, after != before, tt.other, s.epr.Proxy().Counts().Paths)
			}
			s.whole()
		})
	}
}

// What breaks on the way is gone on with where the server can say that the file is the same, and begun anew where not.
func TestPackages_StreamsThatBreak(t *testing.T) {
	t.Parallel()
	const size = 300_000
	for _, tt := range []struct {
		name  string
		pack  testenv.EPRPackage
		fault func(s *packageSite) func(*http.Request) *testenv.Fault
		want  string
	}{
		{name: "cut once", want: "nginx-1.20.0", fault: func(*packageSite) func(*http.Request) *testenv.Fault {
			return testenv.Once(1, testenv.OfZip(""), testenv.Fault{Truncate: true, After: 100_000})
		}},
		{name: "a fault of the server", want: "nginx-1.20.0", fault: func(*packageSite) func(*http.Request) *testenv.Fault {
			return testenv.Once(1, testenv.OfZip(""), testenv.Fault{Status: 503})
		}},
		{name: "changed midway", want: "nginx-1.20.0", fault: func(s *packageSite) func(*http.Request) *testenv.Fault {
			once := testenv.Once(1, testenv.OfZip(""), testenv.Fault{Truncate: true, After: 100_000})
			again := testenv.Once(2, testenv.OfZip(""), testenv.Fault{})
			return func(r *http.Request) *testenv.Fault {
				if again(r) != nil {
					if err := s.epr.Put(testenv.EPRPackage{Name: "nginx", Version: "1.20.0", Size: size, Seed: "other"}); err != nil {
						t.Error(err)
					}
				}
				return once(r)
			}
		}},
		{name: "without a length, cut", want: "nginx-1.20.0", pack: testenv.EPRPackage{Streamed: true}, fault: func(*packageSite) func(*http.Request) *testenv.Fault {
			return testenv.Once(1, testenv.OfZip(""), testenv.Fault{Truncate: true, After: 100_000})
		}},
		{name: "always cut", fault: func(*packageSite) func(*http.Request) *testenv.Fault {
			return func(r *http.Request) *testenv.Fault {
				if testenv.OfZip("")(r) {
					return &testenv.Fault{Truncate: true, After: 0}
				}
				return nil
			}
		}},
		{name: "flipped", fault: func(*packageSite) func(*http.Request) *testenv.Fault {
			return testenv.Once(1, testenv.OfZip(""), testenv.Fault{Corrupt: true, After: 200_000})
		}},
		{name: "the signature cannot be asked for", fault: func(*packageSite) func(*http.Request) *testenv.Fault {
			return func(r *http.Request) *testenv.Fault {
				if testenv.OfSignature("")(r) {
					return &testenv.Fault{Status: 403}
				}
				return nil
			}
		}},
		{name: "listed and not there", fault: func(*packageSite) func(*http.Request) *testenv.Fault {
			return func(r *http.Request) *testenv.Fault {
				if testenv.OfZip("")(r) {
					return &testenv.Fault{Status: 404}
				}
				return nil
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.pack.Name, tt.pack.Version, tt.pack.Size = "nginx", "1.20.0", size
			s := newPackageSite(t, tt.pack)
			s.epr.Proxy().Break(tt.fault(s))
			r := s.sync()["elastic"]
			if got := s.stands("snapshot"); got != tt.want {
				t.Errorf("stands: %q, want %q: %+v", got, tt.want, r.Plan.Actions)
			}
			if tt.want == "" && r.Plan.Count(mirror.Failed)+r.Plan.Count(mirror.Refuse)+r.Plan.Count(mirror.Missing) != 1 {
				t.Errorf("nothing tells that it is not there: %+v", r.Plan.Actions)
			}
			sent := s.epr.Proxy().Counts().Sent
			if tt.name == "cut once" && sent > size+100_000 {
				t.Errorf("%d bytes were sent for a package of %d: it was begun anew", sent, size)
			}
			s.epr.Proxy().Break(nil)
			s.now = s.now.Add(7 * time.Hour)
			s.sync()
			if got := s.stands("snapshot"); got != "nginx-1.20.0" {
				t.Errorf("when all is well again stands %q", got)
			}
			s.whole()
		})
	}
}

// A process that ends anywhere loses nothing: a part is gone on with, a package in the spool is not fetched again.
func TestPackages_AProcessThatEndsMidway(t *testing.T) {
	t.Parallel()
	const size = 2 << 20
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.20.0", Size: size})
	ctx, cancel := contextWithCancel(t)
	s.epr.Proxy().Break(func(r *http.Request) *testenv.Fault {
		switch {
		case testenv.OfZip("")(r) && r.Header.Get("Range") == "":
			return &testenv.Fault{Truncate: true, After: size / 2}
		case testenv.OfZip("")(r):
			cancel()
			return &testenv.Fault{Until: t.Context().Done()}
		}
		return nil
	})
	s.open()
	if _, err := s.line.Sync(ctx, Wake{Why: "test", Resolve: true, Audit: true}); err == nil {
		t.Fatal("it did not end")
	}
	s.close()
	if names := s.spooled(); len(names) != 1 || !strings.HasPrefix(names[0], partPrefix) {
		t.Fatalf("in the spool: %q", names)
	}
	s.epr.Proxy().Reset()
	s.epr.Proxy().Break(nil)
	s.local.Proxy().Break(func(r *http.Request) *testenv.Fault {
		if testenv.KindOf(r) == testenv.UploadPost {
			return &testenv.Fault{Status: 500}
		}
		return nil
	})
	if _, err := s.trySync(); err != nil {
		t.Log(err)
	}
	if sent := s.epr.Proxy().Counts().Sent; sent > size/2+100_000 {
		t.Errorf("%d bytes were sent for the rest of %d", sent, size/2)
	}
	s.close()
	if err := os.Remove(filepath.Join(s.dir, "state", stateFile)); err != nil {
		t.Fatal(err)
	}
	s.local.Proxy().Break(nil)
	s.epr.Proxy().Reset()
	s.sync()
	if got := s.stands("snapshot"); got != "nginx-1.20.0" || s.epr.Asked(testenv.OfZip("")) != 0 {
		t.Errorf("stands %q; asked: %v", got, s.epr.Proxy().Counts().Paths)
	}
	if names := s.spooled(); len(names) != 0 {
		t.Errorf("in the spool: %q", names)
	}
}

// The spool never holds more than it may; packages that are larger are refused, and those that policy refused make room.
func TestPackages_TheSpoolIsBounded(t *testing.T) {
	t.Parallel()
	var all []testenv.EPRPackage
	for _, name := range []string{"a", "b", "c", "d"} {
		all = append(all, testenv.EPRPackage{Name: name, Version: "1.0.0", Size: 600 << 10, SignsOther: name < "c"})
	}
	all = append(all, testenv.EPRPackage{Name: "large", Version: "1.0.0", Size: 2 << 20}, testenv.EPRPackage{Name: "long", Version: "1.0.0", Size: 2 << 20, Streamed: true})
	s := newPackageSite(t, all...)
	s.config += "packages: {spoolLimit: 1, atOnce: 4}\n"
	r := s.sync()["elastic"]
	if got := s.stands("snapshot"); got != "c-1.0.0 d-1.0.0" {
		t.Errorf("stands: %q, %+v", got, r.Plan.Actions)
	}
	refused := kinds(r.Plan, mirror.Refuse)
	for _, entry := range []string{"large-1.0.0", "long-1.0.0"} {
		if refused["snapshot/"+entry] != mirror.BadContent {
			t.Errorf("%s: %v", entry, refused)
		}
	}
	if size := s.line.Fetching().Spooled; size > 1<<20 {
		t.Errorf("%d bytes in the spool", size)
	}
	s.config = strings.Replace(s.config, "spoolLimit: 1", "spoolLimit: 16", 1)
	s.open()
	s.now = s.now.Add(7 * time.Hour)
	s.sync()
	if got := s.stands("snapshot"); got != "c-1.0.0 d-1.0.0 large-1.0.0 long-1.0.0" {
		t.Errorf("with more room stands: %q", got)
	}
}

// What left the spool and is needed again is read from the local registry or, where that lost it, fetched once more.
func TestPackages_AreFetchedAgainWhenTheyAreNowhere(t *testing.T) {
	t.Parallel()
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.20.0"}, testenv.EPRPackage{Name: "bad", Version: "1.0.0", SignsOther: true})
	s.sync()
	for _, name := range s.spooled() {
		if err := os.RemoveAll(filepath.Join(s.dir, "state", "spool", "packages", name)); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	s.commit("all is admitted", map[string]string{"desired/policy.yaml": makerPolicy + "exceptions:\n" + excepted("epr.elastic.co/bad")})
	s.epr.Proxy().Reset()
	s.sync()
	if got := s.stands("snapshot"); got != "bad-1.0.0 nginx-1.20.0" || s.epr.Asked(testenv.OfZip("bad-1.0.0")) != 1 || s.epr.Asked(testenv.OfZip("nginx-1.20.0")) != 0 {
		t.Errorf("stands %q; asked: %v", got, s.epr.Proxy().Counts().Paths)
	}
}

// Two sets that want the same package fetch it once, and each has its own.
func TestPackages_OfTwoSetsAreFetchedOnce(t *testing.T) {
	t.Parallel()
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.20.0"})
	s.commit("another", map[string]string{"desired/second.yaml": packageSet("packages: [nginx]", "layout: path\n")})
	s.sync()
	if n := s.epr.Asked(testenv.OfZip("")); n != 1 {
		t.Errorf("%d zips were asked for, want 1", n)
	}
	for _, set := range []string{"elastic", "second"} {
		record := must(s.line.record(s.line.fleet.Load(), must(setNamed(s.site, set))(t)))(t)
		if len(record.At("snapshot")) != 1 {
			t.Errorf("%s: %+v", set, record)
		}
	}
	s.whole()
}

// A package of a drop folder or of another registry goes the same way.
func TestPackages_OfADropFolderAndOfARegistry(t *testing.T) {
	t.Parallel()
	s := newPackageSite(t, testenv.EPRPackage{Name: "acme", Version: "1.0.0"}, testenv.EPRPackage{Name: "other", Version: "1.0.0"})
	drop := t.TempDir()
	for name, body := range map[string][]byte{"acme-1.0.0.zip": s.epr.Zip("acme-1.0.0"), "acme-1.0.0.zip.sig": s.epr.Signature("acme-1.0.0")} {
		if err := os.WriteFile(filepath.Join(drop, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.config += "packages: {drop: {team: \"" + drop + "\"}}\n"
	s.commit("own", map[string]string{"desired/elastic.yaml": "version: 1\nsource: {kind: epr, own: [{drop: team}, {address: \"https://epr.elastic.co/epr/other/other-1.0.0.zip\"}]}\n"})
	r := s.sync()["elastic"]
	if got := s.stands("snapshot"); got != "acme-1.0.0 other-1.0.0" {
		t.Errorf("stands %q: %+v", got, r.Plan.Actions)
	}
	if n := s.epr.Asked(testenv.OfSearch); n != 0 {
		t.Errorf("%d searches", n)
	}
	tags := testenv.TagsOf(s.local.Back())
	if !slices.ContainsFunc(sortedKeys(tags), func(tag string) bool { return strings.Contains(tag, "packages.invalid/acme") }) {
		t.Errorf("tags: %v", tags)
	}
}
