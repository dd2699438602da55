package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// checkSigned asks, as a run does, whether the newest commit counts by the signatures that trust.fleet wants. nil where
// nothing is wrong with it.
func (d *doctor) checkSigned(ctx context.Context) *Check {
	if d.config.Trust.Fleet.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	l, err := Open(ctx, d.config, Options{Log: slog.New(slog.DiscardHandler), Now: d.now, Temporary: true})
	if err != nil {
		bad := d.failed("fleet", "", fmt.Errorf("who signed the newest commit is not known: %w", err))
		return &bad
	}
	defer func() { _ = l.Close(context.WithoutCancel(ctx)) }() // it is a temporary one, and nothing was done
	f, err := l.refresh(ctx)
	switch {
	case f == nil:
		bad := d.failed("fleet", "", err)
		return &bad
	case f.refused != nil:
		bad := d.failed("fleet", "", slices.Clone(f.refused).Err())
		return &bad
	case f.rewritten != nil:
		waits := d.warned("fleet", "", *f.rewritten)
		return &waits
	}
	return nil
}

// Rewritten tells of a history of the fleet repository that nobody acknowledged yet, for which the upper stages wait;
// nil for none.
func (l *Line) Rewritten() *mirror.Problem {
	if f := l.fleet.Load(); f != nil {
		return f.rewritten
	}
	return nil
}
