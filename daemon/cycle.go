package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
	"github.com/poundlock/poundlock/sync/promote"
	"github.com/poundlock/poundlock/sync/publish"
	"github.com/poundlock/poundlock/sync/transfer"
)

// Report is what one step did for a set, and what of its plan is left.
type Report struct {
	Set    string
	Plan   mirror.Plan   // as it stands after the step
	Moved  []mirror.Done // tags that were written
	Bytes  int64         // blob bytes that crossed for the set since the last report
	Commit string        // the commit that recorded it; empty when nothing changed

	// Suspended says why the set was left as it is; nil for one that was stepped.
	Suspended *mirror.Suspension
}

// Step does for one set what can be done at once: it judges, tags what is present and admitted, renders and
// commits, and hands what is still to be copied to the mover, which wakes the set again.
//
//	view: Resolve, Inventory, Compute, Gate, Verify     what would be done, and what policy admits of it
//	promote.Move                                        tags, only after the fence was asked
//	mover.Want                                          content that is not here yet, copied meanwhile
//	plan.Settle, render.Files, publish                  the record and the overrides, one commit
//
// The order is the crash safety: content before tag, tag before commit. A step that dies anywhere is
// repaired by the next one, which finds tags and content as they are.
func (l *Line) Step(ctx context.Context, f *fleet, set mirror.Set, w Wake, at time.Time) (Report, error) {
	run := Run{ID: l.newID(), Set: set.Name, Why: w.Why, Began: l.now().UTC()}
	p := l.progress(set.Name)
	p.looks(l.now())
	defer p.looks(time.Time{})
	w = p.owing(w, at)
	report, err := l.step(ctx, f, set, run.ID, w, at)
	l.stepped(f, set.Name, report, err)
	l.metrics.duration.WithLabelValues(set.Name).Observe(l.now().Sub(run.Began).Seconds())
	if err != nil {
		err = l.again(set.Name, w, at, err)
	}
	if begunAnew := errors.Is(err, publish.ErrSuperseded) && len(report.Moved) == 0 || errors.Is(err, errTwin); begunAnew || stopped(ctx) || report.Suspended != nil {
		return report, err // nothing came of it that the next one will not tell
	}
	if _, suspended := l.Suspended(set.Name); suspended {
		l.forget(set.Name) // it was while this went on: nothing of it is to be tried again
	}
	run = l.ran(f, run, report, err)
	if _, suspended := l.Suspended(set.Name); suspended && run.Outcome == OutcomeCopying {
		run.Outcome = OutcomeSuspended
	}
	if l.progress(set.Name).keep(&run) && err != nil {
		l.emit(Event{Type: EventRunFailed, Run: run.ID, Set: set.Name, Reason: run.Problem.What})
	}
	l.keep(run)
	return report, err
}

// stopped says whether a step ended because the process does, which is no failure of its own.
func stopped(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errCycleDeadline)
}

func (l *Line) step(ctx context.Context, f *fleet, set mirror.Set, run string, w Wake, at time.Time) (Report, error) {
	p := l.progress(set.Name)
	v, err := l.view(ctx, f, set, w, at)
	if err != nil {
		return Report{}, err
	}
	if s, ok := l.Suspended(set.Name); ok {
		return Report{Set: set.Name, Suspended: &s}, nil // meanwhile
	}
	v.run = run
	moved, err := l.move(ctx, f, v)
	if err == nil {
		l.want(v)
		l.wantPackages(v, w, at)
	}
	report := Report{Set: set.Name, Moved: moved, Bytes: p.bytes()}
	if err == nil {
		report.Commit, err = l.publish(ctx, f, v, moved, at)
	}
	if err == nil {
		l.channelsDue(set, w.Audit)
		l.besidesDue(w.Audit)
		l.attach(ctx, f, v, w.Audit, at)
	}
	report.Plan = v.plan
	l.tell(v, moved)
	l.wait(v, at)
	l.remark(v)
	if err != nil {
		return report, err
	}
	p.ended(nil, v.plan.Count(mirror.Failed) > 0)
	if v.plan.Count(mirror.Failed)+v.plan.Count(mirror.Copy)+v.plan.Count(mirror.Fetch) == 0 {
		l.metrics.lastSuccess.WithLabelValues(set.Name).Set(float64(at.Unix()))
	}
	return report, nil
}

// again makes a step that failed due once more, with backoff, and for the same reason.
func (l *Line) again(set string, w Wake, at time.Time, err error) error {
	l.progress(set).owe(w)
	if _, suspended := l.Suspended(set); !suspended && !errors.Is(err, publish.ErrSuperseded) {
		l.progress(set).retryStep(at)
		l.progress(set).ended(err, true)
	}
	return fmt.Errorf("set %s: %w", set, err)
}

// tell shows what came of a step: gauges, and an event for each entry that got into trouble. What
// waits for a stage below that is about to be filled is in none, and what waits at a gate is told by wait.
func (l *Line) tell(v *view, moved []mirror.Done) {
	l.metrics.plan(v.plan)
	type content struct {
		mirror.Key
		mirror.Digest
	}
	coming := map[content]bool{}
	for _, a := range v.plan.Actions {
		if a.Kind == mirror.Copy || a.Kind == mirror.Tag {
			coming[content{a.Key, a.New}] = true
		}
	}
	rising := func(a mirror.Action) bool {
		return waitsBelow(a) && (len(moved) > 0 || coming[content{a.Key, a.New}])
	}
	var events []Event
	quiet := func(a mirror.Action) bool { return rising(a) || waiting(a) }
	for _, a := range l.progress(v.set.Name).news(slices.DeleteFunc(slices.Clone(v.plan.Actions), quiet)) {
		events = append(events, Event{Type: troubles[a.Kind], Run: v.run, Set: a.Key.Set, Entry: a.Key.Entry, Stage: a.Stage, Image: a.Image,
			Reason: a.Reason.String(), Code: a.Reason.Code, Where: a.Where, Fix: plan.Fix(a)})
	}
	l.emitAll(events)
}

var troubles = map[mirror.Kind]EventType{mirror.Refuse: EventRefused, mirror.Missing: EventMissing, mirror.Failed: EventFailed}

// move writes the stage tags that may move now and puts what came of it into the plan.
func (l *Line) move(ctx context.Context, f *fleet, v *view) ([]mirror.Done, error) {
	var work []promote.Work
	for _, a := range plan.Ready(v.set, v.plan) {
		w := promote.Work{Verified: v.verified[actionKey(a)], Follow: v.set.VendorTags == mirror.VendorFollow, Adopt: v.set.Adopt}
		first := a.Stage == v.set.Stages.First()
		if first && v.set.Layout == mirror.LayoutTag && v.set.VendorTags != mirror.VendorNone && a.Image.Tag != "" {
			w.Vendor = a.To.WithTag(a.Image.Tag)
		}
		if !first && v.set.Atomic {
			w.Group = string(a.Stage)
		}
		work = append(work, w)
	}
	if work = l.countersign(ctx, f, v, work); len(work) == 0 {
		return nil, nil
	}
	dones := promote.Move(ctx, l.registry, l.fence(f, v.set.Name), l.owner(v), work)
	tags := map[string]mirror.Digest{}
	var moved []mirror.Done
	byKey := map[string]mirror.Done{}
	for _, d := range dones {
		byKey[actionKey(d.Action)] = d
		if d.Err != nil {
			continue
		}
		tags[d.Action.To.WithDigest(mirror.Digest{}).String()] = d.Action.New
		moved = append(moved, d)
		if d.Action.Old != d.Action.New {
			l.emit(Event{Type: EventMoved, Run: v.run, Set: v.set.Name, Entry: d.Action.Key.Entry, Stage: d.Action.Stage, Image: d.Action.To.WithDigest(d.Action.New)})
		}
	}
	if err := l.state.SetTags(tags); err != nil {
		return moved, err
	}
	failed := false
	for i, a := range v.plan.Actions {
		d, ok := byKey[actionKey(a)]
		switch {
		case !ok || a.Kind != mirror.Tag:
		case d.Err == nil:
			v.plan.Actions[i].Kind, v.plan.Actions[i].Reason = mirror.Unchanged, mirror.Because(mirror.AsDesired, "tag moved: %s", a.Reason)
		case errors.Is(d.Err, publish.ErrSuperseded):
			return moved, d.Err
		case errors.Is(d.Err, errSuspended):
			// The rest waits for the set to be resumed. What was moved before is recorded, as after any step.
			v.plan.Actions[i].Kind, v.plan.Actions[i].Reason = mirror.Refuse, mirror.Because(mirror.Held, "%v", errSuspended)
		case errors.Is(d.Err, promote.ErrForeignTag), errors.Is(d.Err, promote.ErrHeld):
			v.plan.Actions[i].Kind, v.plan.Actions[i].Reason = mirror.Refuse, promote.ReasonOf(d.Err)
		default:
			v.plan.Actions[i].Kind, v.plan.Actions[i].Reason = mirror.Failed, promote.ReasonOf(d.Err)
			failed = true
		}
	}
	if failed {
		l.progress(v.set.Name).retryStep(l.now())
	}
	return moved, ctx.Err()
}

// want hands the mover what is admitted and not here yet. What it already copies for the set goes on; what
// arrived while this step was computed has woken the next one.
func (l *Line) want(v *view) {
	var jobs []transfer.Job
	p := l.progress(v.set.Name)
	for _, a := range v.plan.Actions {
		if a.Kind == mirror.Copy && !p.holds(a) {
			jobs = append(jobs, transfer.Job{Verified: v.verified[actionKey(a)], From: l.origins()})
		}
	}
	l.wanting.Lock() // a set that is suspended at this moment wants nothing afterwards
	defer l.wanting.Unlock()
	if _, suspended := l.Suspended(v.set.Name); !suspended {
		p.wants(len(jobs))
		l.mover.Want(v.set.Name, jobs)
	}
}
