package daemon

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// ids makes the ids of runs, events and orders: they sort in the order in which they were made, also within one
// millisecond and where the clock is put back.
type ids struct {
	mu      sync.Mutex
	last    uint64 // milliseconds
	entropy *ulid.MonotonicEntropy
}

// processIDs are the ids of this process, whatever lines it has.
var processIDs = newIDs()

func newIDs() *ids { return &ids{entropy: ulid.Monotonic(rand.Reader, 0)} }

func (i *ids) next(at time.Time) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last = max(i.last, ulid.Timestamp(at))
	id, err := ulid.New(i.last, i.entropy)
	if err != nil { // this millisecond has no higher one
		i.last++
		id = ulid.MustNew(i.last, i.entropy)
	}
	return id.String()
}
