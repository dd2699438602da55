package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/sources"
	"github.com/poundlock/poundlock/sync/plan"
	"github.com/poundlock/poundlock/sync/transfer"
)

// verifyAtOnce bounds how many images are judged side by side; each may ask a registry a few times.
const verifyAtOnce = 16

// view is the line up to Verify for one set: what is wanted, what stands, what would be done and what of
// that policy admits. plan prints it, sync and run act on it.
type view struct {
	run      string // the id of the run that the view is for; "" for none
	set      mirror.Set
	record   mirror.Record
	plan     mirror.Plan
	verified map[string]mirror.Verified // by actionKey
	verdicts map[string]mirror.Verdict  // by actionKey, of every action that was judged
	later    int                        // entries that stand and that a later step judges
	sight    sight
	frozen   []mirror.FrozenChannel // those of the set that are as they were; known once it was rendered
	holds    map[string]bool        // content that the local registry is known to hold whole, by host/repository@digest
}

// actionKey names an action inside one plan.
func actionKey(a mirror.Action) string { return string(a.Stage) + " " + a.Key.Entry }

// view computes what a step for the set would do. It changes nothing outside this process.
func (l *Line) view(ctx context.Context, f *fleet, set mirror.Set, w Wake, at time.Time) (*view, error) {
	if err := l.limit.standsOn(f); err != nil {
		return nil, err
	}
	p := l.progress(set.Name)
	p.begin(w, f.versionOf(set), at)
	p.gates.begin(w, set.Name, f.versionOf(set), at)
	if err := l.adopt(ctx, f, set); err != nil {
		return nil, fmt.Errorf("what another daemon recorded of set %s: %w", set.Name, err)
	}
	record, err := l.remembered(ctx, f, set)
	if err != nil {
		return nil, err
	}
	candidates := p.resolved()
	if candidates == nil {
		believed, err := l.believed(ctx, set, record, p)
		if err != nil {
			return nil, err
		}
		upstream, noted := l.asks(set, at)
		candidates = sources.Resolve(ctx, set, p.recall(set, believed, w.Resolve), l.packages.of(set, believed, upstream, at), w.Resolve)
		p.resolve(candidates, at)
		if err := noted(); err != nil {
			return nil, err
		}
	}
	inventory, err := l.inventory(ctx, plan.Pointers(l.local, set, candidates, record), p, w.Audit)
	if err != nil {
		return nil, err
	}
	trusted, err := l.confirm(ctx, f, set, record, inventory, at)
	if err != nil {
		return nil, err
	}
	if err := l.stood(ctx, set, candidates, trusted, inventory); err != nil {
		return nil, err
	}
	v := &view{set: set, record: trusted, holds: inventory.Whole}
	v.plan = plan.Stale(set, trusted, plan.Compute(f.desired, l.local, set, candidates, inventory, trusted), at)
	l.explain(v.plan, candidates)
	if l.offline {
		v.plan = unknown(v.plan, inventory)
	}
	facts, err := l.facts(ctx, f, set, v.plan, trusted, at)
	if err != nil {
		return nil, err
	}
	v.sight = sight{set, v.plan, trusted}
	v.plan = name(v.plan, facts)
	if v.plan.Dropped, err = l.droppers(ctx, f, set, trusted); err != nil {
		return nil, err
	}
	v.plan = l.limit.leaveOut(f.beforeMerge(v.plan, f.policy.Gate(v.plan, set, facts, at)), false)
	p.gates.settle(v.plan, l.config.Forge.Poll, at)
	v.plan, set = f.holdUpper(v.plan, set)
	v.set = set
	rest := l.ration(w)
	if err := l.verify(ctx, f, v, p, rest, at); err != nil {
		return nil, err
	}
	l.holdUnenforced(v)
	l.prove(ctx, f, v, p, rest, at)
	p.foresee(v.verdicts, v.later, at)
	if err := l.state.Flush(); err != nil {
		return nil, err
	}
	v.plan = plan.Hold(set, l.limit.leaveOut(v.plan, true))
	v.plan.Actions = slices.Concat(v.plan.Actions, f.unlistedAction(set), l.leftActions(set))
	return v, nil
}

// judged is an action with what policy says of it. The action may have changed: what is to be copied from
// elsewhere to bring its signature.
type judged struct {
	action   mirror.Action
	verified mirror.Verified
	verdict  mirror.Verdict
	err      error
	missing  bool // what lies here proves too little, whatever the place said that was asked next
	later    bool // it stands, and this step has asked enough
	stands   bool // the tag names it already
	recalled bool // the judgement is one of before
}

// verify judges every action of an entry: what would move content, and what stands, which a changed policy may
// admit no longer. What is not admitted becomes a refusal in the plan.
func (l *Line) verify(ctx context.Context, f *fleet, v *view, p *progress, r *ration, at time.Time) error {
	v.verified, v.verdicts = map[string]mirror.Verified{}, map[string]mirror.Verdict{}
	results := make([]judged, len(v.plan.Actions))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(verifyAtOnce)
	for i, a := range v.plan.Actions {
		if a.Kind == mirror.Copy || a.Kind == mirror.Tag || a.Kind == mirror.Unchanged && a.Key.Entry != "" {
			group.Go(func() error {
				results[i] = l.judgeAction(gctx, f, a, p, r, at)
				return gctx.Err()
			})
		}
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("verify set %s: %w", v.set.Name, err)
	}
	for i, r := range results {
		if r.action.Kind != "" {
			v.plan.Actions[i] = l.decided(v, p, v.plan.Actions[i], r)
		}
	}
	return nil
}

// judgeAction asks policy for one action. Content that stands is judged by what lies beside it here, as far as the
// ration of the step goes.
func (l *Line) judgeAction(ctx context.Context, f *fleet, a mirror.Action, p *progress, rest *ration, at time.Time) judged {
	o := l.judging(f, at)
	o.Seen(a.Image.Digest) // also of what is refused, or admitted without looking at its age
	r, content := judged{action: a, stands: a.Kind == mirror.Unchanged || a.Kind == mirror.Tag && a.Old == a.New}, l.content()
	if p.distrusts(a) {
		o.Known, content = nil, l.afresh() // a remembered verdict named evidence that is gone
	}
	l.attests(&o, a)
	if a.Kind == mirror.Unchanged {
		r.action.From = a.To.AtDigest(a.New)
		content = rest.of(content)
	}
	l.judge(ctx, f.policy.Verifier(o), &r, content, p, at)
	if r.later = withheld(content); r.later {
		return r
	}
	if r.err != nil && r.action.From.Host == l.local.Host && unproven(r.verdict) {
		// Content that was adopted, or copied before its signature was made: the signature may be upstream
		// only. Copying from there moves no bytes that are here and brings the signature.
		// The verdict is not remembered: it holds there, and here only once the copy has arrived.
		r.missing, r.action.Kind, r.action.From = true, mirror.Copy, a.Image.AtDigest(a.New)
		o.Known = nil
		l.judge(ctx, f.policy.Verifier(o), &r, content, p, at)
		r.later = withheld(content)
	}
	return r
}

// unproven says whether signatures or attestations are what a verdict on content in the local registry wants. That
// some lie beside it which do not count says nothing of those that are missing: a signature of this site lies here
// alone, and the vendor's next one upstream.
func unproven(v mirror.Verdict) bool {
	codes := []mirror.ReasonCode{mirror.NoSignature, mirror.BadSignature, mirror.NoAttestation, mirror.BadAttestation}
	return v.Outcome == mirror.OutcomeRejected && slices.Contains(codes, v.Reason.Code)
}

// lacking says whether a verdict waits for a signature or an attestation that may still come.
func lacking(v mirror.Verdict) bool {
	return v.Outcome == mirror.OutcomeRejected && v.Open
}

// prove judges the lines of the record that nobody proved and no action is about, so that they do not hold up
// what is rendered, as far as the ration of the step goes.
func (l *Line) prove(ctx context.Context, f *fleet, v *view, p *progress, rest *ration, at time.Time) {
	type lineKey struct {
		stage mirror.Stage
		entry string
		image mirror.Reference
	}
	planned := map[lineKey]bool{}
	for _, a := range v.plan.Actions {
		if a.Reason.Code != mirror.Removes {
			planned[lineKey{a.Stage, a.Key.Entry, a.Image}] = true
		}
	}
	for stage, standing := range v.record.Stages {
		for entry, line := range standing {
			if line.Proven || planned[lineKey{stage, entry, line.Image}] {
				continue
			}
			a := mirror.Action{Kind: mirror.Unchanged, Key: mirror.Key{Set: v.set.Name, Entry: entry}, Stage: stage, Image: line.Image,
				New: line.Image.Digest, To: l.local.Pointer(v.set, stage, entry, line.Image), Vouch: line.Vouch}
			switch r := l.judgeAction(ctx, f, a, p, rest, at); {
			case r.later:
				v.later++
			case r.err == nil && !r.missing:
				line.Proven, line.Basis = true, r.verdict.Basis()
				standing[entry] = line
			}
		}
	}
}

// decided gives the action of the plan after its judgement.
func (l *Line) decided(v *view, p *progress, planned mirror.Action, r judged) mirror.Action {
	if r.later {
		v.later++
		planned.Reason.Detail = "stands, and is judged again by one of the next steps"
		return planned
	}
	key := actionKey(planned)
	v.verified[key], v.verdicts[key] = r.verified, r.verdict
	standing := planned.Kind == mirror.Unchanged
	switch {
	case r.err != nil && standing && r.verdict.Outcome != mirror.OutcomeRejected && !r.missing:
		return planned // could not be asked: what stands stays
	case r.err != nil:
		if !r.recalled {
			l.metrics.verified.WithLabelValues(string(r.verdict.Outcome), string(r.verdict.Reason.Code)).Inc()
		}
		a := l.refused(r.action, r.verdict, r.err)
		a.Outcome = r.verdict.Outcome
		if standing {
			a.Stands = a.Kind == mirror.Refuse
			a.Reason.Detail = "stands here and is admitted no longer: " + a.Reason.Detail
		}
		return a
	case standing && r.action.Kind == mirror.Unchanged:
		planned.Outcome, planned.Basis, planned.Warnings = r.verdict.Outcome, basis(r.verdict), r.verdict.Warnings
		return planned
	}
	if failed, ok := p.failure(r.action); ok {
		return l.failedAction(r.action, failed)
	}
	r.action.Outcome, r.action.Basis, r.action.Warnings = r.verdict.Outcome, basis(r.verdict), slices.Concat(r.action.Warnings, r.verdict.Warnings)
	return r.action
}

// basis says in words who admits something: the signers, and the commit where a digest is pinned.
func basis(v mirror.Verdict) string {
	text := v.Basis()
	if v.VouchedBy == "" {
		return text
	}
	pinned := "pinned in desired/ at " + v.VouchedBy[:min(7, len(v.VouchedBy))]
	if v.Outcome == mirror.OutcomePinned {
		return pinned
	}
	return text + ", " + pinned
}

// refused turns an action into the reason why it does not happen: refused by policy, or not checked.
func (l *Line) refused(a mirror.Action, v mirror.Verdict, err error) mirror.Action {
	if v.Outcome == mirror.OutcomeRejected {
		a.Kind, a.Reason = mirror.Refuse, v.Reason
		return a
	}
	return l.failedAction(a, err)
}

// explain says of the tags that could not be asked why, as advice does.
func (l *Line) explain(p mirror.Plan, candidates []mirror.Candidate) {
	failed := map[string]error{}
	for _, c := range candidates {
		failed[c.Entry.Name] = c.Err
	}
	for i, a := range p.Actions {
		if a.Kind == mirror.Failed && a.Reason.Code == mirror.UpstreamFailed {
			p.Actions[i].Reason = l.advised(a.Reason, failed[a.Key.Entry])
		}
	}
}

// advised gives a reason in the words of advice, with what mends it, where the error is one that advice knows.
func (l *Line) advised(r mirror.Reason, err error) mirror.Reason {
	all := Advise(l.config, err)
	if len(all) != 1 || !slices.ContainsFunc([]string{"AUTH", "NET", "RATE", "REG", "TLS"}, func(family string) bool { return strings.HasPrefix(all[0].Code, family) }) {
		return r
	}
	p := all[0]
	r.Problem, r.Fix = p.Code, p.Fix
	if r.Code == mirror.LocalFailed {
		return r // its own words name the image and both sides
	}
	if r.Detail = p.What; p.Why != "" {
		r.Detail += "; " + p.Why
	}
	var e *registry.Error
	if errors.As(err, &e) && e.Status > 0 && !slices.Contains(strings.Fields(p.What), strconv.Itoa(e.Status)) { // as a word: a port may hold the digits
		r.Detail += fmt.Sprintf(" (%d %s for %s)", e.Status, http.StatusText(e.Status), e.Ref)
	}
	return r
}

// failedAction gives the action in place of one that could not be done or judged.
func (l *Line) failedAction(a mirror.Action, err error) mirror.Action {
	a.Kind, a.Reason = mirror.Failed, transfer.ReasonOf(err)
	var side *transfer.Error
	switch {
	case errors.Is(err, mirror.ErrOffline):
		a.Reason = mirror.Because(mirror.Offline, "%v: no verdict is known", mirror.ErrOffline)
	case errors.Is(err, mirror.ErrNotFetched):
		a.Kind, a.Reason = mirror.Fetch, mirror.Because(mirror.NotFetched, "its bytes are fetched again")
	case a.Reason.Code == mirror.UpstreamMissing && (a.From.Host == l.local.Host || lostHere(a, err)):
		return l.lost(a)
	case a.Reason.Code == mirror.UpstreamMissing:
		return gone(a)
	case a.Reason.Code == mirror.LocalFailed && !errors.As(err, &side) && a.From.Host != a.To.Host:
		a.Reason.Code = mirror.UpstreamFailed // a judgement, which reads where the copy would
	}
	if a.Reason.Code == mirror.UpstreamFailed || a.Reason.Code == mirror.LocalFailed {
		a.Reason = l.advised(a.Reason, err)
	}
	return a
}
