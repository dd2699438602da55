package render

import (
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
)

// memo remembers the last few answers of a question that depends on bytes alone: the schema of a chart takes a second to
// compile, and a set is rendered at every step.
type memo[V any] struct {
	most  int
	mu    sync.Mutex
	known map[mirror.Digest]V
	order []mirror.Digest // oldest first
}

// of gives the answer for the bytes that key was made of.
func (m *memo[V]) of(key mirror.Digest, ask func() V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.known[key]; ok {
		return v
	}
	if m.known == nil {
		m.known = map[mirror.Digest]V{}
	}
	if len(m.order) == m.most {
		delete(m.known, m.order[0])
		m.order = m.order[1:]
	}
	v := ask()
	m.known[key], m.order = v, append(m.order, key)
	return v
}
