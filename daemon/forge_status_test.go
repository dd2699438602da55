package daemon

import (
	"net/http"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/testenv"
)

// A forge that lets us in no more is told when that begins and when it ends, and shown as long as it lasts.
func TestForgeStatus_TellsWhenTroubleBeginsAndEnds(t *testing.T) {
	t.Parallel()
	s, _, _ := reviewSite(t)
	look := func() Status {
		l := s.line
		l.attended(l.serve(t.Context(), errand{all: true}))
		return must(l.Status(t.Context()))(t)
	}
	if f := look().Forge; f == nil || f.Problem != nil || f.LookedAt.IsZero() || f.Repository == "" || !strings.HasPrefix(f.URL, "http://") {
		t.Fatalf("a forge that is well: %+v", f)
	}
	s.forge.Fail(func(*http.Request) *testenv.Fault { return &testenv.Fault{Status: http.StatusUnauthorized} })
	for range 2 {
		f := look().Forge
		if f.Problem == nil || f.Problem.Code == "" || f.Problem.Fix == "" {
			t.Fatalf("a forge that refuses the token: %+v", f)
		}
		if gauge(t, s.line, "poundlock_forge_ok") != 0 {
			t.Error("the gauge says that it is well")
		}
	}
	s.forge.Fail(nil)
	if f := look().Forge; f.Problem != nil || gauge(t, s.line, "poundlock_forge_ok") != 1 {
		t.Errorf("after it: %+v", f)
	}
	for kind, want := range map[EventType]int{EventForgeFailed: 1, EventForgeBack: 1} {
		if got := s.events(kind); len(got) != want {
			t.Errorf("%d events %s, want %d: %+v", len(got), kind, want, got)
		}
	}
	if _, err := s.line.forge.Proposals(t.Context(), forge.Query{Base: "main"}); err != nil {
		t.Error(err)
	}
}
