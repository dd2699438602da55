package charts

import (
	"slices"
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
)

// memo remembers the last few answers to questions that depend on bytes alone: a chart takes seconds, and a set is read and
// rendered at many steps.
type memo[V any] struct {
	most  int
	mu    sync.Mutex
	known map[mirror.Digest]V
	order []mirror.Digest // oldest first
}

func (m *memo[V]) of(key mirror.Digest) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.known[key]
	return v, ok
}

func (m *memo[V]) keep(key mirror.Digest, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.known[key]; ok {
		return
	}
	if m.known == nil {
		m.known = map[mirror.Digest]V{}
	}
	if len(m.order) == m.most {
		delete(m.known, m.order[0])
		m.order = m.order[1:]
	}
	m.known[key], m.order = v, append(m.order, key)
}

func (m *memo[V]) drop(key mirror.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, key)
	m.order = slices.DeleteFunc(m.order, func(d mirror.Digest) bool { return d == key })
}
