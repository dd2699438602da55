package daemon

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/poundlock/poundlock/internal/mirror"
)

// When we first saw a digest is kept over restarts, also of what was refused, and never moves to a later time.
func TestSeen_IsKeptAndNeverMovesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy, "desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\n"})
	image := s.push("docker.io/library/web:1", "unsigned")
	began := s.now
	if r := s.sync()["web"]; r.Plan.Count(mirror.Refuse) != 1 {
		t.Fatalf("an unsigned image was not refused: %v", details(r.Plan))
	}
	for range 3 {
		s.now = s.now.Add(30 * time.Hour)
		s.open()
		s.sync()
		if got := s.line.state.Seen(image.Digest, s.now); !got.Equal(began) {
			t.Errorf("at %s it was first seen at %s, want %s", s.now, got, began)
		}
	}
	s.line.state.Saw(image.Digest, began.Add(time.Hour))
	if got := s.line.state.Seen(image.Digest, s.now); !got.Equal(began) {
		t.Errorf("a later sight moves it to %s", got)
	}
	s.line.state.Saw(image.Digest, began.Add(-time.Hour))
	if got := s.line.state.Seen(image.Digest, s.now); !got.Equal(began.Add(-time.Hour)) {
		t.Errorf("an earlier one that is proven does not count: %s", got)
	}
}

// The number of sights is bounded. What stands is not forgotten, of the rest the oldest.
func TestSeen_IsBounded(t *testing.T) {
	state := must(OpenState(t.TempDir()))(t)
	defer state.Close()
	digest := func(i int) mirror.Digest { return mirror.DigestOf(fmt.Append(nil, i)) }
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 30 {
		state.Saw(digest(i), at.Add(time.Duration(i)*time.Hour))
	}
	stands := mirror.Reference{Host: "docker.io", Repository: "x", Tag: "1", Digest: digest(0)}
	record := mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": {"x": {Image: stands, Proven: true}}}}
	if err := state.SetLines("set", record); err != nil {
		t.Fatal(err)
	}
	if err := state.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := state.db.Update(func(tx *bbolt.Tx) error { return trimSeen(tx, 20, 12) }); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		_, known := state.firstSight(digest(i))
		if want := i == 0 || i > 12; known != want {
			t.Errorf("sight %d is kept: %t, want %t", i, known, want)
		}
	}
}

// A state of an older version knows since when its content stands: that was seen then.
func TestSeen_OfAnOlderStateIsWhatStands(t *testing.T) {
	dir := t.TempDir()
	state := must(OpenState(dir))(t)
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	image := mirror.Reference{Host: "docker.io", Repository: "x", Tag: "1", Digest: mirror.DigestOf([]byte("x"))}
	record := mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": {"x": {Image: image, Since: since, Proven: true}}}}
	if err := state.SetLines("set", record); err != nil {
		t.Fatal(err)
	}
	reopen := func() {
		t.Helper()
		if err := state.Close(); err != nil {
			t.Fatal(err)
		}
		state = must(OpenState(dir))(t)
	}
	reopen()
	if _, known := state.firstSight(image.Digest); known {
		t.Error("a state of ours takes the time of a line for a sight: a line may have been read from a file")
	}
	if err := state.db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketSeen) }); err != nil {
		t.Fatal(err)
	}
	reopen()
	defer state.Close()
	if at, known := state.firstSight(image.Digest); !known || !at.Equal(since) {
		t.Errorf("seen %s (%t), want %s", at, known, since)
	}
}
