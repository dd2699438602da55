package daemon

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

func kindsOf(events []Event) (all []string) {
	for _, e := range events {
		all = append(all, string(e.Type))
	}
	return all
}

// writes counts the transactions that changed the state.
func (s *site) writes() (id int) {
	s.t.Helper()
	if err := s.line.state.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		s.t.Fatal(err)
	}
	return id
}

// What a run did is kept under the id that its commit carries, with the events that belong to it.
func TestHistory_ARunIsKeptWithItsCommit(t *testing.T) {
	s := pausedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.commit("unsigned", map[string]string{"desired/bad.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/bad:1\", \"docker.io/library/none:1\"]}\n"})
	s.push("docker.io/library/bad:1", "bad")
	s.sync()
	runs := must(s.line.Runs("web", 0))(t)
	if len(runs) < 2 {
		t.Fatalf("runs: %+v", runs)
	}
	last, first := runs[0], runs[len(runs)-1]
	if first.Outcome != OutcomeCopying || first.ToCopy != 1 || first.Why != "test" {
		t.Errorf("the first run: %+v", first)
	}
	if last.Outcome != OutcomeDone || last.Moved != 1 || last.Unchanged != 1 || last.Bytes == 0 || last.Why != "copied" || last.ID <= first.ID {
		t.Errorf("the last run: %+v", last)
	}
	if want := []StageCount{{"snapshot", 1, 1}, {Stage: "staging"}, {Stage: "production"}}; !slices.Equal(last.Stages, want) {
		t.Errorf("stages: %v, want %v", last.Stages, want)
	}
	trailer := ""
	for _, e := range must(s.line.Events(Filter{Set: "web"}))(t) {
		if e.Type == EventCommitted {
			trailer = e.Run
			if e.Commit != last.Commit {
				t.Errorf("commit %s, want that of the run, %s", e.Commit, last.Commit)
			}
		}
	}
	if trailer != last.ID || !slices.ContainsFunc(must(s.git.Log())(t), func(c testenv.GitCommit) bool {
		return c.ID == last.Commit && strings.Contains(c.Message, "Poundlock-Cycle: "+last.ID)
	}) {
		t.Errorf("the commit of run %s does not carry its id", last.ID)
	}
	if got := kindsOf(must(s.line.Events(Filter{Set: "web"}))(t)); !slices.Equal(got, []string{"copied", "moved", "committed"}) {
		t.Errorf("events of web: %v", got)
	}
	bad := must(s.line.Runs("bad", 1))(t)
	if len(bad) != 1 || bad[0].Outcome != OutcomePartial || bad[0].Refused != 1 || bad[0].Missing != 1 {
		t.Errorf("runs of bad: %+v", bad)
	}
	if got := kindsOf(must(s.line.Events(Filter{Set: "bad"}))(t)); !slices.Equal(got, []string{"refused", "missing"}) {
		t.Errorf("events of bad: %v", got)
	}
	for _, tt := range []struct {
		filter Filter
		want   int
	}{{Filter{Type: EventMoved}, 2}, {Filter{N: 1}, 1}, {Filter{Since: s.now.Add(time.Second)}, 0}, {Filter{Set: "web", Type: EventRefused}, 0}} {
		if got := must(s.line.Events(tt.filter))(t); len(got) != tt.want {
			t.Errorf("%+v: got %v, want %d", tt.filter, kindsOf(got), tt.want)
		}
	}
	before := must(s.line.Events(Filter{}))(t)
	s.open()
	if after := must(s.line.Events(Filter{}))(t); len(after) != len(before) {
		t.Errorf("after a restart %d events, want %d", len(after), len(before))
	}
}

// A poll that finds nothing writes nothing; a step that finds nothing new takes the place of the one before.
func TestHistory_AnIdleDaemonWritesNothing(t *testing.T) {
	s := pausedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	step := func(w Wake) {
		t.Helper()
		if _, err := s.line.cycle(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	step(Wake{Why: "schedule", Resolve: true})
	runs, wrote := len(must(s.line.Runs("", 0))(t)), s.writes()
	for range 3 {
		step(Wake{Why: "poll"})
	}
	if got := s.writes(); got != wrote {
		t.Errorf("three polls wrote %d times", got-wrote)
	}
	for range 3 {
		s.now = s.now.Add(15 * time.Minute)
		step(Wake{Why: "schedule", Resolve: true})
	}
	all := must(s.line.Runs("", 0))(t)
	if len(all) != runs {
		t.Errorf("%d runs after nothing new, want %d: %+v", len(all), runs, all)
	}
	if !all[0].Ended.Equal(s.now) {
		t.Errorf("the last run ended %s, want %s", all[0].Ended, s.now)
	}
	if per := (s.writes() - wrote) / 6; per > 2 { // three wakes for two sets
		t.Errorf("%d transactions for a step that found nothing", per)
	}
}

func TestHistory_AFailedStepSaysWhy(t *testing.T) {
	s := pausedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.local.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Status: http.StatusUnauthorized}))
	if _, err := s.trySync(); err == nil {
		t.Fatal("no error")
	}
	if _, err := s.line.cycle(t.Context(), Wake{Why: "again", Resolve: true}); err == nil {
		t.Fatal("no error")
	}
	runs := must(s.line.Runs("web", 0))(t)
	if len(runs) != 2 || runs[0].Outcome != OutcomeFailed || runs[0].Problem == nil || runs[0].Problem.What == "" {
		t.Fatalf("runs: %+v", runs)
	}
	if got := kindsOf(must(s.line.Events(Filter{Set: "web"}))(t)); !slices.Equal(got, []string{"run-failed"}) {
		t.Errorf("the same trouble twice: events %v", got)
	}
	status := must(s.line.Status(t.Context()))(t)
	for _, set := range status.Sets {
		if set.State != SetFailing || set.Retry.IsZero() || set.Problem == nil {
			t.Errorf("status: %+v", set)
		}
	}
}

func TestHistory_IsCapped(t *testing.T) {
	state := must(OpenState(t.TempDir()))(t)
	defer state.Close()
	var runs []Run
	var events []Event
	for i := range keptEvents + 10 {
		events = append(events, Event{ID: fmt.Sprintf("%08d", i), Type: EventMoved})
		if i < keptRuns+10 {
			runs = append(runs, Run{ID: fmt.Sprintf("%08d", i)})
		}
	}
	for range 2 {
		if err := state.keep(runs, events); err != nil {
			t.Fatal(err)
		}
	}
	gotRuns, gotEvents := must(state.Runs(0))(t), must(state.Events(0))(t)
	if len(gotRuns) != keptRuns || gotRuns[0].ID != fmt.Sprintf("%08d", keptRuns+9) {
		t.Errorf("%d runs, the newest %s", len(gotRuns), gotRuns[0].ID)
	}
	if len(gotEvents) != keptEvents || gotEvents[0].ID != fmt.Sprintf("%08d", keptEvents+9) {
		t.Errorf("%d events, the newest %s", len(gotEvents), gotEvents[0].ID)
	}
	if got := must(state.Runs(3))(t); len(got) != 3 {
		t.Errorf("asked for 3, got %d", len(got))
	}
}

// A follower that does not read is let go; nobody waits for it.
func TestHistory_NobodyWaitsForAFollower(t *testing.T) {
	var h history
	slow, _ := h.follow()
	quick, stop := h.follow()
	for i := range maxBehind + 1 {
		h.add(Event{ID: fmt.Sprint(i), Image: mirror.Reference{}})
		<-quick
	}
	got := 0
	for range slow {
		got++
	}
	if got != maxBehind || len(h.followers) != 1 {
		t.Errorf("the slow one got %d, want %d; %d follow", got, maxBehind, len(h.followers))
	}
	stop()
	if len(h.followers) != 0 {
		t.Error("stop did not end it")
	}
}
