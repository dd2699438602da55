package daemon

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
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

	completed func(*view, rendering) // is given each set with what would be rendered; nil: nobody is
}

// Preview gives what a sync would do, without doing it, for those who decide on it. It stands on what the last
// run found out: where nothing changed since and no answer is too old, no registry is asked.
func (l *Line) Preview(ctx context.Context, o PreviewOptions) (plan.Document, error) {
	f, err := l.refresh(ctx)
	if err != nil {
		return plan.Document{}, err
	}
	d, err := l.preview(ctx, f, o)
	return d, cmp.Or(err, ctx.Err())
}

// preview computes the plans of all sets that are asked for.
func (l *Line) preview(ctx context.Context, f *fleet, o PreviewOptions) (plan.Document, error) {
	var asOf time.Time
	at := l.now()
	wake := Wake{Why: "plan", Resolve: o.Refresh && !l.offline, Audit: (o.Refresh || o.Audit) && !l.offline, Whole: true, Only: l.limit.sets()}
	maxAge := o.MaxAge
	if l.offline {
		maxAge = -1
	}
	f = l.withListings(ctx, f, wake, at, maxAge)
	if err := l.limit.check(f.desired); err != nil {
		return plan.Document{}, err
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
	views := make([]*view, len(sets))
	var group errgroup.Group
	group.SetLimit(setsAtOnce)
	for i, set := range sets {
		group.Go(func() (err error) {
			views[i], err = l.viewOf(ctx, f, set, wake, at)
			if err == nil && !wake.Resolve {
				l.stillMissing(views[i])
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return plan.Document{}, err
	}
	var sizes plan.Sizes
	if o.Sizes && !l.offline {
		sizes = l.weigh(ctx, views)
	}
	plans := make([]mirror.Plan, len(views))
	for i, v := range views {
		v.plan = plan.Hold(v.set, v.plan) // what is missing was found just now
		var err error
		if plans[i], err = l.completed(f, v, o.completed); err != nil {
			return plan.Document{}, err
		}
	}
	if err := l.foreseeConsumers(f, views, plans, o.completed); err != nil {
		return plan.Document{}, err
	}
	for i := range plans {
		plans[i] = pause(f, plans[i])
		l.asBefore(plans[i])
	}
	d := plan.NewDocument(sizes, plans...)
	d.Site, d.Registry, d.Git, d.AsOf = l.config.Site, l.local.Host, f.head, asOf
	d.Offline, d.Folder = l.offline, l.config.Git.Path
	if !asOf.IsZero() {
		d.Age = at.Sub(asOf)
	}
	for i, p := range d.Plans {
		if s, paused := f.paused(p.Set); paused {
			d.Plans[i].Suspended = &s
		}
	}
	if !l.limit.active() {
		for _, name := range l.orphans(f, f.desired) {
			d.Orphans = append(d.Orphans, plan.Orphan{Set: name, Folder: l.renderedDir() + "/" + name})
		}
		for _, name := range l.orphanConsumers(f, f.desired) {
			d.Orphans = append(d.Orphans, plan.Orphan{Consumer: name, Folder: l.consumersDir() + "/" + name})
		}
	}
	return d, nil
}

// orphans lists the sets that stand in rendered/ and that nobody asks for any more.
func (l *Line) orphans(f *fleet, desired mirror.Desired) []string {
	dir := l.renderedDir() + "/record"
	files, err := l.renderedFiles(f, dir)
	if err != nil {
		return nil // the record of each set is read again, and then its trouble is told
	}
	names := map[string]bool{}
	for file := range files {
		name, _, _ := strings.Cut(strings.TrimPrefix(file, dir+"/"), "/")
		if _, asked := desired.Set(name); !asked {
			names[name] = true
		}
	}
	return sortedKeys(names)
}

// Plan gives what a sync would do for every set that the wake wants, without doing it.
func (l *Line) Plan(ctx context.Context, w Wake) ([]mirror.Plan, error) {
	f, err := l.refresh(ctx)
	if err != nil {
		return nil, err
	}
	f = l.withListings(ctx, f, w, l.now(), -1)
	var plans []mirror.Plan
	var views []*view
	for _, set := range f.desired.Sets {
		if !w.allows(set.Name) {
			continue
		}
		v, err := l.viewOf(ctx, f, set, w, l.now())
		if err != nil {
			return plans, err
		}
		p, err := l.completed(f, v, nil)
		if err != nil {
			return plans, err
		}
		views, plans = append(views, v), append(plans, p)
	}
	return plans, l.foreseeConsumers(f, views, plans, nil)
}

func (l *Line) viewOf(ctx context.Context, f *fleet, set mirror.Set, w Wake, at time.Time) (*view, error) {
	v, err := l.view(ctx, f, set, w, at)
	if err != nil {
		return nil, fmt.Errorf("set %s: %w", set.Name, err)
	}
	return v, nil
}

// completed adds to the plan of a view what its commit would hold, but for the consumers; show is given all of it, nil
// for nobody.
func (l *Line) completed(f *fleet, v *view, show func(*view, rendering)) (mirror.Plan, error) {
	record := v.foreseen()
	rendered, err := l.render(f, v, record)
	if err != nil {
		return mirror.Plan{}, fmt.Errorf("set %s: %w", v.set.Name, err)
	}
	if show != nil {
		show(v, rendered)
	}
	v.plan.Actions = slices.Concat(v.plan.Actions, l.dropped(f, v, record), rendered.actions)
	return v.plan, nil
}

// pause says of a set that somebody suspended that nothing of it will be done.
func pause(f *fleet, p mirror.Plan) mirror.Plan {
	why, suspended := f.paused(p.Set)
	if !suspended {
		return p
	}
	for i, a := range p.Actions {
		if does(a) || a.Kind == mirror.Drop || a.Kind == mirror.Render {
			p.Actions[i].Kind, p.Actions[i].Reason = mirror.Refuse, mirror.Because(mirror.Paused, "the set is suspended: %s", why.Reason)
		}
	}
	return p
}
