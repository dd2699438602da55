package daemon

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// badEntry is an entry of a zip that no honest tool writes.
type badEntry struct {
	name string
	body string
	mode fs.FileMode
	size uint64 // what the directory says of it unpacked; 0: the truth
}

// badZip gives a package that is as it should be, but for more entries.
func badZip(t *testing.T, id string, more ...badEntry) []byte {
	t.Helper()
	p := must(mirror.ParsePackage(id))(t)
	all := append([]badEntry{
		{name: id + "/manifest.yml", body: fmt.Sprintf("format_version: 3.0.0\nname: %s\ntitle: Bad\nversion: %q\ndescription: Bad\ntype: integration\nowner: {github: elastic/team, type: elastic}\n", p.Name, p.Version)},
		{name: id + "/docs/README.md", body: "# Bad\n"},
	}, more...)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range all {
		var packed bytes.Buffer
		deflate := must(flate.NewWriter(&packed, flate.BestCompression))(t)
		must(io.WriteString(deflate, e.body))(t)
		must(0, deflate.Close())(t)
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE([]byte(e.body)),
			CompressedSize64: uint64(packed.Len()), UncompressedSize64: max(e.size, uint64(len(e.body)))}
		if e.size > 0 {
			h.UncompressedSize64 = e.size
		}
		h.SetMode(max(e.mode, 0o644))
		must(must(w.CreateRaw(h))(t).Write(packed.Bytes()))(t)
	}
	must(0, w.Close())(t)
	return b.Bytes()
}

// badPackage is a package that must never come in, and how it is told.
type badPackage struct {
	testenv.EPRPackage
	code mirror.ReasonCode
	why  string // part of the reason
}

// badPackages are all that an upstream, or somebody between it and us, could try with the bytes of a package.
func badPackages(t *testing.T) []badPackage {
	t.Helper()
	stranger := must(testenv.NewPGPKey("Package Maker", testenv.PGPOptions{}))(t) // by the same name
	zipped := func(name string, more ...badEntry) testenv.EPRPackage {
		return testenv.EPRPackage{Name: name, Version: "1.0.0", Zip: badZip(t, name+"-1.0.0", more...)}
	}
	says := func(name, manifest string) testenv.EPRPackage {
		return testenv.EPRPackage{Name: name, Version: "1.0.0", Manifest: "format_version: 3.0.0\ntype: integration\ntitle: Bad\n" + manifest}
	}
	zeros := strings.Repeat("\x00", 8<<20)
	return []badPackage{
		{zipped("bomb", badEntry{name: "bomb-1.0.0/a", body: zeros}), mirror.BadContent, "times its size"},
		{zipped("liar", badEntry{name: "liar-1.0.0/a", body: zeros, size: 100}), mirror.BadContent, "damaged"},
		{zipped("claims", badEntry{name: "claims-1.0.0/a", size: 3 << 30}), mirror.BadContent, "MiB"},
		{zipped("slip", badEntry{name: "slip-1.0.0/../../slipped", body: "x"}), mirror.BadContent, "leads out"},
		{zipped("absolute", badEntry{name: "/tmp/absolute", body: "x"}), mirror.BadContent, "root of the disk"},
		{zipped("backslash", badEntry{name: `backslash-1.0.0\..\..\x`, body: "x"}), mirror.BadContent, "backslash"},
		{zipped("link", badEntry{name: "link-1.0.0/a", body: "/etc/passwd", mode: fs.ModeSymlink | 0o777}), mirror.BadContent, "symbolic link"},
		{zipped("device", badEntry{name: "device-1.0.0/a", mode: fs.ModeDevice | 0o600}), mirror.BadContent, "neither a file nor a folder"},
		{zipped("roots", badEntry{name: "other-1.0.0/a", body: "x"}), mirror.BadContent, "more than one directory"},
		{zipped("stray", badEntry{name: "stray", body: "x"}), mirror.BadContent, "beside the directory"},
		{says("named", "name: other\nversion: 1.0.0\n"), mirror.BadContent, "other-1.0.0"},
		{says("numbered", "name: numbered\nversion: 2.0.0\n"), mirror.BadContent, "numbered-2.0.0"},
		{says("short", "name: short\nversion: \"1.0\"\n"), mirror.BadContent, "1.0"},
		{says("lettered", "name: lettered\nversion: v1.0.0\n"), mirror.BadContent, "v1.0.0"},
		{testenv.EPRPackage{Name: "rooted", Version: "1.0.0", Root: "rooted"}, mirror.BadContent, "directory"},
		{testenv.EPRPackage{Name: "nozip", Version: "1.0.0", Zip: []byte("<html><body>Sign in</body></html>")}, mirror.BadContent, "no zip"},
		{testenv.EPRPackage{Name: "empty", Version: "1.0.0", Zip: []byte{}}, mirror.BadContent, "no zip"},
		{testenv.EPRPackage{Name: "signsother", Version: "1.0.0", SignsOther: true}, mirror.BadSignature, "signature"},
		{testenv.EPRPackage{Name: "wrongkey", Version: "1.0.0", Signer: stranger}, mirror.BadSignature, "key"},
		{testenv.EPRPackage{Name: "nosignature", Version: "1.0.0", Signature: "OK"}, mirror.BadSignature, "signature"},
		{testenv.EPRPackage{Name: "missing", Version: "1.0.0", Unsigned: true, SignStatus: 404}, mirror.NoSignature, "signature"},
		{testenv.EPRPackage{Name: "missing500", Version: "1.0.0", Unsigned: true}, mirror.NoSignature, "signature"},
	}
}

// repositories lists what the local registry has, with tags or without.
func (s *site) repositories() (names []string) {
	s.t.Helper()
	resp := must(http.Get("http://" + s.local.Back() + "/v2/_catalog?n=10000"))(s.t)
	defer resp.Body.Close()
	var answer struct{ Repositories []string }
	must(0, json.NewDecoder(resp.Body).Decode(&answer))(s.t)
	return answer.Repositories
}

// leftNothing fails the test where anything of a package reached the local registry, what is rendered, or a channel.
func (s *packageSite) leftNothing(name string) {
	s.t.Helper()
	for _, repository := range s.repositories() {
		if strings.HasSuffix(repository, "/"+name) {
			s.t.Errorf("%s: the registry has %s", name, repository)
		}
	}
	for _, path := range s.local.Proxy().Counts().Paths {
		if method, at, _ := strings.Cut(path, " "); method != http.MethodGet && method != http.MethodHead && strings.Contains(at, "/epr.elastic.co/"+name+"/") {
			s.t.Errorf("%s: the registry was told %s", name, path)
		}
	}
	for file, body := range must(s.git.Files("main"))(s.t) {
		if strings.HasPrefix(file, "rendered/") && strings.Contains(body, name+"-1.0.0") {
			s.t.Errorf("%s: %s names it", name, file)
		}
	}
}

// channel gives what a fresh server finds in a channel of the set.
func (s *packageSite) channel(name string) string {
	s.t.Helper()
	k := &shop{site: s.site, t: s.t}
	o := k.newOutlet()
	o.refresh(s.t.Context())
	return searched(s.t, o, "/epr/elastic/"+name+"/search?all=true&prerelease=true")
}

// Whatever is wrong with the bytes of a package: it is refused with the reason, nothing of it is anywhere, it is fetched
// once, and the packages beside it come.
func TestPackages_BadInputIsRefusedAndTheOthersCome(t *testing.T) {
	t.Parallel()
	bad := badPackages(t)
	all := []testenv.EPRPackage{{Name: "fine", Version: "2.0.0"}, {Name: "good", Version: "1.0.0"}, {Name: "cut", Version: "1.0.0", Size: 64 << 10, Streamed: true}}
	for _, b := range bad {
		all = append(all, b.EPRPackage)
	}
	s := newPackageSite(t, all...)
	s.epr.Proxy().Break(testenv.Always(testenv.OfZip("cut-1.0.0"), testenv.Fault{Truncate: true, After: 10_000}))
	s.epr.Say(func(items []json.RawMessage) []byte { // and versions that are none, names that are none, and no package at all
		for _, more := range []string{`{"name":"odd","version":"1.0","download":"/epr/odd/odd-1.0.zip"}`, `{"name":"odd","version":"v1.0.0","download":"/epr/odd/odd-v1.0.0.zip"}`,
			`{"name":"../odd","version":"1.0.0"}`, `{"name":"odd","version":"1.0.0","download":"https://evil.example/odd.zip"}`, `{"name":"odd","version":"1.1.0","download":"//evil.example/odd.zip"}`,
			`{"name":["odd"],"version":"1.2.0"}`, `"odd"`, `null`} {
			items = append(items, json.RawMessage(more))
		}
		return must(json.Marshal(items))(t)
	})
	s.open()
	for _, when := range []string{"at first", "an hour later"} {
		report := s.sync()["elastic"]
		if got := s.stands("snapshot"); got != "fine-2.0.0 good-1.0.0" {
			t.Errorf("%s: stands %q", when, got)
		}
		actions := map[string]mirror.Action{}
		for _, a := range report.Plan.Actions {
			if a.Stage == "snapshot" {
				actions[a.Key.Entry] = a
			}
			if strings.Contains(a.Key.Entry, "odd") && a.Kind != mirror.Skip && a.Kind != mirror.Refuse && a.Kind != mirror.Missing {
				t.Errorf("%s: %s %s: %s", when, a.Kind, a.Key.Entry, a.Reason)
			}
		}
		for _, b := range bad {
			if a := actions[b.ID()]; a.Kind != mirror.Refuse || a.Reason.Code != b.code || !strings.Contains(a.Reason.String(), b.why) {
				t.Errorf("%s: %s: %s %s, want it refused with %s: %q", when, b.ID(), a.Kind, a.Reason, b.code, b.why)
			}
			s.leftNothing(b.Name)
			if n := s.epr.Asked(testenv.OfZip(b.ID())); n != 1 {
				t.Errorf("%s: the zip of %s was asked for %d times", when, b.ID(), n)
			}
		}
		if a := actions["cut-1.0.0"]; a.Kind != mirror.Failed && a.Kind != mirror.Missing {
			t.Errorf("%s: a zip that breaks off: %s %s", when, a.Kind, a.Reason)
		}
		s.leftNothing("cut")
		s.leftNothing("odd")
		if got := s.channel("snapshot"); got != "fine-2.0.0 good-1.0.0" {
			t.Errorf("%s: the channel has %q", when, got)
		}
		s.now = s.now.Add(time.Hour)
	}
	for _, path := range s.epr.Proxy().Counts().Paths {
		if strings.Contains(path, "odd") || strings.Contains(path, "/v2/") { // it is no registry of images
			t.Errorf("asked for %s", path)
		}
	}
	s.whole()
}

// A version that stands and whose bytes become bad upstream stays as it stands: at its stage, its tag and in its channel.
func TestPackages_WhatStandsStaysWhenUpstreamTurnsBad(t *testing.T) {
	t.Parallel()
	bad := badPackages(t)
	standing := []string{"keep-1.0.0"}
	packages := []testenv.EPRPackage{{Name: "keep", Version: "1.0.0"}}
	for _, b := range bad {
		packages, standing = append(packages, testenv.EPRPackage{Name: b.Name, Version: "1.0.0"}), append(standing, b.ID())
	}
	slices.Sort(standing)
	want := strings.Join(standing, " ")
	s := newPackageSite(t, packages...)
	s.sync()
	if got := s.stands("snapshot"); got != want {
		t.Fatalf("stands %q", got)
	}
	s.commit("all rise", map[string]string{"stages/elastic/staging.yaml": s.stageOf("snapshot")})
	s.sync()
	signatures := map[string]string{} // who signs anew makes another signature
	for _, b := range bad {
		signatures[b.ID()] = string(s.epr.Signature(b.ID()))
	}
	record, tags := s.file("rendered/demo/elastic/snapshot.yaml"), testenv.TagsOf(s.local.Back())
	for _, b := range bad {
		b.Advertised = "^9.9.0" // so that it looks changed
		must(0, s.epr.Put(b.EPRPackage))(t)
	}
	for range 2 {
		s.now = s.now.Add(time.Hour)
		report := s.sync()["elastic"]
		refused := kinds(report.Plan, mirror.Refuse)
		for _, b := range bad {
			if refused["snapshot/"+b.ID()] != b.code {
				t.Errorf("%s is refused with %q, want %s", b.ID(), refused["snapshot/"+b.ID()], b.code)
			}
		}
		if now := s.file("rendered/demo/elastic/snapshot.yaml"); now != record {
			t.Errorf("what stands became\n%s\nwas\n%s", now, record)
		}
		if got := s.stands("staging"); got != want {
			t.Errorf("at staging stands %q", got)
		}
		now := testenv.TagsOf(s.local.Back())
		for tag, d := range tags {
			if now[tag] != d && !strings.Contains(tag, "poundlock/channels") {
				t.Errorf("%s is %s, was %s", tag, now[tag], d)
			}
		}
		for _, stage := range []string{"snapshot", "staging"} {
			if got := s.channel(stage); got != want {
				t.Errorf("channel %s has %q", stage, got)
			}
		}
	}
	// Well again, with the bytes that stand.
	for _, b := range bad {
		must(0, s.epr.Put(testenv.EPRPackage{Name: b.Name, Version: "1.0.0", Signature: signatures[b.ID()]}))(t)
	}
	s.now = s.now.Add(time.Hour)
	if refused := kinds(s.sync()["elastic"].Plan, mirror.Refuse); len(refused) > 0 || s.file("rendered/demo/elastic/snapshot.yaml") != record {
		t.Errorf("well again: %v", refused)
	}
	s.whole()
}

// stageOf writes a stage file that asks for what stands at a stage.
func (s *packageSite) stageOf(stage mirror.Stage) string {
	s.t.Helper()
	lines := []string{"version: 1", "entries:"}
	record := must(s.line.state.Record("elastic"))(s.t)
	for _, entry := range sortedKeys(record.At(stage)) {
		lines = append(lines, "  "+entry+": "+record.At(stage)[entry].Image.String())
	}
	return strings.Join(lines, "\n") + "\n"
}

// A signature that could not be had for a moment is asked for again soon: Elastic's server answers 500 for one that is not
// there, and for one that it cannot read now.
func TestPackages_ASignatureThatComesLaterIsFound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int
		late   bool // the signature is put there later
	}{{"500 for a while", 500, false}, {"404 for a while", 404, false}, {"503 for a while", 503, false}, {"published later", 404, true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nginx := testenv.EPRPackage{Name: "nginx", Version: "1.20.0", Unsigned: tt.late, SignStatus: tt.status}
			s := newPackageSite(t, nginx, testenv.EPRPackage{Name: "other", Version: "1.0.0"})
			if !tt.late {
				s.epr.Proxy().Break(testenv.Always(testenv.OfSignature("nginx-1.20.0"), testenv.Fault{Status: tt.status}))
			}
			s.sync()
			if got := s.stands("snapshot"); got != "other-1.0.0" {
				t.Errorf("stands %q", got)
			}
			s.leftNothing("nginx")
			s.epr.Proxy().Break(nil)
			if tt.late {
				nginx.Unsigned = false
				must(0, s.epr.Put(nginx))(t)
			}
			s.now = s.now.Add(2 * time.Hour)
			s.sync()
			if got := s.stands("snapshot"); got != "nginx-1.20.0 other-1.0.0" {
				t.Errorf("two hours later stands %q", got)
			}
			s.whole()
		})
	}
}

// Without a signature a package comes in only where policy says so: an exception does, and a rule that wants what a commit
// pins does not, since no commit names what an upstream has.
func TestPackages_WithoutASignatureAreAMatterOfPolicy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ policy, want string }{
		"wanted":   {makerPolicy, "signed-1.0.0"},
		"excepted": {makerPolicy + "exceptions:\n" + excepted("epr.elastic.co/gone", "epr.elastic.co/broken"), "broken-1.0.0 gone-1.0.0 signed-1.0.0"},
		"pinned":   {pinnedPolicy, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newPackageSite(t, testenv.EPRPackage{Name: "gone", Version: "1.0.0", Unsigned: true, SignStatus: 404},
				testenv.EPRPackage{Name: "broken", Version: "1.0.0", Unsigned: true}, testenv.EPRPackage{Name: "signed", Version: "1.0.0"})
			s.commit("policy", map[string]string{"desired/policy.yaml": tt.policy})
			report := s.sync()["elastic"]
			if got := s.stands("snapshot"); got != tt.want {
				t.Errorf("stands %q, want %q: %v", got, tt.want, kinds(report.Plan, mirror.Refuse))
			}
			if got := s.channel("snapshot"); got != tt.want {
				t.Errorf("the channel has %q, want %q", got, tt.want)
			}
			s.whole()
		})
	}
}
