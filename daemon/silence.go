package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// silentFor is how long nobody waits again for a forge that did not answer a gate in time: one wait is enough for all
// sets of a cycle.
const silentFor = 30 * time.Second

// silence is when the forge last did not answer a gate within forgeWithin.
type silence struct {
	mu sync.Mutex
	at time.Time
}

// lately gives an error where it did not answer a moment ago.
func (s *silence) lately(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ago := now.Sub(s.at); s.at.IsZero() || ago < 0 || ago >= silentFor {
		return nil
	}
	return fmt.Errorf("the forge did not answer within %s a moment ago; it is asked again", forgeWithin)
}

// note remembers how asking ended: asked is the context that ended it, of ctx.
func (s *silence) note(ctx, asked context.Context, err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var slow interface{ Timeout() bool }
	switch {
	case err != nil && ctx.Err() == nil && (errors.Is(asked.Err(), context.DeadlineExceeded) || errors.As(err, &slow) && slow.Timeout()):
		s.at = now
	case err == nil:
		s.at = time.Time{}
	}
}
