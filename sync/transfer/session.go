package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
)

// leftovers are journaled sessions that nobody uploads to: of the process before this one, or of an upload
// that was given up for now.
type leftovers struct {
	mu  sync.Mutex
	all map[place][]string
}

type place struct {
	repository string // host/repository
	blob       mirror.Digest
}

func (l *leftovers) add(p place, session string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[p] = append(l.all[p], session)
}

func (l *leftovers) take(p place) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	sessions := l.all[p]
	delete(l.all, p)
	return sessions
}

func (l *leftovers) takeAll() map[place][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = map[place][]string{}
	return all
}

// Recover reads the journal of the process before this one; call it before the first Want. A session is
// taken up where it stands when its blob is wanted again. No request is made.
func (m *Mover) Recover() error {
	open, err := m.journal.Open()
	if err != nil {
		return fmt.Errorf("read the journal of uploads: %w", err)
	}
	for _, s := range open {
		m.left.add(place{s.To.Name(), s.Blob}, s.URL)
	}
	return nil
}

// Sweep cancels the sessions that no upload has taken up. Call it when every set has said once what it wants
// and is at rest, so that nothing is cancelled that would have been of use.
func (m *Mover) Sweep(ctx context.Context) error {
	var all []error
	for p, sessions := range m.left.takeAll() {
		for _, s := range sessions {
			if err := m.cancel(ctx, p, s); err != nil {
				all = append(all, err)
			}
		}
	}
	return errors.Join(all...)
}

// cancel ends a session at the registry and then in the journal. One that cannot be ended now stays for
// later; one that the registry does not know, or will not end, is the registry's to purge.
func (m *Mover) cancel(ctx context.Context, p place, session string) error {
	err := m.request(ctx, func() error { return m.target.Cancel(ctx, session) })
	if err != nil && (ctx.Err() != nil || temporary(err)) {
		m.left.add(p, session)
		return fmt.Errorf("cancel an upload to %s: %w", p.repository, err)
	}
	return m.end(session)
}

// begin opens a session and journals it. A crash between the two leaves one session that nobody knows; the
// registry's purge takes it.
func (c *cargo) begin(ctx context.Context, d mirror.Digest) (string, error) {
	var session string
	err := c.m.write(ctx, func() (err error) { session, err = c.m.target.Begin(ctx, c.to); return err })
	if err != nil {
		return "", local(c.to, fmt.Errorf("begin an upload: %w", err))
	}
	return session, c.journal(session, d)
}

// journal notes a session that was just opened. Without its note a crash would leave it open for good, so
// one that cannot be noted is not used.
func (c *cargo) journal(session string, d mirror.Digest) error {
	if err := c.m.journal.Begin(session, c.to, d); err != nil {
		c.abandon(place{c.to.Name(), d}, session)
		return local(c.to, fmt.Errorf("journal an upload: %w", err))
	}
	return nil
}

func (m *Mover) end(session string) error {
	if err := m.journal.End(session); err != nil {
		return fmt.Errorf("journal the end of an upload: %w", err)
	}
	return nil
}

// abandon ends a session of work that was broken off, in a bounded time of its own. While the Mover closes
// it stays in the journal instead, for the next start to go on with.
func (c *cargo) abandon(p place, session string) {
	if c.m.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(c.m.ctx, cancelWithin)
	defer cancel()
	_ = c.m.cancel(ctx, p, session) // what could not be ended is a leftover now; Sweep tries again
}

// resume takes up what an earlier try left for this blob: the session that holds bytes, and how many. All
// other sessions of the blob are ended.
func (c *cargo) resume(ctx context.Context, d mirror.Descriptor) (session string, offset int64) {
	p := place{c.to.Name(), d.Digest}
	for _, s := range c.m.left.take(p) {
		at := int64(0)
		err := c.m.request(ctx, func() (err error) { at, err = c.m.target.Offset(ctx, s); return err })
		switch {
		case errors.Is(err, mirror.ErrNotFound):
			_ = c.m.end(s) // a session that is journaled once too often costs one request at the next start
		case err != nil || session != "" || at <= 0 || at > d.Size:
			c.abandon(p, s)
		default:
			session, offset = s, at
		}
	}
	return session, offset
}
