package transfer

import (
	"context"
	"errors"

	"github.com/poundlock/poundlock/internal/mirror"
)

// upload is one blob on its way, over all its tries. Its sessions are in the journal from right after they
// are opened until the blob is committed or they are cancelled.
type upload struct {
	c       *cargo
	d       mirror.Descriptor
	place   place
	session string // "" where one is to be opened
	offset  int64  // how many bytes the session holds
	wrong   int    // times that the bytes were not the blob's
	failed  int    // times that the target failed for now
	anew    int    // times that it had to start over because one side cannot go on in the middle
}

// upload brings the bytes of d from source to target, in the given session if there is one. What an earlier
// try left is taken up.
func (c *cargo) upload(ctx context.Context, d mirror.Descriptor, session string) error {
	u := &upload{c: c, d: d, session: session, place: place{c.to.Name(), d.Digest}}
	leave, err := c.m.slot(ctx, d.Size)
	if err != nil {
		u.drop()
		return err
	}
	defer leave()
	if u.session == "" {
		u.session, u.offset = c.resume(ctx, d)
	}
	for {
		if u.session == "" {
			u.offset = 0
			if u.session, err = c.begin(ctx, d.Digest); err != nil {
				return err
			}
		}
		err := c.send(ctx, u.session, d, u.offset)
		if err == nil {
			// A crash before the note is ended: the next start asks for the session and hears that it is gone.
			c.tell(BlobCopied, d, nil)
			return local(c.to, c.m.end(u.session))
		}
		if done, err := u.again(ctx, err); done || err != nil {
			return err
		}
	}
}

// slot waits for a place among the uploads. Large blobs cannot take all of them, so that what is small and
// urgent passes.
func (m *Mover) slot(ctx context.Context, size int64) (leave func(), err error) {
	if size < largeBlob {
		return m.uploads.give, m.uploads.take(ctx)
	}
	if err := m.large.take(ctx); err != nil {
		return nil, err
	}
	if err := m.uploads.take(ctx); err != nil {
		m.large.give()
		return nil, err
	}
	return func() { m.uploads.give(); m.large.give() }, nil
}

// again decides after a try that failed: the blob is there after all (done), the upload is over (err), or
// the next try goes on from offset.
func (u *upload) again(ctx context.Context, cause error) (done bool, err error) {
	if ctx.Err() != nil {
		u.drop()
		return false, ctx.Err()
	}
	var e *Error
	if errors.As(cause, &e) && e.Image == u.c.from {
		return false, u.afterSource(cause)
	}
	return u.afterTarget(ctx, cause)
}

// afterSource goes on after bytes that were wrong, by fetching them again, and after a source that cannot
// start in the middle, by starting over. A source that failed for now ends the upload; its session waits for
// the next job, so that a long layer does not start from nothing.
func (u *upload) afterSource(cause error) error {
	switch {
	case errors.Is(cause, mirror.ErrDigestMismatch):
		u.drop() // nobody can tell which of its bytes are wrong
		if u.wrong++; u.wrong >= tries {
			return cause
		}
	case errors.Is(cause, errNoRange):
		u.drop()
		if u.anew++; u.anew >= tries {
			return cause
		}
	case temporary(cause):
		u.c.m.left.add(u.place, u.session)
		return cause
	default:
		u.drop()
		return cause
	}
	return nil
}

// afterTarget asks the target what it holds after a failed upload. The answer may have been lost on its way:
// then the session is gone and the blob is there.
func (u *upload) afterTarget(ctx context.Context, cause error) (done bool, err error) {
	if !temporary(cause) {
		u.drop()
		// Where the first bytes came from an earlier try, only the target could compare the digest: start over.
		if u.anew++; u.offset > 0 && u.anew < tries {
			return false, nil
		}
		return false, cause
	}
	if u.failed++; u.failed >= tries {
		u.c.m.left.add(u.place, u.session)
		return false, cause
	}
	if err := u.c.m.pause(ctx, u.failed, cause); err != nil {
		u.drop()
		return false, err
	}
	m, at := u.c.m, int64(0)
	err = m.request(ctx, func() (err error) { at, err = m.target.Offset(ctx, u.session); return err })
	switch {
	case errors.Is(err, mirror.ErrNotFound):
		if err := m.end(u.session); err != nil {
			return false, local(u.c.to, err)
		}
		u.session = ""
		return u.c.has(ctx, u.d)
	case err != nil || at > u.d.Size:
		u.drop()
	default:
		u.offset = at
	}
	return false, nil
}

// drop ends the session, so that the next try opens another.
func (u *upload) drop() {
	if u.session != "" {
		u.c.abandon(u.place, u.session)
		u.session = ""
	}
}
