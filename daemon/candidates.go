package daemon

import (
	"errors"
	"maps"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// resolved gives the candidates that are known; nil when they are to be resolved.
func (p *progress) resolved() []mirror.Candidate {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.candidates
}

// unresolve forgets what tags were resolved to, since another daemon resolved them later.
func (p *progress) unresolve() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.candidates, p.before = nil, nil
}

// reask makes the next step resolve the entries again, each from what is known of it, and try again what lacked bytes that
// were fetched since.
func (p *progress) reask() {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.failed, func(_ string, f failure) bool { return isNotFetched(f.err) })
	maps.DeleteFunc(p.judged, func(_ string, j judgement) bool { return isNotFetched(j.err) })
	if p.candidates != nil {
		p.before, p.candidates = p.candidates, nil
	}
}

// resolve keeps candidates. Those that could not be resolved are asked again, with backoff.
func (p *progress) resolve(candidates []mirror.Candidate, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.candidates, p.before, p.lookouts = candidates, nil, lookouts{}
	for _, c := range candidates {
		if c.Err != nil && !errors.Is(c.Err, mirror.ErrNotFound) && !waitsForBytes(c.Err) {
			p.askAgain = p.retryAfter(candidatesKey, at)
			return
		}
	}
	delete(p.attempts, candidatesKey)
}

// recall gives the record as the source of digests for tags that are not to be asked now: with what the last
// candidates were resolved to, which may be on its way and not recorded yet, and without those that
// failed, so that they are asked.
func (p *progress) recall(set mirror.Set, record mirror.Record, fresh bool) mirror.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fresh || len(p.before) == 0 {
		return record
	}
	record = record.Clone()
	standing := maps.Clone(record.At(set.Stages.First()))
	for _, c := range p.before {
		switch {
		case c.Err != nil:
			delete(standing, c.Entry.Name)
		case !c.Entry.Image.HasDigest():
			standing[c.Entry.Name] = mirror.Line{Image: c.Image}
		}
	}
	record.Stages[set.Stages.First()] = standing
	return record
}
