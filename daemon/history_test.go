package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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

// A run that cannot be written down, as on a disk that is full, is shown nevertheless.
func TestHistory_StatusKnowsWhatCouldNotBeWritten(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	file := s.line.state.db.Path()
	if err := s.line.state.db.Close(); err != nil {
		t.Fatal(err)
	}
	s.line.state.db = must(bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true}))(t)
	s.pushSigned("docker.io/library/web:1", "next")
	if _, err := s.line.Sync(t.Context(), Wake{Why: "full", Resolve: true, Audit: true}); err == nil {
		t.Fatal("no error")
	}
	set := must(s.line.Status(t.Context()))(t).Sets[1]
	if set.State != SetFailing || set.LastRun.Outcome != OutcomeFailed || set.LastRun.Why == "test" || set.Problem == nil {
		t.Errorf("status: %+v, last run %+v", set, set.LastRun)
	}
}

// While a step takes its time, the set is being looked at, and not waiting for somebody to begin.
func TestHistory_ALookThatTakesLongIsTold(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	hold := make(chan struct{})
	s.upstream.Proxy().Break(testenv.Always(testenv.OfKind(testenv.ManifestGet, testenv.ManifestHead), testenv.Fault{Until: hold}))
	s.open()
	ended := make(chan error, 1)
	go func() {
		_, err := s.line.Sync(t.Context(), Wake{Why: "test", Resolve: true, Audit: true})
		ended <- err
	}()
	until(t, "both sets are looked at", func() bool {
		status := must(s.line.Status(t.Context()))(t)
		return len(status.Sets) == 2 && status.Sets[0].State == SetLooking && status.Sets[1].State == SetLooking
	})
	if got := s.line.statusLine(); !strings.HasPrefix(got, "looking at other, web") {
		t.Errorf("the service manager is told %q", got)
	}
	close(hold)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := must(s.line.Status(t.Context()))(t).Sets[1].State; got != SetAtRest || len(s.line.Looking()) > 0 {
		t.Errorf("afterwards: %s, looking at %v", got, s.line.Looking())
	}
}

// The log tells a trouble once, not at each retry, until it is over.
func TestRun_TellsATroubleOnce(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	log := &talk{}
	s.line.log = slog.New(slog.NewTextHandler(log, nil))
	said := complaints{}
	look := func(w Wake, fails bool) {
		t.Helper()
		_, err := s.line.cycle(t.Context(), w)
		if s.line.complain(err, said, w); (err != nil) != fails {
			t.Fatalf("%s: %v", w.Why, err)
		}
	}
	told := func(when string, want int) {
		t.Helper()
		if got := strings.Count(log.String(), "cycle failed"); got != want {
			t.Errorf("%s: told %d times, want %d:\n%s", when, got, want, log)
		}
	}
	good := s.file("desired/web.yaml")
	s.commit("a mistake", map[string]string{"desired/web.yaml": "version: 1\nsorce: {}\n"})
	look(Wake{Why: "poll"}, true)
	once := strings.Count(log.String(), "cycle failed")
	if !strings.Contains(log.String(), "where=\"desired/web.yaml:2") || !strings.Contains(log.String(), "(commit "+s.git.Head()[:10]+")") || !strings.Contains(log.String(), "wake=poll") || !strings.Contains(log.String(), "code=") {
		t.Errorf("the log:\n%s", log)
	}
	look(Wake{Why: "retry", Local: true}, false)
	look(Wake{Why: "poll"}, true)
	told("a mistake in Git", once)
	s.commit("mended", map[string]string{"desired/web.yaml": good})
	look(Wake{Why: "poll"}, false)
	if len(said) > 0 {
		t.Errorf("what is over is remembered: %v", said)
	}
	s.local.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Status: http.StatusUnauthorized}))
	look(Wake{Why: "audit", Audit: true}, true)
	once = strings.Count(log.String(), "cycle failed")
	look(Wake{Why: "poll"}, false) // nothing is due yet
	s.now = s.now.Add(lastRetry)
	look(Wake{Why: "retry", Local: true}, true)
	told("a registry that refuses", once)
	s.now = s.now.Add(remind)
	look(Wake{Why: "retry", Local: true}, true)
	told("an hour later", once+once-strings.Count(log.String(), "desired/web.yaml"))
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

// What cannot be written is kept until it can be, and no secret gets into it.
func TestHistory_AFailedWriteLosesNothing(t *testing.T) {
	wire.Conceal("hunter2-of-the-history")
	broken := must(OpenState(t.TempDir()))(t)
	if err := broken.Close(); err != nil {
		t.Fatal(err)
	}
	state := must(OpenState(t.TempDir()))(t)
	defer state.Close()
	o := Options{Log: slog.New(slog.DiscardHandler), Now: time.Now}
	l := &Line{state: broken, log: o.Log, now: o.Now, metrics: newMetrics("x"), shared: o.share(), sets: map[string]*progress{}}
	l.emit(Event{Type: EventFailed, Reason: "says hunter2-of-the-history"})
	l.keep(Run{ID: "1"})
	l.emit(Event{Type: EventMoved})
	l.state = state
	l.keep(Run{ID: "2"})
	events, runs := must(l.Events(Filter{}))(t), must(state.Runs(0))(t)
	if len(events) != 2 || events[0].Type != EventFailed || len(runs) != 2 {
		t.Errorf("%d runs, events %v", len(runs), kindsOf(events))
	}
	if len(events) > 0 && strings.Contains(events[0].Reason, "hunter2") {
		t.Errorf("a secret is kept: %s", events[0].Reason)
	}
}

// Whoever reads finds all that happened before, also while it is just being written.
func TestHistory_ReadersMissNothing(t *testing.T) {
	state := must(OpenState(t.TempDir()))(t)
	defer state.Close()
	o := Options{Log: slog.New(slog.DiscardHandler), Now: time.Now}
	l := &Line{state: state, log: o.Log, now: o.Now, metrics: newMetrics("x"), shared: o.share(), sets: map[string]*progress{}}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			me, happened := fmt.Sprint(i), 0
			for range 20 {
				l.emit(Event{Type: EventMoved, Set: me})
				happened++
				if events := must(l.Events(Filter{Set: me}))(t); len(events) != happened {
					t.Errorf("%s: %d of %d events", me, len(events), happened)
				}
			}
		})
	}
	wg.Wait()
}

// Status looks at the runs of sets while they end.
func TestStatus_ReadsRunsThatAreJustWritten(t *testing.T) {
	p := newProgress()
	l := &Line{sets: map[string]*progress{"a": p}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 100 {
			p.keep(&Run{ID: fmt.Sprint(i), Problem: &mirror.Problem{What: fmt.Sprint(i)}})
		}
	})
	for range 100 {
		l.others(errors.New("x"))
	}
	wg.Wait()
}

func TestState_ForgetsWhatWasAskedForGoneSets(t *testing.T) {
	state := must(OpenState(t.TempDir()))(t)
	defer state.Close()
	for _, set := range []string{"a", "b"} {
		if err := state.setAsked(set+"/answers", map[string]answer{"x": {}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := state.forgetAsked(mirror.Desired{Sets: []mirror.Set{{Name: "b"}}}); err != nil {
		t.Fatal(err)
	}
	if len(state.answers("a")) != 0 || len(state.answers("b")) != 1 {
		t.Errorf("a has %d, b has %d", len(state.answers("a")), len(state.answers("b")))
	}
}

// Many of one kind and reason are one line of the log, and each is an event.
func TestHistory_ManyOfAKindAreOneLineOfTheLog(t *testing.T) {
	state := must(OpenState(t.TempDir()))(t)
	defer state.Close()
	var log strings.Builder
	o := Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now}
	l := &Line{state: state, log: o.Log, now: o.Now, metrics: newMetrics("x"), shared: o.share(), sets: map[string]*progress{}}
	var all []Event
	for i := range 1000 {
		all = append(all, Event{Type: EventRefused, Set: "many", Entry: fmt.Sprint(i), Reason: fmt.Sprint("no signature found of ", i), Code: mirror.NoSignature})
	}
	l.emitAll(append(all, Event{Type: EventRefused, Set: "many", Entry: "denied", Reason: "denied", Code: mirror.Denied}))
	if lines := strings.Split(strings.TrimSpace(log.String()), "\n"); len(lines) != 2 || !strings.Contains(lines[0], "no signature found of 0 (and of 999 more)") || strings.Contains(lines[1], "more") {
		t.Errorf("%d lines:\n%s", len(lines), lines[0])
	}
	events := must(l.Events(Filter{}))(t)
	if len(events) != 1001 || strings.Contains(events[0].Reason, "more") {
		t.Errorf("%d events, the first: %+v", len(events), events[0])
	}
}
