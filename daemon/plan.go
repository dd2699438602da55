package daemon

import (
	"context"
	"fmt"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Plan gives what a sync would do for every set that the wake wants, without doing it.
func (l *Line) Plan(ctx context.Context, w Wake) ([]mirror.Plan, error) {
	f, err := l.refresh(ctx)
	if err != nil {
		return nil, err
	}
	var plans []mirror.Plan
	for _, set := range f.desired.Sets {
		if !w.allows(set.Name) {
			continue
		}
		v, err := l.view(ctx, f, set, w, l.now())
		if err != nil {
			return plans, fmt.Errorf("set %s: %w", set.Name, err)
		}
		rendered, err := l.render(f, v, v.plan.After)
		if err != nil {
			return plans, fmt.Errorf("set %s: %w", set.Name, err)
		}
		v.plan.Actions = append(v.plan.Actions, rendered.actions...)
		plans = append(plans, v.plan)
	}
	return plans, nil
}
