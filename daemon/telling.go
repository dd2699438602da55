package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/notify"
	"github.com/poundlock/poundlock/internal/wire"
)

const (
	// tellAfter is how long events of one kind are gathered into one message.
	tellAfter = 2 * time.Second
	// lookAtTold is how often it is looked at what was told: whether it is over, or to be told again.
	lookAtTold = time.Minute
	// maxPending is how many events are gathered at most.
	maxPending = 20_000
	// maxNamed is how many entries a message names.
	maxNamed = 20
)

// teller tells the notifiers of a configuration what happens: each what it wants to know, when the state changes, and
// again while trouble lasts. Nothing of it ever waits in the line.
type teller struct {
	site     string
	now      func() time.Time
	log      *slog.Logger
	couriers []*courier
	kept     toldStore
	lasts    func(Event) (lasts, known bool) // whether a trouble that was told is still there

	signal chan struct{} // something is pending

	mu      sync.Mutex
	told    map[string]told // troubles, by notifier and subject
	started bool
	pending []Event
	missed  int // events for which there was no room in pending
}

// toldStore keeps what was told over a restart.
type toldStore interface {
	Told() (map[string]string, error)
	SetTold(pairs map[string]string) error // "" takes one out
}

// told is a trouble that somebody was told of.
type told struct {
	Event Event     `json:"event"`
	At    time.Time `json:"at"` // when it was told last
}

// subject is what a trouble is about: the same one is not told twice.
func subject(courier string, e Event) string {
	return strings.Join([]string{courier, string(e.Type), e.Set, string(e.Stage), e.Entry, string(e.Code)}, "\x00")
}

// recall takes up what was told before this process ran.
func (t *teller) recall() {
	t.told = map[string]told{}
	if len(t.couriers) == 0 {
		return
	}
	all, err := t.kept.Told()
	if err != nil {
		t.log.Debug("what was told before is not known", keyError, err)
	}
	for key, value := range all {
		var one told
		if json.Unmarshal([]byte(value), &one) == nil {
			t.told[key] = one
		}
	}
}

// take notes an event, for whoever wants to know of it. It never waits, and does nothing before start.
func (t *teller) take(e Event) {
	if !slices.ContainsFunc(t.couriers, func(c *courier) bool { return c.wants(e) }) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.started {
		return
	}
	if len(t.pending) >= maxPending {
		t.missed++
		return
	}
	t.pending = append(t.pending, e)
	select {
	case t.signal <- struct{}{}:
	default:
	}
}

// took gives what was noted since it was called last.
func (t *teller) took() []Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.missed > 0 {
		t.log.Warn("some events are not told: too many came at once", keyEvents, t.missed)
	}
	events := t.pending
	t.pending, t.missed = nil, 0
	return events
}

// start gives what tells, until ctx ends, all that happens from now on.
func (t *teller) start(ctx context.Context) func() error {
	t.recall()
	t.mu.Lock()
	t.started = true
	t.mu.Unlock()
	return func() error {
		var going sync.WaitGroup
		defer going.Wait()
		for _, c := range t.couriers {
			going.Go(func() { c.run(ctx) })
		}
		look := time.NewTicker(lookAtTold)
		defer look.Stop()
		var due <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-t.signal:
				if due == nil {
					due = time.After(tellAfter)
				}
			case <-due:
				due = nil
				t.tell(t.took())
			case <-look.C:
				t.remind()
			}
		}
	}
}

// tell gives events to those who want to know of them.
func (t *teller) tell(events []Event) {
	for _, c := range t.couriers {
		var news []Event
		for _, e := range events {
			if c.wants(e) && t.isNews(c.name, e) {
				news = append(news, e)
			}
		}
		for _, alike := range grouped(news) {
			c.give(t.letter(c.name, alike, false))
		}
	}
}

// isNews says whether an event is to be told, and marks a trouble as told. What a restart finds again is no news.
func (t *teller) isNews(courier string, e Event) bool {
	if !tellings[e.Type].lasts {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := subject(courier, e)
	if _, known := t.told[key]; known {
		return false
	}
	t.told[key] = told{Event: e, At: t.now()}
	return true
}

// remind tells troubles again that last, and forgets those that are over.
func (t *teller) remind() {
	now := t.now()
	again, later, over := map[*courier][]Event{}, map[string]told{}, map[string]string{}
	t.mu.Lock()
	all := maps.Clone(t.told)
	t.mu.Unlock()
	for key, one := range all {
		name, _, _ := strings.Cut(key, "\x00")
		i := slices.IndexFunc(t.couriers, func(c *courier) bool { return c.name == name })
		lasts, known := t.lasts(one.Event) // reads the state and takes locks: whoever emits an event must not wait for that
		switch {
		case i < 0, known && !lasts:
			over[key] = ""
		case known && t.couriers[i].config.Remind > 0 && now.Sub(one.At) >= t.couriers[i].config.Remind:
			one.At = now
			later[key] = one
			again[t.couriers[i]] = append(again[t.couriers[i]], one.Event)
		}
	}
	t.mu.Lock()
	maps.Copy(t.told, later)
	maps.DeleteFunc(t.told, func(key string, _ told) bool { _, is := over[key]; return is })
	t.mu.Unlock()
	t.keep(over)
	for c, events := range again {
		slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(subject("", a), subject("", b)) })
		for _, alike := range grouped(events) {
			c.give(t.letter(c.name, alike, true))
		}
	}
}

// delivered keeps what a message told of over a restart.
func (t *teller) delivered(keys []string) {
	kept := map[string]string{}
	t.mu.Lock()
	for _, key := range keys {
		if one, ok := t.told[key]; ok { // else it is over already
			value, _ := json.Marshal(one) // an event can be written
			kept[key] = string(value)
		}
	}
	t.mu.Unlock()
	t.keep(kept)
}

func (t *teller) keep(pairs map[string]string) {
	if err := t.kept.SetTold(pairs); err != nil {
		t.log.Debug("what was told is not kept: it may be told again after a restart", keyError, err)
	}
}

// grouped puts events together that differ by their entry alone, in the order in which they came.
func grouped(events []Event) [][]Event {
	type kind struct {
		Type  EventType
		Set   string
		Stage mirror.Stage
		Code  mirror.ReasonCode
		Alone string // what is told one by one
	}
	var order []kind
	all := map[kind][]Event{}
	for _, e := range events {
		k := kind{Type: e.Type, Set: e.Set, Stage: e.Stage, Code: e.Code}
		if e.Entry == "" || e.Number > 0 {
			k.Alone = e.ID
		}
		if all[k] == nil {
			order = append(order, k)
		}
		all[k] = append(all[k], e)
	}
	var groups [][]Event
	for _, k := range order {
		groups = append(groups, all[k])
	}
	return groups
}

// letter gives the message for events of one kind.
func (t *teller) letter(courier string, alike []Event, reminder bool) letter {
	e := alike[0]
	how := tellings[e.Type]
	m := notify.Message{Version: 1, ID: e.ID, At: e.At, Site: t.site, Type: string(e.Type), What: how.what, Severity: how.severity,
		Set: e.Set, Stage: string(e.Stage), Count: len(alike), Commit: clean(e.Commit), Code: string(e.Code), Reason: clean(e.Reason),
		Where: clean(e.Where.String()), Fix: clean(e.Fix), By: clean(e.By), Proposal: e.Number, URL: clean(e.URL), Reminder: reminder}
	if reminder {
		m.ID, m.At = e.ID+"-"+t.now().UTC().Format("20060102T150405"), t.now().UTC()
	}
	if !e.Image.IsZero() {
		m.Image = clean(e.Image.String())
	}
	var l letter
	for _, one := range alike {
		if one.Entry != "" && len(m.Entries) < maxNamed {
			m.Entries = append(m.Entries, clean(one.Entry))
		}
		if how.lasts {
			l.keys = append(l.keys, subject(courier, one))
		}
	}
	l.message = m
	return l
}

// wants says whether a notifier wants to know of an event. One that belongs to no set or stage is for everybody.
func (c *courier) wants(e Event) bool {
	how, known := tellings[e.Type]
	if len(c.config.Events) > 0 {
		known = slices.Contains(c.config.Events, string(e.Type))
	} else {
		known = known && how.usual
	}
	return known && (e.Set == "" || len(c.config.Sets) == 0 || slices.ContainsFunc(c.config.Sets, func(glob string) bool { return doublestar.MatchUnvalidated(glob, e.Set) })) &&
		(e.Stage == "" || len(c.config.Stages) == 0 || slices.Contains(c.config.Stages, string(e.Stage)))
}

// newTeller makes what tells, for a line that may run.
func newTeller(l *Line, c config.Config, out *wire.Wire) (*teller, error) {
	t := &teller{site: c.Site, now: l.now, log: l.log, lasts: l.lasts, kept: l.state, signal: make(chan struct{}, 1)}
	for _, name := range sortedKeys(c.Notify) {
		sender, err := senderOf(c, c.Notify[name], l.out(out))
		if err != nil {
			return nil, err
		}
		t.couriers = append(t.couriers, &courier{name: name, config: c.Notify[name], sender: sender, now: l.now, log: l.log, metrics: l.metrics,
			delivered: t.delivered, signal: make(chan struct{}, 1)})
	}
	return t, nil
}
