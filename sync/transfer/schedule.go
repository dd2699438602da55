package transfer

import (
	"context"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// drop takes a set off a flight; a flight that nobody wants is broken off. Called with the lock held.
func (m *Mover) drop(f *flight, set string) {
	delete(f.sets, set)
	if len(f.sets) > 0 {
		return
	}
	delete(m.flights, f.key)
	m.tell(ImageDropped, f)
	if f.running {
		f.cancel()
	}
}

// tell gives the sink an event of a whole image.
func (m *Mover) tell(kind EventKind, f *flight) {
	a := f.job.Verified.Action()
	m.sink(Event{Kind: kind, Image: a.Image, To: a.To.AtDigest(a.New)})
}

// start fills the free places of every set in turn, so that no set waits for another. Called with the lock
// held.
func (m *Mover) start() {
	for started := true; started && !m.closing; {
		started = false
		for _, name := range slices.Clone(m.order) {
			if m.startOne(name) {
				started = true
				m.order = append(slices.DeleteFunc(m.order, func(s string) bool { return s == name }), name)
			}
		}
	}
}

func (m *Mover) startOne(set string) bool {
	w := m.sets[set]
	for len(w.waiting) > 0 {
		f := w.waiting[0]
		if f.running { // another set started it
			w.waiting = w.waiting[1:]
			continue
		}
		if room := m.limits.Images; w.running >= room+lateImages || !f.late && w.running >= room {
			return false
		}
		w.waiting = w.waiting[1:]
		w.running++
		f.running, f.owner = true, set
		ctx, cancel := context.WithCancel(m.ctx)
		f.cancel = cancel
		m.wg.Go(func() {
			defer cancel()
			bytes, err := m.carry(ctx, f.job)
			m.land(f, bytes, err)
		})
		return true
	}
	return false
}

// land hands the end of a flight to every set that still wants it.
func (m *Mover) land(f *flight, bytes int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sets[f.owner].running--
	if m.flights[f.key] == f {
		delete(m.flights, f.key)
	}
	idle := false
	for set, jobs := range f.sets {
		w := m.sets[set]
		delete(w.wanted, f.key)
		idle = idle || len(w.wanted) == 0
		for _, v := range jobs {
			w.done = append(w.done, end{f.key, mirror.Done{Action: v.Action(), Verdict: v.Verdict(), Bytes: bytes, Err: err}})
			bytes = 0 // they crossed once, so they are counted once
		}
	}
	if idle {
		m.forget()
	}
	m.start()
	m.announce()
}

// forget drops the places of blobs that were seen before the oldest work still going on began: somebody may
// have removed them since, and then a mount would fail or, worse, an upload be left out. Called with the
// lock held.
func (m *Mover) forget() {
	oldest := m.blobs.tick()
	for _, w := range m.sets {
		if len(w.wanted) > 0 {
			oldest = min(oldest, w.since)
		}
	}
	m.blobs.forget(oldest)
}

// announce wakes Next. Called with the lock held.
func (m *Mover) announce() {
	close(m.changed)
	m.changed = make(chan struct{})
}
