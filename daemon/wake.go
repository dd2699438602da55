package daemon

import (
	"slices"
	"strings"
	"sync"
)

// Wake says why the line is to look again, and at what. Wakes merge by union, so a burst is one cycle and
// none needs to survive a restart: a start looks at everything. A set whose inputs changed, or of which
// something is due, is stepped by any wake.
type Wake struct {
	Why     string
	Sets    []string // sets to step in any case, such as those of which a copy arrived
	Resolve bool     // step every set, and ask moving upstream tags again
	Audit   bool     // step every set, and compare what stands with the local registry
	Local   bool     // nothing outside changed: Git is not asked
	Strict  bool     // a commit with mistakes ends the cycle, instead of the last good one staying in force
	Whole   bool     // judge all that stands at once, whatever trust.rejudging says
	Only    []string // of a command line: no other set is looked at; empty means all
}

// merge gives the wake that asks for both.
func (w Wake) merge(o Wake) Wake {
	m := Wake{Resolve: w.Resolve || o.Resolve, Audit: w.Audit || o.Audit, Local: w.Local && o.Local, Strict: w.Strict || o.Strict}
	m.Why = w.Why
	if !strings.Contains(w.Why, o.Why) {
		m.Why = strings.TrimPrefix(w.Why+", "+o.Why, ", ")
	}
	m.Sets = slices.Compact(slices.Sorted(slices.Values(slices.Concat(w.Sets, o.Sets))))
	return m
}

// allows says whether the wake leaves a set to be looked at.
func (w Wake) allows(set string) bool { return len(w.Only) == 0 || slices.Contains(w.Only, set) }

// steps says whether the wake itself is a reason to step a set.
func (w Wake) steps(set string) bool { return w.Resolve || w.Audit || slices.Contains(w.Sets, set) }

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
