package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

var (
	errStalled = errors.New("no byte moved for too long")
	errNoRange = errors.New("the source cannot start in the middle")
)

// tellEvery is how many bytes of a blob go by between two events.
const tellEvery = 256 << 10

// send makes one try: the body of the source's answer is the body of the target's request.
func (c *cargo) send(ctx context.Context, session string, d mirror.Descriptor, offset int64) error {
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(c.m.limits.Stall, func() { cancel(errStalled) })
	defer stalled.Stop()
	if offset == d.Size {
		stalled.Reset(c.m.limits.Commit)
	}
	told := offset
	b := &body{ctx: sending, size: d.Size, at: offset, digest: d.Digest, wait: c.m.limits.Pause,
		open: func(at int64) (io.ReadCloser, error) { return c.content.Blob(sending, c.from, d.Digest, at) },
		moved: func(at int64) {
			wait := c.m.limits.Stall
			if at == d.Size {
				wait = c.m.limits.Commit // it may have to read all of it again
			}
			stalled.Reset(wait)
			if at-told >= tellEvery {
				told = at
				c.tell(BlobMoving, mirror.Descriptor{Digest: d.Digest, Size: at}, nil)
			}
		}}
	if offset == 0 {
		b.hash = sha256.New()
	}
	err := c.m.target.Upload(sending, session, d, offset, b)
	cancel(nil) // a request that was answered early may still be reading
	read, whole, broken := b.end()
	c.bytes.Add(read)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && whole:
		return nil
	case context.Cause(sending) == errStalled:
		return local(c.to, fmt.Errorf("upload %s: %w", d.Digest, errStalled))
	case broken != nil && !errors.Is(broken, context.Canceled): // that one is our own cancel
		return upstream(c.from, fmt.Errorf("read %s: %w", d.Digest, broken))
	case err == nil:
		return local(c.to, fmt.Errorf("upload %s: the registry took only a part of it", d.Digest))
	}
	return local(c.to, fmt.Errorf("upload %s: %w", d.Digest, err))
}

// body reads a blob from the source and goes on from the byte where it broke. The last bytes are not given
// away before the digest of all is right, so that a request never carries a whole wrong blob.
//
// The bytes before a first offset were checked, if at all, by a try that is over: then only the target, which
// holds them, can compare the digest, and it does so when it commits.
type body struct {
	ctx    context.Context
	open   func(at int64) (io.ReadCloser, error)
	moved  func(at int64) // called with the lock held
	size   int64
	digest mirror.Digest
	hash   hash.Hash // nil where the first bytes are not seen
	wait   time.Duration

	mu     sync.Mutex
	src    io.ReadCloser
	at     int64
	read   int64
	broke  int   // times since the last MiB
	since  int64 // bytes read since it broke
	failed error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case b.failed != nil:
			return 0, b.failed
		case b.at == b.size:
			return 0, io.EOF
		case b.src == nil:
			if b.reopen(); b.src == nil {
				continue
			}
		}
		n, err := b.src.Read(p[:min(int64(len(p)), b.size-b.at)])
		if n > 0 {
			return b.took(p[:n])
		}
		if err != nil {
			b.broken(err)
		}
	}
}

func (b *body) took(p []byte) (int, error) {
	b.at += int64(len(p))
	b.read += int64(len(p))
	if b.since += int64(len(p)); b.since >= 1<<20 {
		b.broke, b.since = 0, 0
	}
	b.moved(b.at)
	if b.hash == nil {
		return len(p), nil
	}
	b.hash.Write(p)
	if b.at == b.size {
		if have := hex.EncodeToString(b.hash.Sum(nil)); have != b.digest.Hex {
			b.failed = fmt.Errorf("bytes are sha256:%s: %w", have, mirror.ErrDigestMismatch)
			return 0, b.failed
		}
	}
	return len(p), nil
}

// broken closes the answer that ended too early; the next Read asks for the rest.
func (b *body) broken(err error) {
	b.src.Close()
	b.src = nil
	b.since = 0
	b.broke++
	switch {
	case b.ctx.Err() != nil:
		b.failed = b.ctx.Err()
	case errors.Is(err, mirror.ErrDigestMismatch), errors.Is(err, mirror.ErrTooLarge):
		b.failed = err
	case b.broke >= breaks && err == io.EOF:
		b.failed = fmt.Errorf("%d of %d bytes: %w", b.at, b.size, mirror.ErrDigestMismatch)
	case b.broke >= breaks:
		b.failed = err
	}
}

// reopen asks for the bytes from where the last answer broke, after a pause that grows.
func (b *body) reopen() {
	if b.broke > 0 {
		timer := time.NewTimer(b.wait << (b.broke - 1))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-b.ctx.Done():
			b.failed = b.ctx.Err()
			return
		}
	}
	src, err := b.open(b.at)
	switch {
	case err == nil:
		b.src = src
	case b.ctx.Err() != nil:
		b.failed = b.ctx.Err()
	case temporary(err):
		if b.broke++; b.broke >= breaks {
			b.failed = err
		}
	case b.at > 0 && !errors.Is(err, mirror.ErrNotFound):
		b.failed = fmt.Errorf("from byte %d: %w: %w", b.at, errNoRange, err)
	default:
		b.failed = err
	}
}

// end closes the source and says how much was read, whether all of it, and what was wrong with the source.
func (b *body) end() (read int64, whole bool, failed error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.src != nil {
		b.src.Close()
		b.src = nil
	}
	if failed = b.failed; failed == nil && b.at < b.size {
		b.failed = io.ErrClosedPipe // for a transport that reads on
	}
	return b.read, b.at == b.size && failed == nil, failed
}
