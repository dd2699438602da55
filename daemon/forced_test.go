package daemon

import (
	"strings"
	"testing"
)

// A forced push is told with both heads where nobody has to sign, and is over when the branch moves forward.
func TestForcedPush_IsToldWhereNobodySigns(t *testing.T) {
	t.Parallel()
	s := webSite(t)
	s.sync()
	first := s.git.Head()
	lost := s.commit("lost", map[string]string{"README.md": "lost\n"})
	s.poll()
	if n := len(s.events(EventRewritten)); n != 0 {
		t.Fatalf("%d events of a branch that moved forward", n)
	}
	if err := s.git.Point("main", first); err != nil {
		t.Fatal(err)
	}
	s.poll()
	s.poll()
	told := s.events(EventRewritten)
	if len(told) != 1 || !strings.Contains(told[0].Reason, lost) || !strings.Contains(told[0].Reason, first) {
		t.Errorf("told: %+v", told)
	}
	shown := func() bool { return strings.Contains(must(s.line.Status(t.Context()))(t).Problems.Error(), "GIT036") }
	if !shown() {
		t.Error("status does not show it")
	}
	s.commit("forward", map[string]string{"README.md": "forward\n"})
	s.poll()
	if shown() || len(s.events(EventRewritten)) != 1 {
		t.Error("it is not over")
	}
}
