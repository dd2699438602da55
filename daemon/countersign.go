package daemon

import (
	"context"
	"fmt"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/promote"
)

// countersign signs with this site's key of signatures what is about to rise to a stage whose clusters trust that key, before it
// does: a tag there never names what is not signed. What could not be signed fails, and with it its atomic group is
// held; the rest is given back.
func (l *Line) countersign(ctx context.Context, f *fleet, v *view, work []promote.Work) []promote.Work {
	if l.attester == nil {
		return work
	}
	var all debts
	for _, w := range work {
		if a := w.Verified.Action(); l.attester.signsAt(a.Stage) {
			all.addSignature(a, l.attester.each)
		}
	}
	places := l.missing(all.places)
	if len(places) == 0 {
		return work
	}
	// Nothing is signed for a desired commit that is not in force any more. The tags ask once more.
	if err := l.fence(f, v.set.Name)(ctx); err != nil {
		return work
	}
	failed := map[string]error{}
	for i, err := range l.attachAll(ctx, places, 0) {
		if err != nil {
			failed[places[i].at.String()] = err
		}
	}
	return l.withhold(v, work, failed)
}

// withhold takes work out whose place is among failed, and with one of an atomic group the whole group.
func (l *Line) withhold(v *view, work []promote.Work, failed map[string]error) []promote.Work {
	if len(failed) == 0 {
		return work
	}
	l.progress(v.set.Name).retryStep(l.now())
	held := map[string]string{}
	unsigned := map[string]error{} // by actionKey
	for _, w := range work {
		a := w.Verified.Action()
		if err := failed[place(a).String()]; err != nil && l.attester.signsAt(a.Stage) {
			unsigned[actionKey(a)], held[w.Group] = err, a.Key.Entry
		}
	}
	delete(held, "")
	var rest []promote.Work
	reasons := map[string]mirror.Action{}
	for _, w := range work {
		a := w.Verified.Action()
		err, isHeld := unsigned[actionKey(a)], held[w.Group]
		switch {
		case err != nil:
			a.Kind, a.Reason = mirror.Failed, mirror.Because(mirror.LocalFailed, "sign it with this site's key: %v", err)
		case isHeld != "":
			a.Kind, a.Reason = mirror.Refuse, promote.ReasonOf(fmt.Errorf("%w: %s", promote.ErrHeld, isHeld))
		default:
			rest = append(rest, w)
			continue
		}
		reasons[actionKey(a)] = a
	}
	for i, a := range v.plan.Actions {
		if r, ok := reasons[actionKey(a)]; ok && a.Kind == mirror.Tag {
			v.plan.Actions[i].Kind, v.plan.Actions[i].Reason = r.Kind, r.Reason
		}
	}
	return rest
}
