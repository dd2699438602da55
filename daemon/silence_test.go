package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestSilence_IsOfAForgeThatDidNotAnswerInTime(t *testing.T) {
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	over, end := context.WithCancel(t.Context())
	end()
	broken, now := errors.New("broken"), time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		ctx, asked context.Context
		err        error
		silent     bool
	}{
		"in time":           {t.Context(), t.Context(), nil, false},
		"an error at once":  {t.Context(), t.Context(), broken, false},
		"no answer":         {t.Context(), late, broken, true},
		"a slow connection": {t.Context(), t.Context(), context.DeadlineExceeded, true},
		"we were to end":    {over, late, broken, false},
	} {
		var s silence
		s.note(tt.ctx, tt.asked, tt.err, now)
		if got := s.lately(now.Add(silentFor-1)) != nil; got != tt.silent {
			t.Errorf("%s: silent %t, want %t", name, got, tt.silent)
		}
		if s.lately(now.Add(silentFor)) != nil {
			t.Errorf("%s: still silent after %s", name, silentFor)
		}
	}
}

// While the forge did not answer a moment ago no gate waits for it; its gates stay closed and it is asked later.
func TestApprovals_WaitForASilentForgeOnce(t *testing.T) {
	t.Parallel()
	s := gatedSite(t, "gitea", "statuses: [ci/e2e]")
	image, ask := s.rises("next")
	n, head := s.proposes("next", ask)
	s.forge.SetStatus(head, "bob", "ci/e2e", "success")
	s.merge(n, "merge")
	s.line.silent.at = s.now
	asked := s.forge.Requests()
	if came, gates := s.ends(image); came || gates["statuses"].Code != mirror.NotKnown || !strings.Contains(gates["statuses"].Why, "did not answer") {
		t.Fatalf("moved %t, gates %+v", came, gates)
	}
	if n := s.forge.Requests() - asked; n != 0 {
		t.Errorf("asked %d times", n)
	}
	s.now = s.now.Add(silentFor)
	if came, gates := s.ends(image); !came {
		t.Errorf("not moved: %+v", gates)
	}
}
