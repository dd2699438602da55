package daemon

import (
	"slices"
	"strings"
	"sync"
)

// Wake says why the line is to look again, and at what. Wakes merge by union, so a burst is one cycle and
// none needs to survive a restart: a start looks at everything.
type Wake struct {
	Why     string
	Sets    []string // nil means every set
	Resolve bool     // ask moving upstream tags again
	Audit   bool     // compare what stands with the local registry
	Local   bool     // nothing outside changed, such as a copy that arrived: Git is not asked
}

// merge gives the wake that asks for both.
func (w Wake) merge(o Wake) Wake {
	m := Wake{Resolve: w.Resolve || o.Resolve, Audit: w.Audit || o.Audit, Local: w.Local && o.Local}
	m.Why = w.Why
	if !strings.Contains(w.Why, o.Why) {
		m.Why = strings.TrimPrefix(w.Why+", "+o.Why, ", ")
	}
	if w.Sets != nil && o.Sets != nil {
		m.Sets = slices.Compact(slices.Sorted(slices.Values(slices.Concat(w.Sets, o.Sets))))
	}
	return m
}

// wants says whether the wake is about a set.
func (w Wake) wants(set string) bool { return w.Sets == nil || slices.Contains(w.Sets, set) }

// wakes holds what waits for the next cycle: at most one merged wake.
type wakes struct {
	mu      sync.Mutex
	pending *Wake
	signal  chan struct{}
}

func newWakes() *wakes { return &wakes{signal: make(chan struct{}, 1)} }

func (q *wakes) add(w Wake) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pending != nil {
		w = q.pending.merge(w)
	}
	q.pending = &w
	select {
	case q.signal <- struct{}{}:
	default:
	}
}

// keep holds a wake whose cycle did not come to look at anything until another one comes.
func (q *wakes) keep(w Wake) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pending != nil {
		w = w.merge(*q.pending)
	}
	q.pending = &w
}

// take gives what waits; false when nothing does.
func (q *wakes) take() (Wake, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pending == nil {
		return Wake{}, false
	}
	w := *q.pending
	q.pending = nil
	return w, true
}
