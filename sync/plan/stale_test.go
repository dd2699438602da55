package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestStale_TellsOfTagsThatStoppedMoving(t *testing.T) {
	image, err := mirror.ParseReference("docker.elastic.co/package-registry/distribution:production")
	if err != nil {
		t.Fatal(err)
	}
	stands := image.WithDigest(mirror.DigestOf([]byte("old")))
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name   string
		change func(*mirror.Set, *mirror.Action)
		after  time.Duration
		want   bool
	}{
		{"too long", func(*mirror.Set, *mirror.Action) {}, 721 * time.Hour, true},
		{"not yet", func(*mirror.Set, *mirror.Action) {}, 719 * time.Hour, false},
		{"nobody asked", func(s *mirror.Set, _ *mirror.Action) { s.StaleAfter = 0 }, 9000 * time.Hour, false},
		{"asked once only", func(s *mirror.Set, _ *mirror.Action) { s.Follow = false }, 9000 * time.Hour, false},
		{"pinned", func(s *mirror.Set, _ *mirror.Action) { s.Entries[0].Image = stands }, 9000 * time.Hour, false},
		{"it moves just now", func(_ *mirror.Set, a *mirror.Action) { a.Kind = mirror.Copy }, 9000 * time.Hour, false},
		{"a higher stage", func(_ *mirror.Set, a *mirror.Action) { a.Stage = "production" }, 9000 * time.Hour, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := mirror.Set{Name: "d", Stages: mirror.Stages{"snapshot", "production"}, Follow: true, StaleAfter: 720 * time.Hour, Entries: []mirror.Entry{{Name: "x", Image: image}}}
			line := mirror.Line{Image: stands, Since: since, Proven: true}
			record := mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": {"x": line}, "production": {"x": line}}}
			a := mirror.Action{Kind: mirror.Unchanged, Key: mirror.Key{Set: "d", Entry: "x"}, Stage: "snapshot", Image: stands}
			tt.change(&set, &a)
			p := Stale(set, record, mirror.Plan{Actions: []mirror.Action{a}}, since.Add(tt.after))
			got := strings.Join(p.Actions[0].Warnings, "")
			if strings.Contains(got, "has not moved since 2026-01-01") != tt.want {
				t.Errorf("got %q", got)
			}
			if again := Stale(set, record, mirror.Plan{Actions: []mirror.Action{a}}, since.Add(tt.after+48*time.Hour)); tt.want && again.Actions[0].Warnings[0] != got {
				t.Errorf("other words two days later: %q", again.Actions[0].Warnings[0])
			}
		})
	}
}
