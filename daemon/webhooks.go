package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/hook"
	"github.com/poundlock/poundlock/internal/mirror"
)

// webhooks are the receivers of one configuration, by their names.
type webhooks struct {
	line      *Line
	apart     bool // they have a listener of their own
	receivers map[string]*hook.Receiver
	at        atomic.Pointer[server] // their own listener, while it listens

	mu      sync.Mutex
	refused map[string]*refusedHooks
	later   map[string]*time.Timer // by receiver: looks once for what came too fast
	closed  bool
}

// refusedHooks is what a receiver refused as not genuine.
type refusedHooks struct {
	told  time.Time
	since int // how many there were after that
}

func newWebhooks(l *Line) *webhooks {
	h := &webhooks{line: l, apart: l.config.Webhooks.Listen != "", receivers: map[string]*hook.Receiver{}, refused: map[string]*refusedHooks{}, later: map[string]*time.Timer{}}
	limits := hook.NewLimits()
	for name, r := range l.config.Webhooks.Receivers {
		h.receivers[name] = hook.New(hook.Settings{Kind: hook.Kind(r.Kind), Secret: text(r.Secret), Age: r.Age, PerMinute: r.Rate, Now: l.now, Limits: limits})
	}
	return h
}

// take answers a delivery. What it says is only where to look: a genuine one wakes the line, which reads everything
// anew, and a burst of them is one cycle.
func (h *webhooks) take(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	receiver := h.receivers[name]
	if receiver == nil {
		http.NotFound(w, r)
		return
	}
	news, err := receiver.Receive(r)
	if err != nil {
		h.refuse(w, r, name, err)
		return
	}
	result := "accepted"
	switch {
	case news.Repeated:
		result = "repeated"
	case news.Stale:
		result = "stale"
	case news.Idle:
		result = "idle"
	default:
		h.wake(name, news)
	}
	h.line.metrics.hooks.WithLabelValues(name, result).Inc()
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintln(w, result)
}

// refuse answers a delivery that does not count, with nothing that helps to make one that does.
func (h *webhooks) refuse(w http.ResponseWriter, r *http.Request, name string, err error) {
	refused, ok := errors.AsType[*hook.Refusal](err)
	if !ok {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h.line.metrics.hooks.WithLabelValues(name, string(refused.Reason)).Inc()
	switch {
	case refused.NotGenuine():
		h.tell(name, refused, r.RemoteAddr)
	case refused.Reason == hook.TooMany:
		h.lookLater(name, refused.After)
	case refused.Reason == hook.NoSecret:
		h.line.log.Error("webhook cannot be checked", keyHook, name, keyError, errors.Unwrap(refused))
	}
	if refused.After > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(refused.After.Seconds())+1))
	}
	http.Error(w, refused.Error(), refused.Status())
}

// tell tells of deliveries that are not genuine: the first at once, the others by their number, so that who floods us
// does not flood the log and the history.
func (h *webhooks) tell(name string, refused *hook.Refusal, from string) {
	now := h.line.now()
	h.mu.Lock()
	seen := h.refused[name]
	if seen == nil {
		seen = &refusedHooks{}
		h.refused[name] = seen
	}
	seen.since++
	many := seen.since
	quiet := !seen.told.IsZero() && now.Sub(seen.told) < remind
	if !quiet {
		seen.told, seen.since = now, 0
	}
	h.mu.Unlock()
	if quiet {
		return
	}
	if host, _, err := net.SplitHostPort(from); err == nil {
		from = host
	}
	h.line.emit(Event{Type: EventHookRefused, By: from,
		Reason: fmt.Sprintf("webhook %s: %v; %s since it was told last", name, refused, count(many, "delivery"))})
}

// lookLater looks once for all that a receiver told to come later: most senders do not come again.
func (h *webhooks) lookLater(name string, after time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.later[name] != nil {
		return
	}
	h.later[name] = time.AfterFunc(after, func() {
		h.mu.Lock()
		delete(h.later, name)
		closed := h.closed
		h.mu.Unlock()
		if !closed {
			h.wake(name, hook.News{Vague: true})
		}
	})
}

// close ends what waits.
func (h *webhooks) close(context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, timer := range h.later {
		timer.Stop()
	}
	return nil
}

// wake makes the line look at what a delivery is about, or at everything where that is not known.
func (h *webhooks) wake(name string, news hook.News) {
	l, c := h.line, h.line.config.Webhooks.Receivers[name]
	w := Wake{Why: "webhook " + name, Sets: c.Sets}
	switch kind := hook.Kind(c.Kind); {
	case kind.Registry():
		if !l.wakeForImages(w, news) {
			return
		}
	case kind == hook.Generic:
		if len(w.Sets) == 0 {
			w.Sets = slices.DeleteFunc(slices.Clone(news.Sets), func(set string) bool { return !slices.Contains(l.Sets(), set) })
		}
		for _, set := range w.Sets {
			l.progress(set).owe(Wake{Resolve: true})
		}
		l.wakes.add(w)
		l.callDesk()
	default:
		l.wakes.add(w)
		if !news.Push || len(news.Proposals) > 0 || news.Vague {
			l.callDesk(news.Proposals...)
		}
	}
}

// wakeForImages wakes the sets that want or hold images that were pushed or deleted; false when it is nobody's.
func (l *Line) wakeForImages(w Wake, news hook.News) bool {
	f := l.fleet.Load()
	if f == nil {
		return false // a start looks at everything
	}
	upstream, local := setsOf(f.desired, l.local, l.config.Registries, news.Images)
	switch {
	case len(w.Sets) > 0:
		upstream, local = w.Sets, w.Sets
	case news.Vague:
		upstream = l.Sets()
		local = upstream
	}
	local = slices.DeleteFunc(slices.Clone(local), func(set string) bool { return !l.mover.Idle(set) }) // it is us who push
	w.Local = true
	w.Sets = append(slices.Clone(upstream), local...)
	if len(w.Sets) == 0 {
		return false
	}
	for _, set := range upstream {
		l.progress(set).owe(Wake{Resolve: true})
	}
	for _, set := range local {
		l.progress(set).owe(Wake{Audit: true})
	}
	l.wakes.add(w)
	return true
}

// setsOf gives the sets whose upstream is one of the images, and those that hold one of them in the local registry.
// Only the repositories are compared: a registry often knows itself by another name than we do, and a look too many
// changes nothing.
func setsOf(d mirror.Desired, local mirror.Local, registries map[string]config.Registry, images []hook.Image) (upstream, here []string) {
	named := map[string]bool{}
	for _, i := range images {
		named[i.Repository] = true
	}
	prefixes := map[string]string{}
	for _, r := range registries {
		prefixes[r.Host] = r.Prefix
	}
	for _, set := range d.Sets {
		wants, holds := false, false
		for _, e := range set.Entries {
			wants = wants || named[e.Image.Repository] || named[prefixes[e.Image.Host]+"/"+e.Image.Repository]
			for _, stage := range set.Stages {
				holds = holds || named[local.Repository(set, stage, e.Image).Repository]
			}
		}
		if wants {
			upstream = append(upstream, set.Name)
		}
		if holds {
			here = append(here, set.Name)
		}
	}
	return upstream, here
}
