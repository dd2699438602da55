package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sources"
	"github.com/poundlock/poundlock/sync/plan"
	"github.com/poundlock/poundlock/sync/transfer"
)

// verifyAtOnce bounds how many images are judged side by side; each may ask a registry a few times.
const verifyAtOnce = 16

// view is the line up to Verify for one set: what is wanted, what stands, what would be done and what of
// that policy admits. plan prints it, sync and run act on it.
type view struct {
	set      mirror.Set
	record   mirror.Record
	plan     mirror.Plan
	verified map[string]mirror.Verified // by actionKey
	verdicts map[string]mirror.Verdict  // by actionKey, of every action that was judged
}

// actionKey names an action inside one plan.
func actionKey(a mirror.Action) string { return string(a.Stage) + " " + a.Key.Entry }

// view computes what a step for the set would do. It changes nothing outside this process.
func (l *Line) view(ctx context.Context, f *fleet, set mirror.Set, w Wake, at time.Time) (*view, error) {
	record, err := l.record(f.head, set)
	if err != nil {
		return nil, err
	}
	p := l.progress(set.Name)
	p.begin(w, p.inputs != f.inputs, at)
	p.inputs = f.inputs
	if p.candidates == nil {
		p.candidates = sources.Resolve(ctx, set, record, l.registry, w.Resolve)
		if slices.ContainsFunc(p.candidates, func(c mirror.Candidate) bool {
			return c.Err != nil && !errors.Is(c.Err, mirror.ErrNotFound)
		}) {
			p.askAgain = p.retryAfter("candidates", at)
		}
	}
	inventory, err := l.inventory(ctx, plan.Pointers(l.local, set, p.candidates, record), p, w.Audit)
	if err != nil {
		return nil, err
	}
	trusted, err := l.confirm(ctx, set, record, inventory)
	if err != nil {
		return nil, err
	}
	if err := l.stood(ctx, set, p.candidates, trusted, inventory); err != nil {
		return nil, err
	}
	v := &view{set: set, record: trusted}
	v.plan = plan.Compute(f.desired, l.local, set, p.candidates, inventory, trusted)
	v.plan = f.policy.Gate(v.plan, set, trusted, inventory)
	if err := l.verify(ctx, f, v, p, at); err != nil {
		return nil, err
	}
	v.plan = plan.Hold(set, v.plan)
	return v, nil
}

// verify judges every action that would move content. What is not admitted becomes a refusal in the plan.
func (l *Line) verify(ctx context.Context, f *fleet, v *view, p *progress, at time.Time) error {
	verifier := f.policy.Verifier(l.state, l.vouched(f), at)
	v.verified, v.verdicts = map[string]mirror.Verified{}, map[string]mirror.Verdict{}
	type result struct {
		action   mirror.Action
		verified mirror.Verified
		verdict  mirror.Verdict
		err      error
	}
	results := make([]result, len(v.plan.Actions))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(verifyAtOnce)
	for i, a := range v.plan.Actions {
		if a.Kind != mirror.Copy && a.Kind != mirror.Tag {
			continue
		}
		group.Go(func() error {
			r := result{action: a}
			r.verified, r.verdict, r.err = l.judge(gctx, verifier, a, p, at)
			if r.err != nil && a.From.Host == l.local.Host && r.verdict.Reason.Code == mirror.NoSignature {
				// Content that was adopted, or copied before its signature was made: the signature may be upstream
				// only. Copying from there moves no bytes that are here and brings the signature.
				r.action.Kind, r.action.From = mirror.Copy, a.Image
				r.verified, r.verdict, r.err = l.judge(gctx, verifier, r.action, p, at)
			}
			results[i] = r
			return gctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("verify set %s: %w", v.set.Name, err)
	}
	for i, r := range results {
		if r.action.Kind == "" {
			continue
		}
		key := actionKey(r.action)
		v.plan.Actions[i], v.verified[key], v.verdicts[key] = r.action, r.verified, r.verdict
		if r.err != nil {
			v.plan.Actions[i] = refused(r.action, r.verdict, r.err)
			l.metrics.verified.WithLabelValues(string(r.verdict.Outcome), string(r.verdict.Reason.Code)).Inc()
			continue
		}
		if failed, ok := p.failure(r.action); ok {
			v.plan.Actions[i] = failedAction(r.action, failed)
			continue
		}
		v.plan.Actions[i].Reason.Detail += "; " + r.verdict.Basis()
	}
	return l.state.Flush()
}

// judge asks the verifier, unless the same content was judged since the inputs last changed.
func (l *Line) judge(ctx context.Context, verifier mirror.Verifier, a mirror.Action, p *progress, at time.Time) (mirror.Verified, mirror.Verdict, error) {
	key := fmt.Sprintf("%s %s %s %s", a.Stage, a.Key.Entry, a.Image, a.From)
	p.mu.Lock()
	known, ok := p.judged[key]
	p.mu.Unlock()
	if ok {
		return mirror.Verified{}, known.verdict, known.err
	}
	verified, verdict, err := mirror.Verify(ctx, verifier, a, l.registry)
	if err == nil || ctx.Err() != nil {
		return verified, verdict, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j := judgement{verdict: verdict, err: err}
	if verdict.Outcome != mirror.OutcomeRejected || verdict.Reason.Code == mirror.NoSignature {
		j.retryAt = p.retryAfter(key, at)
	}
	p.judged[key] = j
	return verified, verdict, err
}

// refused turns an action into the reason why it does not happen: refused by policy, or not checked.
func refused(a mirror.Action, v mirror.Verdict, err error) mirror.Action {
	if v.Outcome == mirror.OutcomeRejected {
		a.Kind, a.Reason = mirror.Refuse, v.Reason
		return a
	}
	return failedAction(a, err)
}

func failedAction(a mirror.Action, err error) mirror.Action {
	a.Kind, a.Reason = mirror.Failed, transfer.ReasonOf(err)
	var side *transfer.Error
	switch {
	case a.Reason.Code == mirror.UpstreamMissing:
		a.Kind = mirror.Missing
	case a.Reason.Code == mirror.LocalFailed && !errors.As(err, &side) && a.From.Host != a.To.Host:
		a.Reason.Code = mirror.UpstreamFailed // a judgement, which reads where the copy would
	}
	return a
}
