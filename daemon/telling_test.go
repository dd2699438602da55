package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/notify"
)

// inbox is a notifier that keeps what it was told.
type inbox struct {
	mu    sync.Mutex
	got   []notify.Message
	tries int
	fail  func(try int) error
}

func (b *inbox) Send(_ context.Context, m notify.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if b.fail != nil {
		if err := b.fail(b.tries); err != nil {
			return err
		}
	}
	b.got = append(b.got, m)
	return nil
}

// take gives what came, as type of the event, set, stage and how many, and empties it.
func (b *inbox) take() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.got {
		text := strings.TrimRight(fmt.Sprintf("%s %s/%s %d", m.Type, m.Set, m.Stage, m.Count), " ")
		if m.Reminder {
			text += " again"
		}
		all = append(all, text)
	}
	b.got = nil
	return all
}

// ledger is what was told, as the state keeps it.
type ledger struct {
	mu  sync.Mutex
	all map[string]string
}

func (b *ledger) Told() (map[string]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.all), nil
}

func (b *ledger) SetTold(pairs map[string]string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, value := range pairs {
		if b.all[key] = value; value == "" {
			delete(b.all, key)
		}
	}
	return nil
}

// tellingWorld is a teller that runs, with what surrounds it.
type tellingWorld struct {
	*teller
	over  atomic.Bool // all troubles are over
	boxes map[string]*inbox
	end   func()
}

func startTelling(t *testing.T, kept *ledger, notifiers map[string]config.Notifier) *tellingWorld {
	t.Helper()
	w := &tellingWorld{boxes: map[string]*inbox{}}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	w.teller = &teller{site: "berlin", now: time.Now, log: log, signal: make(chan struct{}, 1), kept: kept,
		lasts: func(Event) (bool, bool) { return !w.over.Load(), true }}
	for name, n := range notifiers {
		w.boxes[name] = &inbox{}
		w.couriers = append(w.couriers, &courier{name: name, config: n, sender: w.boxes[name], now: time.Now, log: log, metrics: newMetrics("test"),
			delivered: w.teller.delivered, signal: make(chan struct{}, 1)})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	run := w.teller.start(ctx)
	go func() { defer close(done); run() }()
	w.end = func() { cancel(); <-done }
	synctest.Wait()
	return w
}

func (w *tellingWorld) happens(events ...Event) {
	for i, e := range events {
		e.ID, e.At = fmt.Sprintf("%d-%d", time.Now().UnixNano(), i), time.Now()
		w.take(e)
	}
	time.Sleep(tellAfter + time.Second) // of the bubble
	synctest.Wait()
}

func refusedAt(set, stage string, entries ...string) (events []Event) {
	for _, e := range entries {
		events = append(events, Event{Type: EventRefused, Set: set, Stage: mirror.Stage(stage), Entry: e, Code: "POL003", Reason: "no signature"})
	}
	return events
}

func TestTelling_GoesToThoseWhoWantToKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTelling(t, &ledger{all: map[string]string{}}, map[string]config.Notifier{
			"all": {}, "ess": {Sets: []string{"e*"}}, "production": {Stages: []string{"production"}}, "moves": {Events: []string{"moved"}},
		})
		defer w.end()
		w.happens(append(refusedAt("ess", "staging", "a"), refusedAt("web", "production", "b")...)...)
		w.happens(Event{Type: EventMoved, Set: "ess", Stage: "staging", Entry: "a"}, Event{Type: EventHeadRefused, Reason: "not signed"}, Event{Type: EventCopied, Set: "ess"})
		for name, want := range map[string][]string{
			"all":        {"refused ess/staging 1", "refused web/production 1", "head-refused / 1"},
			"ess":        {"refused ess/staging 1", "head-refused / 1"},
			"production": {"refused web/production 1", "head-refused / 1"},
			"moves":      {"moved ess/staging 1"},
		} {
			if got := w.boxes[name].take(); !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	})
}

func TestTelling_ManyAreOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTelling(t, &ledger{all: map[string]string{}}, map[string]config.Notifier{"all": {}})
		defer w.end()
		var names []string
		for n := range 3000 {
			names = append(names, fmt.Sprintf("e%04d", n))
		}
		w.happens(refusedAt("ess", "staging", names...)...)
		w.boxes["all"].mu.Lock()
		if got := w.boxes["all"].got; len(got) != 1 || got[0].Count != 3000 || len(got[0].Entries) != maxNamed {
			t.Errorf("got %+v", got)
		}
		w.boxes["all"].mu.Unlock()
	})
}

// A trouble is told when it comes, again while it lasts, not after a restart, and anew when it comes back.
func TestTelling_OnChangeAndAgainWhileItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &ledger{all: map[string]string{}}
		notifiers := map[string]config.Notifier{"ops": {Remind: 24 * time.Hour}, "once": {}}
		w := startTelling(t, kept, notifiers)
		want := func(when string, ops, once []string) {
			t.Helper()
			if got := w.boxes["ops"].take(); !slices.Equal(got, ops) {
				t.Errorf("%s: ops was told %q, want %q", when, got, ops)
			}
			if got := w.boxes["once"].take(); !slices.Equal(got, once) {
				t.Errorf("%s: once was told %q, want %q", when, got, once)
			}
		}
		one := []string{"refused ess/staging 1"}
		w.happens(refusedAt("ess", "staging", "a")...)
		want("when it came", one, one)
		w.happens(refusedAt("ess", "staging", "a")...)
		want("when it was found again", nil, nil)
		time.Sleep(23 * time.Hour)
		want("within a day", nil, nil)
		time.Sleep(2 * time.Hour)
		want("after a day", []string{"refused ess/staging 1 again"}, nil)
		w.end()
		w = startTelling(t, kept, notifiers)
		w.happens(refusedAt("ess", "staging", "a")...)
		want("after a restart", nil, nil)
		w.over.Store(true)
		time.Sleep(2 * lookAtTold)
		if all, _ := kept.Told(); len(all) > 0 {
			t.Errorf("what is over is kept: %v", all)
		}
		w.over.Store(false)
		w.happens(refusedAt("ess", "staging", "a")...)
		want("when it came back", one, one)
		w.end()
	})
}

// What is on its way is tried again, in order; what will never be taken is given up; what is too much goes.
func TestTelling_IsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTelling(t, &ledger{all: map[string]string{}}, map[string]config.Notifier{"all": {}})
		defer w.end()
		box := w.boxes["all"]
		box.fail = func(try int) error {
			switch {
			case try <= 5:
				return errors.New("connection refused")
			case try == 6:
				return &notify.Failure{Status: 429, After: 30 * time.Minute}
			}
			return nil
		}
		w.happens(refusedAt("ess", "staging", "a")...)
		w.happens(refusedAt("ess", "production", "a")...)
		time.Sleep(20 * time.Minute)
		if got := box.take(); len(got) > 0 {
			t.Errorf("told before it was to be: %q", got)
		}
		time.Sleep(20 * time.Minute)
		if got := box.take(); !slices.Equal(got, []string{"refused ess/staging 1", "refused ess/production 1"}) {
			t.Errorf("got %q", got)
		}
		box.mu.Lock()
		box.tries, box.fail = 0, func(int) error { return &notify.Failure{Status: 404, Final: true} }
		box.mu.Unlock()
		w.happens(refusedAt("web", "staging", "a")...)
		time.Sleep(time.Hour)
		box.mu.Lock()
		if box.tries != 1 {
			t.Errorf("what is refused for good was tried %d times", box.tries)
		}
		box.tries, box.fail = 0, func(int) error { return errors.New("connection refused") }
		box.mu.Unlock()
		for n := range maxLetters + 50 {
			w.happens(Event{Type: EventPromoted, Set: fmt.Sprintf("set-%03d", n)})
		}
		box.mu.Lock()
		box.fail = nil
		box.mu.Unlock()
		time.Sleep(2 * lastSend)
		got := box.take()
		if len(got) != maxLetters+1 || got[0] != "promoted set-000/ 1" || got[len(got)-1] != "promoted set-149/ 1" {
			t.Errorf("%d came, %q to %q", len(got), got[0], got[len(got)-1])
		}
	})
}

// Whoever is told never holds up the line, and what is told holds no secret and no sign that steers a terminal.
func TestTelling_IsCleanAndWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTelling(t, &ledger{all: map[string]string{}}, map[string]config.Notifier{"all": {}})
		block := make(chan struct{})
		w.boxes["all"].fail = func(int) error { <-block; return nil }
		for range maxLetters {
			w.happens(Event{Type: EventPromoted, Set: "ess", Entry: "a\x1b[31m", Reason: "https://u:hunter2@git.example.org \x1b]0;x\a" + strings.Repeat("x", 5000)})
		}
		close(block)
		synctest.Wait()
		w.boxes["all"].mu.Lock()
		m := w.boxes["all"].got[0]
		w.boxes["all"].mu.Unlock()
		w.end()
		if all := fmt.Sprintf("%+v", m); strings.ContainsAny(all, "\x1b\a") || strings.Contains(all, "hunter2") || len(all) > 4000 {
			t.Errorf("told: %s", all)
		}
	})
}

func TestTelling_EveryEventHasWords(t *testing.T) {
	for _, e := range EventTypes() {
		if tellings[e].what == "" || tellings[e].severity == "" {
			t.Errorf("nobody can be told of %s", e)
		}
		if eventLogs[e].text == "" {
			t.Errorf("the log has no words for %s", e)
		}
	}
	if len(tellings) != len(EventTypes()) {
		t.Errorf("%d events have words, there are %d", len(tellings), len(EventTypes()))
	}
}

func TestCheckTelling_NamesWhatIsWrong(t *testing.T) {
	t.Setenv("POUNDLOCK_TEST_ADDRESS", "http://chat-canary.example.org/T0/B0")
	t.Setenv("POUNDLOCK_TEST_MAIL", "https://mail-canary.example.org")
	s := newSite(t, map[string]string{})
	s.config += "notify:\n" +
		"  chat: {kind: slack, url: {env: POUNDLOCK_TEST_ADDRESS}, events: [promoted, promotd]}\n" +
		"  mail: {kind: email, url: {env: POUNDLOCK_TEST_MAIL}, from: a@example.org, to: [b@example.org]}\n"
	file := filepath.Join(s.dir, "config.yaml")
	if err := os.WriteFile(file, []byte(s.config), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), must(config.Load(file, nil, nil))(t), Options{Log: slog.New(slog.DiscardHandler), Now: s.clock})
	text := fmt.Sprint(err)
	for _, want := range []string{`CFG093]: notify.chat.events: there is no event "promotd"`, `did you mean "promoted"?`, "CFG099]: what notify.chat.url refers to is plain http", "CFG099]: what notify.mail.url refers to is no address of the form smtps://host"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "canary") {
		t.Errorf("an address is shown:\n%s", text)
	}
}

// Whether a trouble lasts is read from the disk and behind locks of the sets, which an event must not wait for.
func TestTelling_AsksWhatLastsWithoutHoldingUpEvents(t *testing.T) {
	w := &teller{now: time.Now, log: slog.New(slog.DiscardHandler), kept: &ledger{all: map[string]string{}}, told: map[string]told{}, couriers: []*courier{{name: "ops"}}}
	for _, e := range refusedAt("ess", "staging", "a", "b") {
		w.told[subject("ops", e)] = told{Event: e}
	}
	w.lasts = func(e Event) (bool, bool) {
		if !w.mu.TryLock() {
			t.Fatal("events wait for the answer")
		}
		w.mu.Unlock()
		return e.Entry == "a", true
	}
	if w.remind(); len(w.told) != 1 {
		t.Errorf("left: %v", w.told)
	}
}
