package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// judging gives what a verifier of this line knows besides its policy: what was judged before, who vouches, when a
// digest was first seen, and how much may be read.
func (l *Line) judging(f *fleet, at time.Time) policy.Options {
	limits := l.config.Trust.Limits
	o := policy.Options{Known: l.state, Made: l.state, Vouch: l.vouched(f), At: at,
		Seen: func(d mirror.Digest) time.Time { return l.state.Seen(d, f.sighting(at)) },
		Limits: policy.Limits{Payload: int64(limits.Payload), Bundle: int64(limits.Bundle), Attestation: int64(limits.Attestation),
			Signatures: limits.Signatures, Referrers: limits.Referrers, Time: limits.Time}}
	if l.attester != nil {
		for _, key := range l.attester.own() {
			o.Site = append(o.Site, key.Signer())
		}
	}
	return o
}

// judge asks the verifier, unless the same content was judged since the inputs last changed. What admits by
// signatures is remembered by the verifier itself; what does not admit, and what admits in spite of the rules, is
// remembered here, since it may become another one. r is the action, as it is judged; what is found out is put there.
func (l *Line) judge(ctx context.Context, verifier mirror.Verifier, r *judged, c mirror.Content, p *progress, at time.Time) {
	a := r.action
	key := fmt.Sprintf("%s %s %s %s", a.Stage, a.Key.Entry, a.Image, a.From)
	if known, ok := p.judgement(key, at); ok {
		if r.recalled = true; known.err != nil {
			r.verified, r.verdict, r.err = mirror.Verified{}, known.verdict, known.err
			return
		}
		r.verified, r.verdict, r.err = mirror.Verify(ctx, known, a, c)
		return
	}
	r.recalled = false
	r.verified, r.verdict, r.err = mirror.Verify(ctx, verifier, a, c)
	switch {
	case ctx.Err() != nil || withheld(c):
	case l.offline && r.err != nil && r.verdict.Outcome == mirror.OutcomeUnknown:
		r.err = fmt.Errorf("%w: %w", mirror.ErrOffline, r.err)
	case r.err != nil || r.verdict.Outcome == mirror.OutcomeException || r.verdict.Outcome == mirror.OutcomeWarn:
		last := lastRetry
		if r.stands {
			last = max(last, l.config.Audit) // nothing waits for it, and there may be many
		}
		p.judge(key, judgement{verdict: r.verdict, err: r.err}, last, at)
	}
}

// judgement is what a verifier said, kept until an input changes or it is due again.
type judgement struct {
	verdict mirror.Verdict
	err     error
	retryAt time.Time // zero: waits for a changed input
}

// Verify says it again, of the same content at the same stage.
func (j judgement) Verify(context.Context, mirror.Action, mirror.Content) (mirror.Verdict, error) {
	return j.verdict, nil
}

// judge keeps a judgement. What may come by itself is judged again with backoff, which ends at last for what is only
// lacking; what time alone may change at that moment.
func (p *progress) judge(key string, j judgement, last time.Duration, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case j.err != nil && lacking(j.verdict):
		j.retryAt = p.retryWithin(last, key, at)
	case j.err != nil && j.verdict.Outcome != mirror.OutcomeRejected:
		j.retryAt = p.retryAfter(key, at)
	}
	if until := j.verdict.Until; until.After(at) && (j.retryAt.IsZero() || until.Before(j.retryAt)) {
		j.retryAt = until
	}
	p.judged[key] = j
}

func (p *progress) judgement(key string, at time.Time) (judgement, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j, ok := p.judged[key]
	return j, ok && (j.retryAt.IsZero() || at.Before(j.retryAt))
}

// foresee remembers when the set is to be looked at again for the sake of what is admitted: when time alone may
// change a verdict, and at once where entries that stand are still to be judged.
func (p *progress) foresee(verdicts map[string]mirror.Verdict, later int, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.later
	p.changes, p.later, p.laterAt = time.Time{}, later, time.Time{}
	for _, v := range verdicts {
		if v.Outcome.Admits() && v.Until.After(at) && (p.changes.IsZero() || v.Until.Before(p.changes)) {
			p.changes = v.Until
		}
	}
	switch {
	case later == 0:
		delete(p.attempts, laterKey)
	case before > 0 && later >= before: // such as one whose verdict cannot be kept
		p.laterAt = p.retryAfter(laterKey, at)
	default:
		p.laterAt = at
	}
}

// judgesOn says whether entries that stand are to be judged now by another step.
func (p *progress) judgesOn(at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.laterAt.IsZero() && !at.Before(p.laterAt)
}

// unjudged is how many entries that stand are still to be judged.
func (p *progress) unjudged() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.later
}
