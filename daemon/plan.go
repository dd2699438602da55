package daemon

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// PreviewOptions say what a preview finds out anew.
type PreviewOptions struct {
	Refresh bool          // ask every moving upstream tag and every tag of the local registry now
	Audit   bool          // ask every tag of the local registry now
	MaxAge  time.Duration // how old an answer of an upstream may be; older ones are asked again
	Sizes   bool          // learn how much the copies bring
}

// Preview gives what a sync would do, without doing it, for those who decide on it. It stands on what the last
// run found out: where nothing changed since and no answer is too old, no registry is asked.
func (l *Line) Preview(ctx context.Context, o PreviewOptions) (plan.Document, error) {
	f, err := l.refresh(ctx)
	if err != nil {
		return plan.Document{}, err
	}
	plans, asOf, err := l.preview(ctx, f, o)
	if err != nil {
		return plan.Document{}, err
	}
	var sizes plan.Sizes
	if o.Sizes && !l.offline {
		sizes = l.weigh(ctx, f, plans)
	}
	d := plan.NewDocument(sizes, plans...)
	d.Site, d.Registry, d.Git, d.AsOf = l.config.Site, l.local.Host, f.head, asOf
	d.Offline, d.Folder = l.offline, l.config.Git.Path
	return d, ctx.Err()
}

// preview computes the plans of all sets that are asked for, and when the oldest answer that they stand on was
// given.
func (l *Line) preview(ctx context.Context, f *fleet, o PreviewOptions) (plans []mirror.Plan, asOf time.Time, err error) {
	if err := l.limit.check(f.desired); err != nil {
		return nil, asOf, err
	}
	at := l.now()
	wake := Wake{Why: "plan", Resolve: o.Refresh && !l.offline, Audit: (o.Refresh || o.Audit) && !l.offline, Only: l.limit.sets()}
	maxAge := o.MaxAge
	if l.offline {
		maxAge = -1
	}
	var sets []mirror.Set
	for _, set := range f.desired.Sets {
		if !wake.allows(set.Name) {
			continue
		}
		sets = append(sets, set)
		if wake.Resolve {
			continue
		}
		if since := l.recall(f, set, at, maxAge); !since.IsZero() && (asOf.IsZero() || since.Before(asOf)) {
			asOf = since
		}
	}
	plans = make([]mirror.Plan, len(sets))
	var group errgroup.Group
	group.SetLimit(setsAtOnce)
	for i, set := range sets {
		group.Go(func() (err error) {
			plans[i], err = l.planOf(ctx, f, set, wake, at)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, asOf, err
	}
	for i, p := range plans {
		plans[i] = pause(f, p)
		l.asBefore(plans[i])
	}
	return plans, asOf, nil
}

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
		p, err := l.planOf(ctx, f, set, w, l.now())
		if err != nil {
			return plans, err
		}
		plans = append(plans, p)
	}
	return plans, nil
}

func (l *Line) planOf(ctx context.Context, f *fleet, set mirror.Set, w Wake, at time.Time) (mirror.Plan, error) {
	v, err := l.view(ctx, f, set, w, at)
	if err != nil {
		return mirror.Plan{}, fmt.Errorf("set %s: %w", set.Name, err)
	}
	rendered, err := l.render(f, v, v.plan.After)
	if err != nil {
		return mirror.Plan{}, fmt.Errorf("set %s: %w", set.Name, err)
	}
	v.plan.Actions = append(v.plan.Actions, rendered.actions...)
	return v.plan, nil
}

// pause says of a set that somebody suspended that nothing of it will be done.
func pause(f *fleet, p mirror.Plan) mirror.Plan {
	why, suspended := f.paused(p.Set)
	if !suspended {
		return p
	}
	for i, a := range p.Actions {
		if a.Kind == mirror.Copy || a.Kind == mirror.Tag || a.Kind == mirror.Render {
			p.Actions[i].Kind, p.Actions[i].Reason = mirror.Refuse, mirror.Because(mirror.Paused, "the set is suspended: %s", why.Reason)
		}
	}
	return p
}
