package transfer

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/poundlock/poundlock/internal/registry"
)

// slots bound how many do something at once.
type slots chan struct{}

func (s slots) take(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s slots) give() { <-s }

// keyed is a lock per key; a key costs memory only while it is held or waited for.
type keyed struct {
	mu   sync.Mutex
	held map[string]*hold
}

type hold struct {
	slot  slots
	users int
}

func (k *keyed) lock(ctx context.Context, key string) (unlock func(), err error) {
	k.mu.Lock()
	h := k.held[key]
	if h == nil {
		h = &hold{slot: make(slots, 1)}
		k.held[key] = h
	}
	h.users++
	k.mu.Unlock()
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(k.held, key)
		}
	}
	if err := h.slot.take(ctx); err != nil {
		leave()
		return nil, err
	}
	return func() { h.slot.give(); leave() }, nil
}

// request runs one exchange with a registry within the bound on requests.
func (m *Mover) request(ctx context.Context, do func() error) error {
	if err := m.requests.take(ctx); err != nil {
		return err
	}
	defer m.requests.give()
	return do()
}

// write runs an exchange that changes the target and tries it again when it failed for now. Each of them may
// be repeated after a lost answer: content is named by its digest, and a second session is a session more.
func (m *Mover) write(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := m.request(ctx, do)
		if err == nil || try == tries || ctx.Err() != nil || !temporary(err) {
			return err
		}
		if m.pause(ctx, try, err) != nil {
			return err
		}
	}
}

// pause waits before the next try: twice as long each time, with jitter, and as long as a registry asked for
// within reason.
func (m *Mover) pause(ctx context.Context, try int, cause error) error {
	wait := m.limits.Pause << (try - 1)
	wait = wait/2 + rand.N(wait/2+1)
	var answer *registry.Error
	if errors.As(cause, &answer) {
		wait = max(wait, answer.RetryAfter)
	}
	wait = min(wait, maxPause)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
