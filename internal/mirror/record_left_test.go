package mirror_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// What leaves a stage stands there no more, and is remembered in the record until it comes back.
func TestRecord_RemembersWhatLeft(t *testing.T) {
	image := func(text string) mirror.Reference {
		return mirror.Reference{Host: "docker.io", Repository: "library/web", Tag: "1", Digest: mirror.DigestOf([]byte(text))}
	}
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	set := mirror.Set{Name: "web", Stages: mirror.Stages{"snapshot"}}
	r := mirror.Record{Stages: map[mirror.Stage]mirror.Standing{}}
	r.Put("snapshot", "web", mirror.Line{Image: image("a"), Since: at, Proven: true, Vouch: "c0ffee"})
	r.Put("snapshot", "web", mirror.Line{Image: image("b"), Since: at.Add(time.Hour), Proven: true})
	r.Put("snapshot", "unproven", mirror.Line{Image: image("x"), Since: at})
	r.Leave("snapshot", "web", at.Add(30*time.Hour))
	r.Leave("snapshot", "unproven", at.Add(30*time.Hour))
	r.Leave("snapshot", "never", at)

	files := mirror.RecordFiles("rendered/demo", set, r)
	if names := slices.Collect(maps.Keys(files)); !slices.Equal(names, []string{"rendered/demo/record/web/snapshot.yaml"}) {
		t.Errorf("files %v: what left is none of the document that people copy", names)
	}
	read := mirror.ParseRecord("rendered/demo", set, files)
	if len(read.At("snapshot")) != 0 || len(read.Left["snapshot"]) != 1 {
		t.Errorf("read %+v", read)
	}
	past := read.Past("snapshot", "web")
	stood := map[mirror.Digest]time.Duration{image("a").Digest: time.Hour, image("b").Digest: 29 * time.Hour}
	if !past.Image.IsZero() || !slices.Equal(past.Was, []mirror.Reference{image("b"), image("a")}) || !maps.Equal(past.Stood, stood) || past.Vouches(image("a")) != "c0ffee" {
		t.Errorf("its past is %+v", past)
	}
	if !past.Since.Equal(at.Add(30 * time.Hour)) {
		t.Errorf("it left at %s", past.Since)
	}
	for text, want := range map[string]bool{"a": true, "b": true, "x": false} {
		if got := read.Stood("snapshot", "web", image(text)); got != want {
			t.Errorf("%s stood: %t, want %t", text, got, want)
		}
	}
	if again := mirror.RecordFiles("rendered/demo", set, read); !reflect.DeepEqual(again, files) {
		t.Errorf("written anew it is\n%s\nwas\n%s", again, files)
	}

	read.Put("snapshot", "web", mirror.Line{Image: image("a"), Since: at.Add(40 * time.Hour), Proven: true})
	back := read.At("snapshot")["web"]
	if len(read.Left["snapshot"]) != 0 || !back.Again || !slices.Equal(back.Was, []mirror.Reference{image("b")}) || !maps.Equal(back.Stood, stood) {
		t.Errorf("come back it is %+v, left %+v", back, read.Left)
	}
	read.Put("snapshot", "web", mirror.Line{Image: image("a"), Since: at.Add(50 * time.Hour), Proven: true})
	text := string(mirror.RecordFiles("rendered/demo", set, read)["rendered/demo/record/web/snapshot.yaml"])
	if same := mirror.ParseRecord("rendered/demo", set, mirror.Files{"rendered/demo/record/web/snapshot.yaml": []byte(text)}).At("snapshot")["web"]; !same.Again {
		t.Errorf("that it came back is forgotten in\n%s", text)
	}
	read.Put("snapshot", "web", mirror.Line{Image: image("c"), Since: at.Add(60 * time.Hour), Proven: true})
	if read.At("snapshot")["web"].Again {
		t.Error("another image did not come back")
	}
}

// A set whose tags change for years does not grow for as long: what left first is forgotten first.
func TestRecord_ForgetsWhatLeftFirst(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	r := mirror.Record{}
	for n := range mirror.KeptLeft + 5 {
		entry := fmt.Sprintf("web:%04d", n)
		r.Stages = map[mirror.Stage]mirror.Standing{"snapshot": {}}
		r.Put("snapshot", entry, mirror.Line{Image: mirror.Reference{Host: "docker.io", Repository: "web", Digest: mirror.DigestOf([]byte(entry))}, Since: at, Proven: true})
		r.Leave("snapshot", entry, at.Add(time.Duration(n/10)*time.Hour))
	}
	r.Forget()
	if got := slices.Min(slices.Collect(maps.Keys(r.Left["snapshot"]))); len(r.Left["snapshot"]) != mirror.KeptLeft || got != "web:0005" {
		t.Errorf("%d are remembered, the first is %s", len(r.Left["snapshot"]), got)
	}
}

// Lines that say both that something stands and that it left, or neither, are none.
func TestParseRecord_ALineStandsOrLeft(t *testing.T) {
	image := "docker.io/library/web:1@" + mirror.DigestOf([]byte("web")).String()
	for line, want := range map[string]string{
		"{image: " + image + `, since: "2026-11-21T09:00:00Z", basis: "pinned"}`:              "stands",
		`{left: "2026-11-21T09:00:00Z", was: [` + image + `]}`:                                "left",
		"{image: " + image + `, since: "2026-11-21T09:00:00Z", left: "2026-11-21T09:00:00Z"}`: "",
		`{was: [` + image + `]}`:                    "",
		`{left: "yesterday", was: [` + image + `]}`: "",
		`{image: docker.io/library/web:1, since: "2026-11-21T09:00:00Z", left: "2026-11-21T09:00:00Z"}`: "",
	} {
		name := "rendered/demo/record/web/snapshot.yaml"
		r := mirror.ParseRecord("rendered/demo", mirror.Set{Name: "web", Stages: mirror.Stages{"snapshot"}}, mirror.Files{name: []byte("version: 1\nentries:\n  web: " + line + "\n")})
		got := strings.Repeat("stands", len(r.At("snapshot"))) + strings.Repeat("left", len(r.Left["snapshot"]))
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
