package hook

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// maxRemembered is how many marks of deliveries a receiver remembers; each delivery leaves at most two.
	maxRemembered = 8192
	// forgeMemory is how long the deliveries of a forge are remembered.
	forgeMemory = 24 * time.Hour
)

// memory is what was delivered lately, the oldest going first. It need not survive a restart: a start looks at
// everything, and what is repeated after it makes us look once more.
type memory struct {
	keep time.Duration

	mu    sync.Mutex
	seen  map[[sha256.Size]byte]time.Time
	order [][sha256.Size]byte // a ring once it is full
	next  int
}

// knows says whether a mark was added within the time that it is kept.
func (m *memory) knows(key [sha256.Size]byte, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.seen[key]
	return ok && now.Sub(at) <= m.keep
}

// add remembers a mark in the place of the oldest.
func (m *memory) add(key [sha256.Size]byte, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = map[[sha256.Size]byte]time.Time{}
	}
	if _, known := m.seen[key]; !known {
		if len(m.order) < maxRemembered {
			m.order = append(m.order, key)
		} else {
			delete(m.seen, m.order[m.next])
			m.order[m.next] = key
			m.next = (m.next + 1) % maxRemembered
		}
	}
	m.seen[key] = now
}
