package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

// fence gives the check that stands before each batch of tag writes: the inputs are still those that were
// planned for, and nobody suspended the set. No registry has compare-and-swap on tags, so the commit in Git is the fence.
func (l *Line) fence(f *fleet, set string) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, suspended := l.Suspended(set); suspended {
			return fmt.Errorf("fence: %w", errSuspended)
		}
		remote, state, err := l.tips(ctx)
		if err != nil {
			return fmt.Errorf("fence: %w", err)
		}
		if remote == f.head && state == f.state {
			return nil
		}
		branch := l.rendererOf(f)
		at, err := branch.Fetch(ctx)
		if err != nil {
			return fmt.Errorf("fence: %w", err)
		}
		inputs, err := branch.Inputs(at)
		if err != nil {
			return fmt.Errorf("fence: %w", err)
		}
		if inputs != f.inputs {
			return fmt.Errorf("fence: %w", publish.ErrSuperseded)
		}
		paused, _, err := l.suspensions(at)
		if errors.As(err, new(mirror.Problems)) {
			return fmt.Errorf("fence: %w: %w", errSuspended, err)
		}
		if err != nil {
			return fmt.Errorf("fence: %w", err)
		}
		if _, suspended := paused[set]; suspended {
			return fmt.Errorf("fence: %w", errSuspended)
		}
		return nil
	}
}
