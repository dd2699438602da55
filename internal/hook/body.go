package hook

import (
	"errors"
	"io"

	"golang.org/x/sync/semaphore"
)

const (
	// MaxBody is the largest body of a delivery in bytes: the largest that GitHub sends.
	MaxBody = 25 << 20
	// maxKept is how much of a body is kept to be understood, in bytes. A larger one is checked as it streams by, and
	// stands for "something happened".
	maxKept = 1 << 20
	// maxReading is how many bytes of all bodies are kept at a time.
	maxReading = 16 << 20
	// maxAtOnce is how many deliveries are read at a time.
	maxAtOnce = 128
	chunk     = 16 << 10
)

// Limits bound what all receivers together hold in memory.
type Limits struct {
	slots chan struct{}
	bytes *semaphore.Weighted
}

// NewLimits gives the bounds for the receivers of one process.
func NewLimits() *Limits {
	return &Limits{slots: make(chan struct{}, maxAtOnce), bytes: semaphore.NewWeighted(maxReading)}
}

// enter takes a place among those that are read; leave gives it back. It never waits: who floods us would hold all
// places of a queue, too.
func (l *Limits) enter() (leave func(), err error) {
	select {
	case l.slots <- struct{}{}:
		return func() { <-l.slots }, nil
	default:
		return nil, refuse(Busy, nil)
	}
}

// content is the body of a delivery, as far as it was kept.
type content struct {
	text  []byte
	whole bool
	held  int64
	bytes *semaphore.Weighted
}

func (c *content) free() {
	c.bytes.Release(c.held)
	c.text, c.held = nil, 0
}

// drop gives up what was kept of a body.
func (c *content) drop() {
	c.free()
	c.whole = false
}

// read streams a body by and keeps it if there is room.
func (l *Limits) read(body io.Reader, seen io.Writer) (_ *content, err error) {
	c := &content{whole: true, bytes: l.bytes}
	defer func() {
		if err != nil {
			c.free()
		}
	}()
	buffer := make([]byte, chunk)
	for total := 0; ; {
		n, err := body.Read(buffer)
		if total += n; total > MaxBody {
			return nil, refuse(TooLarge, nil)
		}
		seen.Write(buffer[:n])
		if c.whole && !c.add(buffer[:n]) {
			c.drop()
		}
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil {
			return nil, refuse(Broken, err)
		}
	}
}

// add keeps a part of the body; false when there is no room.
func (c *content) add(part []byte) bool {
	if len(c.text)+len(part) > maxKept {
		return false
	}
	if need := int64(len(c.text) + len(part)); need > c.held {
		more := max(need, 2*c.held) - c.held
		if !c.bytes.TryAcquire(more) {
			return false
		}
		c.held += more
		c.text = append(make([]byte, 0, c.held), c.text...)
	}
	c.text = append(c.text, part...)
	return true
}
