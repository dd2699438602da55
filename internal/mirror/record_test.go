package mirror_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// What stood is remembered with the longest time for which it did; what was only claimed stays apart from it, also when
// the record is written and read again.
func TestRecord_RemembersForHowLongThingsStood(t *testing.T) {
	image := func(tag string) mirror.Reference {
		return mirror.Reference{Host: "docker.io", Repository: "library/web", Tag: tag, Digest: mirror.DigestOf([]byte(tag))}
	}
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	s := mirror.Standing{}
	put := func(tag string, hours int) {
		at = at.Add(time.Duration(hours) * time.Hour)
		s.Put("web", mirror.Line{Image: image(tag), Since: at, Proven: true, Basis: "pinned"})
	}
	put("a", 0)
	put("b", 30)
	put("a", 2)
	put("c", 5)
	put("c", 50) // nothing moved: its time goes on
	line := s["web"]
	if want := at.Add(-50 * time.Hour); !line.Since.Equal(want) {
		t.Errorf("c stands since %s, want %s", line.Since, want)
	}
	want := map[mirror.Digest]time.Duration{image("a").Digest: 30 * time.Hour, image("b").Digest: 2 * time.Hour}
	if !maps.Equal(line.Stood, want) {
		t.Errorf("stood %v, want %v", line.Stood, want)
	}
	line.Claimed, line.Recorded = []mirror.Reference{image("claimed"), image("a")}, []mirror.Reference{image("recorded")}
	s["web"] = line
	set := mirror.Set{Name: "web", Stages: mirror.Stages{"snapshot"}}
	files := mirror.RecordFiles("rendered/demo", set, mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": s}})
	read := mirror.ParseRecord("rendered/demo", set, files).At("snapshot")["web"]
	if was := []mirror.Reference{image("a"), image("b"), image("recorded")}; !slices.Equal(read.Was, was) {
		t.Errorf("was %v, want %v", read.Was, was)
	}
	if !slices.Equal(read.Claimed, []mirror.Reference{image("claimed")}) || !maps.Equal(read.Stood, want) {
		t.Errorf("read %+v", read)
	}
	unproven := mirror.Standing{"web": {Image: image("x"), Since: at}}
	unproven.Put("web", mirror.Line{Image: image("y"), Since: at.Add(time.Hour), Proven: true})
	if got := unproven["web"]; len(got.Stood) > 0 || len(got.Was) > 0 {
		t.Errorf("what nobody proved stood: %+v", got)
	}
}
