package daemon

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// A set with a schedule of its own is looked at by that one alone, and the others by theirs.
func TestSchedule_OfSingleSets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := scheduled(t, "web", "nightly")
		l.config.Schedule, l.config.Schedules = "@every 1h", map[string]string{"nightly": "0 3 * * *"}
		l.config.TimeZone, l.config.AuditAt = "UTC", "30 4 * * *"
		ctx, cancel := context.WithCancel(t.Context())
		stop := must(l.startSchedule(ctx))(t)
		began := time.Now() // midnight, UTC
		if got, want := l.nextLookAt("nightly"), began.Add(3*time.Hour); !got.Equal(want) {
			t.Errorf("nightly is next looked at at %s, want %s", got, want)
		}
		l.auditing.Store(&began)
		if got, want := l.nextAudit(), began.Add(4*time.Hour+30*time.Minute); !got.Equal(want) {
			t.Errorf("next audit at %s, want %s", got, want)
		}
		looks := map[string][]int{}
		for time.Since(began) < 5*time.Hour {
			<-l.wakes.signal
			synctest.Wait() // what comes at the same moment is one wake
			w, _ := l.wakes.take()
			hour := int(time.Since(began).Hours())
			for _, set := range w.Sets {
				looks[set] = append(looks[set], hour)
			}
			if w.Audit {
				looks["audit"] = append(looks["audit"], hour)
			}
			if w.Resolve {
				t.Errorf("every set is asked again: %+v", w)
			}
		}
		cancel()
		stop()
		for name, want := range map[string][]int{"web": {1, 2, 3, 4, 5}, "nightly": {3}, "audit": {4}} {
			if !slices.Equal(looks[name], want) {
				t.Errorf("%s is looked at after hours %v, want %v", name, looks[name], want)
			}
		}
		if w := l.progress("nightly").owing(Wake{}, time.Now()); !w.Resolve {
			t.Error("the look of nightly would not ask upstream")
		}
	})
}

// A look that does not happen in time is told once and shown until it happens.
func TestLookout_TellsOfALookThatDoesNotHappen(t *testing.T) {
	l := scheduled(t, "web")
	now := l.now()
	l.lookAt("web")
	for _, tt := range []struct {
		name string
		at   time.Duration
		told int
		late float64
	}{
		{"in time", grace, 0, 0},
		{"late", grace + time.Second, 1, 1},
		{"later", 2 * grace, 1, 1},
	} {
		l.lookout(now.Add(tt.at))
		if n, late := overdues(t, l), gauge(t, l, "poundlock_overdue"); n != tt.told || late != tt.late {
			t.Errorf("%s: told %d times, gauge %v; want %d, %v", tt.name, n, late, tt.told, tt.late)
		}
	}
	l.progress("web").resolve(nil, now)
	l.lookout(now.Add(3 * grace))
	if late := gauge(t, l, "poundlock_overdue"); late != 0 {
		t.Errorf("gauge %v after the look", late)
	}
	if beat := gauge(t, l, "poundlock_heartbeat_timestamp_seconds"); beat != float64(now.Add(3*grace).Unix()) {
		t.Errorf("heartbeat %v", beat)
	}
}

// Looks that a schedule wanted while no daemon ran are told at the start.
func TestMissed_TellsOfLooksWhileNoDaemonRan(t *testing.T) {
	for name, tt := range map[string]struct {
		last time.Duration // before now
		want int
	}{
		"a look in between":     {49 * time.Hour, 1},
		"the next is still due": {time.Minute, 0},
	} {
		l := scheduled(t, "web")
		l.config.Schedule, l.config.TimeZone = "0 12 * * *", "UTC"
		l.shared.events.mu.Lock()
		l.shared.events.pending = nil
		l.shared.events.mu.Unlock()
		if err := l.state.keep([]Run{{ID: "1", Set: "web", Began: l.now().Add(-tt.last), Outcome: OutcomeDone}}, nil); err != nil {
			t.Fatal(err)
		}
		l.missed(l.fleet.Load(), l.now())
		if n := overdues(t, l); n != tt.want {
			t.Errorf("%s: told %d times, want %d", name, n, tt.want)
		}
	}
}

// scheduled gives a line that knows some sets and runs nothing.
func scheduled(t *testing.T, sets ...string) *Line {
	t.Helper()
	f := &fleet{}
	for _, name := range sets {
		f.desired.Sets = append(f.desired.Sets, mirror.Set{Name: name, Stages: mirror.DefaultStages})
	}
	o := Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	l := &Line{config: config.Default(), log: o.Log, now: o.Now, wakes: newWakes(), shared: o.share(), sets: map[string]*progress{}, copying: newCopying()}
	l.metrics = l.shared.metrics
	l.fleet.Store(f)
	state, err := OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	l.state = state
	return l
}

func overdues(t *testing.T, l *Line) (n int) {
	t.Helper()
	l.shared.events.mu.Lock()
	defer l.shared.events.mu.Unlock()
	for _, e := range l.shared.events.pending {
		if e.Type == EventOverdue {
			n++
		}
	}
	return n
}

func gauge(t *testing.T, l *Line, name string) float64 {
	t.Helper()
	families, err := l.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
