package cli

import (
	"context"
	"errors"
	"io"
	"syscall"
)

// errReaderGone is why a command ends whose reader went away.
var errReaderGone = errors.New("nobody reads the output any more")

// pipe is where data goes. A reader that has enough, as in `poundlock get entries | head -1`, is no failure:
// what nobody reads is dropped, a command that would go on printing ends, and its exit code is its own.
type pipe struct {
	to  io.Writer
	end context.CancelCauseFunc
}

// untilClosed gives the writer for data and a context that ends when nobody reads it any more.
func untilClosed(ctx context.Context, out io.Writer) (context.Context, *pipe) {
	ctx, end := context.WithCancelCause(ctx)
	return ctx, &pipe{to: out, end: end}
}

// Write passes data on.
func (p *pipe) Write(data []byte) (int, error) {
	n, err := p.to.Write(data)
	if errors.Is(err, syscall.EPIPE) {
		p.end(errReaderGone)
		return len(data), nil
	}
	return n, err
}

// gone says whether the command ended because its reader went away.
func (p *pipe) gone(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), errReaderGone)
}
