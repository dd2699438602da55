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
	return policy.Options{Known: l.state, Vouch: l.vouched(f), At: at,
		Seen: func(d mirror.Digest) time.Time { return l.state.Seen(d, at) },
		Limits: policy.Limits{Payload: int64(limits.Payload), Bundle: int64(limits.Bundle), Attestation: int64(limits.Attestation),
			Signatures: limits.Signatures, Referrers: limits.Referrers, Time: limits.Time}}
}

// judge asks the verifier, unless the same content was judged since the inputs last changed. What admits by
// signatures is remembered by the verifier itself; what does not admit, and what admits in spite of the rules, is
// remembered here, since it may become another one.
func (l *Line) judge(ctx context.Context, verifier mirror.Verifier, a mirror.Action, c mirror.Content, p *progress, at time.Time) (mirror.Verified, mirror.Verdict, error) {
	key := fmt.Sprintf("%s %s %s %s", a.Stage, a.Key.Entry, a.Image, a.From)
	if known, ok := p.judgement(key, at); ok {
		if known.err != nil {
			return mirror.Verified{}, known.verdict, known.err
		}
		return mirror.Verify(ctx, known, a, c)
	}
	verified, verdict, err := mirror.Verify(ctx, verifier, a, c)
	if ctx.Err() != nil || withheld(c) {
		return verified, verdict, err
	}
	if l.offline && err != nil && verdict.Outcome == mirror.OutcomeUnknown {
		return verified, verdict, fmt.Errorf("%w: %w", mirror.ErrOffline, err)
	}
	if err != nil || verdict.Outcome == mirror.OutcomeException || verdict.Outcome == mirror.OutcomeWarn {
		p.judge(key, judgement{verdict: verdict, err: err}, at)
	}
	return verified, verdict, err
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

// judge keeps a judgement. What may come by itself is judged again with backoff, what time alone may change at that
// moment.
func (p *progress) judge(key string, j judgement, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if j.err != nil && (j.verdict.Outcome != mirror.OutcomeRejected || lacking(j.verdict)) {
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
