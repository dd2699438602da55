package policy

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/poundlock/poundlock/internal/mirror"
)

// drawPromotion gives a promotion of one image that only time stands in the way of, and what asks for it.
func drawPromotion(t *rapid.T) (promotion, mirror.Action, Asking) {
	first := drawWindow(t)
	at := drawMoment(t, first.zone).UTC()
	image := mirror.Reference{Host: "docker.io", Repository: "library/app", Tag: "1", Digest: mirror.DigestOf([]byte("app"))}
	m := promotion{set: mirror.Set{Name: "web", Stages: mirror.DefaultStages}, stage: "production", below: "staging", at: at}
	m.record = mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"staging": {"app": {Image: image, Since: at.Add(-hours(t, "stood", 0, 100)), Proven: true}}}}
	if rapid.Bool().Draw(t, "soaks") {
		m.soak = hours(t, "soak", 1, 200)
	}
	if rapid.Bool().Draw(t, "windows") {
		m.windows = []windows{{first, drawWindow(t)}}
	}
	if rapid.Bool().Draw(t, "more windows") {
		m.windows = append(m.windows, windows{drawWindow(t)})
	}
	for range rapid.IntRange(0, 3).Draw(t, "freezes") {
		from := at.Add(hours(t, "freeze", -200, 200))
		m.freezes = append(m.freezes, freeze{From: from, Until: from.Add(hours(t, "frozen", 1, 200))})
	}
	m.within = hours(t, "within", 1, 300)
	return m, mirror.Action{Key: mirror.Key{Set: "web", Entry: "app"}, Image: image}, Asking{Commit: "c0ffee", At: at.Add(-hours(t, "asked", 0, 200))}
}

func hours(t *rapid.T, what string, from, to int) time.Duration {
	return time.Duration(rapid.IntRange(from*60, to*60).Draw(t, what)) * time.Minute
}

// passes says whether all gates of time are open at a moment.
func (m promotion) passes(a mirror.Action, at time.Time) bool {
	m.at = at
	return !slices.ContainsFunc(m.timeGates(a), func(g mirror.Gate) bool { return !g.Open })
}

func TestUntil_IsTheFirstMomentAtWhichAllGatesOfTimeAreOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, a, _ := drawPromotion(t)
		until := m.until(a)
		switch {
		case until.IsZero() && m.passes(a, m.at), until.IsZero() && len(m.windows) > 1: // two windows may never be open together
			return
		case until.IsZero() || !m.passes(a, until):
			t.Fatalf("until %s, which is not open", until)
		}
		for at := m.at; at.Before(until); at = at.Add(max(time.Minute, until.Sub(m.at)/500)) {
			if m.passes(a, at) {
				t.Fatalf("until %s, and open at %s already", until, at)
			}
		}
		if m.passes(a, until.Add(-time.Second)) {
			t.Fatalf("open a second before %s", until)
		}
	})
}

func TestWithin_OnceTooLateItStaysSo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, a, asking := drawPromotion(t)
		end, late := asking.At.Add(m.within), false
		for at := asking.At; at.Sub(asking.At) < 500*time.Hour; at = at.Add(53 * time.Minute) {
			m.at = at
			g := m.inTime(a, asking, true)
			switch {
			case at.Before(end) && !g.Open:
				t.Fatalf("too late at %s, before %s: %s", at, end, g.Why)
			case !at.Before(end) && !m.passes(a, at) && g.Open:
				t.Fatalf("closed by time at %s, after %s, and not too late: %s", at, end, g.Why)
			case late && g.Open:
				t.Fatalf("too late before %s, and not any more: %s", at, g.Why)
			case !g.Open && g.Code != mirror.TooLate:
				t.Fatalf("got %+v", g)
			}
			late = !g.Open
		}
	})
}
