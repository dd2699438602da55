package mirror

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseReference_NormalisesOnce(t *testing.T) {
	d := DigestOf([]byte("x"))
	for text, want := range map[string]string{
		"ghcr.io:443/a/b:1":              "ghcr.io/a/b:1",
		"ghcr.io:0443/a/b:1":             "ghcr.io/a/b:1",
		"docker.io:443/nginx:1":          "docker.io/library/nginx:1",
		"registry-1.docker.io/nginx:1":   "docker.io/library/nginx:1",
		"registry-1.docker.io:443/a/b:1": "docker.io/a/b:1",
		"nginx":                          "docker.io/library/nginx",
		"docker.io/nginx:1":              "docker.io/library/nginx:1",
		"index.docker.io/library/nginx":  "docker.io/library/nginx",
		"vectorim/element-web:v1":        "docker.io/vectorim/element-web:v1",
		"localhost:5000/a:b":             "localhost:5000/a:b",
		"GHCR.io/a/b:C":                  "ghcr.io/a/b:C",
		"ghcr.io/a/b@" + d.String():      "ghcr.io/a/b@" + d.String(),
		"ghcr.io/a/b:1@" + d.String():    "ghcr.io/a/b:1@" + d.String(),
	} {
		r, err := ParseReference(text)
		if err != nil || r.String() != want {
			t.Errorf("%s: got %s, %v, want %s", text, r, err, want)
		}
		if again, err := ParseReference(r.String()); err != nil || again != r {
			t.Errorf("%s does not read back: %v, %v", r, again, err)
		}
	}
	for _, text := range []string{"", "a b", "https://ghcr.io/a", "ghcr.io/A/b", "ghcr.io/a:", "ghcr.io/a@sha256:12", "a_b.example/x:1", "registry_1.example:5000/x",
		"ghcr.io/a@sha512:" + strings.Repeat("1", 128), strings.Repeat("1", 64)} {
		if r, err := ParseReference(text); err == nil {
			t.Errorf("%q was read as %s", text, r)
		}
	}
}

// anyEntry and anyImage draw what sources may give.
var (
	anyEntry = rapid.StringMatching(`[a-z][a-z_]{0,12}/[a-z0-9._-]{1,100}`)
	anyImage = rapid.Custom(func(t *rapid.T) Reference {
		r := Reference{
			Host:       rapid.SampledFrom([]string{"docker.io", "ghcr.io", "h.example:5000", "10.0.0.1:8443"}).Draw(t, "host"),
			Repository: rapid.StringMatching(`[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}`).Draw(t, "repository"),
			Tag:        rapid.StringMatching(`([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?`).Draw(t, "tag"),
			Digest:     DigestOf([]byte(rapid.String().Draw(t, "content"))),
		}
		if r.Host == "docker.io" && !strings.Contains(r.Repository, "/") {
			r.Repository = "library/" + r.Repository
		}
		return r
	})
)

func TestPointer_IsAlwaysAReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Set{Name: "ess", Stages: DefaultStages, Layout: rapid.SampledFrom([]LayoutKind{LayoutTag, LayoutPath}).Draw(t, "layout")}
		l := Local{Host: "127.0.0.1:5000", Prefix: rapid.SampledFrom([]string{"", "mirror", "a/b"}).Draw(t, "prefix")}
		stage := rapid.SampledFrom(s.Stages).Draw(t, "stage")
		p := l.Pointer(s, stage, anyEntry.Draw(t, "entry"), anyImage.Draw(t, "image"))
		if again, err := ParseReference(p.String()); err != nil || again != p || p.Tag == "" {
			t.Fatalf("%s is no reference with a tag: %v", p, err)
		}
	})
}

func TestPointer_TellsStagesAndEntriesApart(t *testing.T) {
	image, _ := ParseReference("docker.io/library/haproxy:2.8-alpine")
	l := Local{Host: "r.example", Prefix: "mirror"}
	long := strings.Repeat("x", 140)
	for _, layout := range []LayoutKind{LayoutTag, LayoutPath} {
		s := Set{Name: "ess", Stages: DefaultStages, Layout: layout}
		seen := map[string]bool{}
		for _, stage := range s.Stages {
			seen[l.Pointer(s, stage, "a/haproxy", image).String()] = true
		}
		if len(seen) != 3 {
			t.Errorf("%s: stages share a tag: %v", layout, seen)
		}
	}
	s := Set{Name: "ess", Stages: DefaultStages, Layout: LayoutTag}
	if l.Pointer(s, "snapshot", long+"a", image) == l.Pointer(s, "snapshot", long+"b", image) {
		t.Error("two long entries share a tag")
	}
	s.Layout = LayoutPath
	if got, want := l.Pointer(s, "production", "a/haproxy", image).String(), "r.example/mirror/production/docker.io/library/haproxy:2.8-alpine"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s.Paths = map[string]string{"docker.io": "hub"}
	if got, want := l.Repository(s, "production", image).String(), "r.example/mirror/production/hub/library/haproxy"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRecord_ReadsBackWhatItWrote(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		set := Set{Name: "ess", Stages: Stages{"snapshot", "production"}}
		record := Record{Origin: DigestOf([]byte("origin")), Stages: map[Stage]Standing{"snapshot": {}, "production": {}}}
		for _, stage := range set.Stages {
			entries := rapid.SliceOfNDistinct(anyEntry, 1, 5, func(s string) string { return s }).Draw(t, "entries")
			for _, e := range entries {
				for range rapid.IntRange(1, 4).Draw(t, "moves") {
					record.Stages[stage].Put(e, Line{Image: anyImage.Draw(t, "image"), Since: at,
						Basis: rapid.StringN(0, 20, -1).Draw(t, "basis"), Vouch: rapid.SampledFrom([]string{"", "c1", "c2"}).Draw(t, "vouch"), Commit: "c0"})
				}
			}
		}
		files := RecordFiles("rendered/site", set, record)
		read := ParseRecord("rendered/site", set, files)
		if read.Origin != record.Origin {
			t.Fatalf("origin: got %s, want %s", read.Origin, record.Origin)
		}
		for stage, standing := range record.Stages {
			if len(read.At(stage)) != len(standing) {
				t.Fatalf("%s: got %d lines, want %d", stage, len(read.At(stage)), len(standing))
			}
			for entry, line := range standing {
				if got := read.At(stage)[entry]; got.text() != line.text() {
					t.Fatalf("%s: got %+v, want %+v", entry, got, line)
				}
			}
		}
		listed, _, ps := ParseLines(files, "rendered/site/ess/snapshot")
		if len(ps) > 0 || len(listed) != len(record.At("snapshot")) {
			t.Fatalf("the first stage is no stage file: %v", ps)
		}
		again := RecordFiles("rendered/site", set, read)
		for name, body := range files {
			if string(again[name]) != string(body) {
				t.Fatalf("%s is written otherwise the second time", name)
			}
		}
	})
}

func TestRecordFiles_LargeSetsAreShards(t *testing.T) {
	set := Set{Name: "big", Stages: DefaultStages}
	record := Record{Stages: map[Stage]Standing{"snapshot": {}}}
	for i := range 3000 {
		entry := "registry.example/team/image-" + DigestOf([]byte{byte(i), byte(i >> 8)}).Hex[:16] + ":1"
		record.Stages["snapshot"].Put(entry, Line{Image: Reference{Host: "h.example", Repository: "r", Tag: "1", Digest: DigestOf([]byte(entry))}})
	}
	files := RecordFiles("rendered/site", set, record)
	for name, body := range files {
		if len(body) > MaxShard {
			t.Errorf("%s has %d bytes", name, len(body))
		}
	}
	if got := len(ParseRecord("rendered/site", set, files).At("snapshot")); got != 3000 {
		t.Errorf("read %d lines back, want 3000", got)
	}
}

func TestPut_KeepsWhatARollbackNeeds(t *testing.T) {
	image := func(n int) Reference {
		return Reference{Host: "h.example", Repository: "r", Tag: "1", Digest: DigestOf([]byte{byte(n)})}
	}
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	s := Standing{}
	stood := func(entry string, image Reference) bool {
		return Record{Stages: map[Stage]Standing{"snapshot": s}}.Stood("snapshot", entry, image)
	}
	for n := range 15 {
		s.Put("e", Line{Proven: true, Image: image(n), Since: at.Add(time.Duration(n) * time.Hour), Vouch: "c" + string(rune('a'+n))})
	}
	if got := len(s["e"].Was); got != KeptReferences {
		t.Errorf("remembers %d, want %d", got, KeptReferences)
	}
	if !stood("e", image(14)) || !stood("e", image(5)) || stood("e", image(2)) || stood("other", image(14)) {
		t.Error("Stood does not tell what stands or stood")
	}
	if got := s["e"].Vouches(image(10)); got != "ck" {
		t.Errorf("vouches for an earlier image: got %q, want ck", got)
	}
	since := s["e"].Since
	s.Put("e", Line{Proven: true, Image: image(14), Since: at.Add(100 * time.Hour), Vouch: "z"})
	if s["e"].Since != since || len(s["e"].Was) != KeptReferences || s["e"].Vouch != "z" {
		t.Errorf("the same image again: got %+v", s["e"])
	}
	s.Put("e", Line{Proven: true, Image: image(10), Since: at, Vouch: "ck"})
	if s["e"].Was[0] != image(14) || !stood("e", image(10)) || s["e"].Vouches(image(14)) != "z" {
		t.Errorf("after the rollback: got %+v", s["e"])
	}
}

func TestIsHost(t *testing.T) {
	for text, want := range map[string]bool{"docker.io": true, "h.example:5000": true, "localhost": true, "[::1]:5000": true,
		"": false, "library": false, "H.example": false, "h.example:443": false, "https://h.example": false, "h.example/": false, "h.example/a": false, "index.docker.io": false} {
		if got := IsHost(text); got != want {
			t.Errorf("IsHost(%q): got %v, want %v", text, got, want)
		}
	}
}
