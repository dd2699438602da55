package daemon

import (
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/transfer"
)

// progress is what the process knows of one set between two steps and forgets at its end: candidates,
// verdicts that do not admit, copies that arrived or failed. Each costs requests to find out again.
type progress struct {
	mu         sync.Mutex
	inputs     string            // the version of desired/ and stages/ that the rest belongs to
	err        error             // why the last step failed as a whole
	said       map[string]string // by stage and entry: the last trouble that the log told
	owed       Wake              // what a step that failed was to find out anew
	candidates []mirror.Candidate
	before     []mirror.Candidate   // those of the last inputs
	askAgain   time.Time            // when some of them could not be resolved; else zero
	stepAgain  time.Time            // when a step failed as a whole; else zero
	changes    time.Time            // when time alone may change a verdict that admits; else zero
	later      int                  // entries that stand and are still to be judged
	laterAt    time.Time            // since when that is due; else zero
	whole      map[string]bool      // host/repository@digest that a copy completed
	judged     map[string]judgement // by stage, image and source: verdicts that do not admit by themselves
	failed     map[string]failure   // by target: copies that ended in an error
	distrusted map[string]bool      // by target: judge anew, the remembered evidence is gone
	attempts   map[string]int       // by the same keys, for the backoff
	copied     int64                // blob bytes
	last       Run                  // the last one; zero before the first
	ahead      int                  // copies that the mover was asked for and that have not ended
	landed     Copies               // those that ended since the set was last at rest
	looking    time.Time            // since when a step runs; zero while none does
	lost       map[string]bool      // host/repository@digest of the local registry that it has no longer, whatever its tags name
	attaching  attaching            // statements of this site
	lookouts   lookouts
	listings   listings
	gates      gating
}

type failure struct {
	err     error
	retryAt time.Time
}

func newProgress() *progress {
	return &progress{whole: map[string]bool{}, judged: map[string]judgement{}, failed: map[string]failure{}, distrusted: map[string]bool{}, said: map[string]string{}, attempts: map[string]int{}}
}

// Backoff of what failed or waits for a signature: doubled from the first to the last. What stands and waits for one
// is asked for no more often than the audit looks at it.
const (
	firstRetry = 15 * time.Second
	lastRetry  = 5 * time.Minute
)

// retryAfter counts an attempt and says when the next is due.
func (p *progress) retryAfter(key string, at time.Time) time.Time {
	return p.retryWithin(lastRetry, key, at)
}

// retryWithin is retryAfter with another end of the backoff.
func (p *progress) retryWithin(last time.Duration, key string, at time.Time) time.Time {
	wait := firstRetry << min(p.attempts[key], 20)
	p.attempts[key]++
	return at.Add(min(wait, last))
}

// begin drops what a wake asks to find out anew. Everything goes when the inputs changed.
func (p *progress) begin(w Wake, inputs string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := p.inputs != inputs
	p.inputs = inputs
	due := func(t time.Time) bool { return !t.IsZero() && !at.Before(t) }
	if changed || w.Resolve || due(p.askAgain) {
		if p.candidates != nil {
			p.before = p.candidates
		}
		p.candidates, p.askAgain = nil, time.Time{}
	}
	if changed || w.Audit || w.Resolve {
		clear(p.judged)
		clear(p.failed)
		clear(p.whole)
	}
	if changed || due(p.stepAgain) {
		p.stepAgain = time.Time{}
	}
	if p.laterAt = (time.Time{}); changed || w.Audit || w.Resolve { // the step finds out anew how many there are
		p.later = 0
	}
	if changed || due(p.changes) {
		p.changes = time.Time{}
	}
	maps.DeleteFunc(p.judged, func(_ string, j judgement) bool { return due(j.retryAt) })
	maps.DeleteFunc(p.failed, func(_ string, f failure) bool { return due(f.retryAt) })
	if changed {
		clear(p.attempts)
	}
}

// nextRetry is when the earliest of what failed is due again; the zero time when nothing waits.
func (p *progress) nextRetry() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := earliest(p.askAgain, p.stepAgain, p.listings.retry)
	for _, j := range p.judged {
		if j.err != nil {
			next = earliest(next, j.retryAt)
		}
	}
	for _, f := range p.failed {
		next = earliest(next, f.retryAt)
	}
	return next
}

// nextLook is when the set has a reason of its own to be stepped: to retry, to judge the rest of what stands, or
// since time alone may change what policy admits. The zero time: never.
func (p *progress) nextLook() time.Time {
	next := p.nextRetry()
	p.mu.Lock()
	defer p.mu.Unlock()
	return earliest(next, p.changes, p.laterAt, p.listings.again, p.gates.due())
}

// earliest gives the first of some times; zero ones do not count.
func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// arrived takes in the ends of copies.
func (p *progress) arrived(dones []mirror.Done, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range dones {
		key := d.Action.To.AtDigest(d.Action.New).String()
		p.copied += d.Bytes
		p.ahead, p.landed.Done, p.landed.Bytes = max(0, p.ahead-1), p.landed.Done+1, p.landed.Bytes+d.Bytes
		if d.Err != nil {
			p.landed.Failed++
			p.failed[key] = failure{d.Err, p.retryAfter(key, at)}
			if lostHere(d.Action, d.Err) {
				p.looksForLost(d.Action, at)
			}
			if transfer.ReasonOf(d.Err).Code == mirror.NotVerified && !p.distrusted[key] {
				p.distrusted[key], p.failed[key] = true, failure{d.Err, at}
			}
			continue
		}
		delete(p.distrusted, key)
		if delete(p.lost, key); len(p.lost) == 0 {
			delete(p.attempts, lostKey)
		}
		p.whole[key] = true
		// What was missed here may have come along: a signature made after the content was copied.
		maps.DeleteFunc(p.judged, func(judged string, _ judgement) bool { return strings.HasSuffix(judged, " "+key) })
		delete(p.failed, key)
		delete(p.attempts, key)
	}
}

// failure gives why a copy failed that is not due again.
func (p *progress) failure(a mirror.Action) (error, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.failed[a.To.AtDigest(a.New).String()]
	return f.err, ok && a.Kind == mirror.Copy
}

// owe remembers what a step that failed was to find out anew, for the next one.
func (p *progress) owe(w Wake) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owed.Resolve, p.owed.Audit = p.owed.Resolve || w.Resolve, p.owed.Audit || w.Audit
}

// owing adds to a wake what the last step still owes. A wake for a copy that arrived pays nothing before the
// retry is due: finding out anew forgets what arrived, so that it would be copied again and arrive again, as
// fast as the registry answers.
func (p *progress) owing(w Wake, at time.Time) Wake {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.Local && at.Before(p.stepAgain) {
		return w
	}
	w.Resolve, w.Audit = w.Resolve || p.owed.Resolve, w.Audit || p.owed.Audit
	p.owed = Wake{}
	return w
}

// retryStep makes a whole step due again, with backoff.
func (p *progress) retryStep(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stepAgain = p.retryAfter(stepKey, at)
}

// bytes gives the blob bytes that crossed for the set since it was asked last.
func (p *progress) bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.copied
	p.copied = 0
	return n
}

// Keys of attempts that are about no single content.
const (
	candidatesKey = "candidates"
	stepKey       = "step"
	laterKey      = "later"
)

// distrusts says whether the next judgement of an action must not come from memory.
func (p *progress) distrusts(a mirror.Action) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.distrusted[a.To.AtDigest(a.New).String()]
}

// ended remembers how a step ended. One in which nothing failed starts the backoff anew.
func (p *progress) ended(err error, failed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err = err; err == nil && !failed {
		delete(p.attempts, stepKey)
	}
}

// trouble gives why the last step failed as a whole; nil when it did not.
func (p *progress) trouble() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// news gives the actions whose trouble the log has not told yet, and forgets what is over.
func (p *progress) news(actions []mirror.Action) []mirror.Action {
	p.mu.Lock()
	defer p.mu.Unlock()
	said := map[string]string{}
	var news []mirror.Action
	for _, a := range actions {
		if a.Key.Entry == "" || a.Kind != mirror.Refuse && a.Kind != mirror.Missing && a.Kind != mirror.Failed {
			continue
		}
		key := actionKey(a)
		said[key] = string(a.Kind) + " " + string(a.Reason.Code)
		if p.said[key] != said[key] {
			news = append(news, a)
		}
	}
	p.said = said
	return news
}

// holds says whether the copy that an action asks for has arrived.
func (p *progress) holds(a mirror.Action) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.whole[a.To.AtDigest(a.New).String()]
}

// anew makes the set due, whatever it was computed from.
func (p *progress) anew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inputs = ""
}

// due says whether the set has a reason of its own to be stepped: other inputs than it was last computed
// from, or something to be tried again.
func (p *progress) due(inputs string, at time.Time) bool {
	next := p.nextLook()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inputs != inputs || !next.IsZero() && !at.Before(next)
}

// keep takes in a run, which replaces the one before it where neither found anything new. It says whether the
// run ended in another trouble than the one before.
func (p *progress) keep(r *Run) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.last
	if r.Stages == nil {
		r.Stages = last.Stages
	}
	if last.ID != "" && last.quiet() && r.quiet() && r.same(last) {
		r.replaces = last.ID
	}
	p.last = *r
	return r.Problem != nil && (last.Problem == nil || last.Problem.What != r.Problem.What)
}

// lastRun gives the last run; false before the first.
func (p *progress) lastRun() (Run, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.last.ID != ""
}

// looks remembers since when a step runs; the zero time ends that.
func (p *progress) looks(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looking = since
}

// longLook is from when on a step is told of for a set that is known: most are over in a moment.
const longLook = 5 * time.Second

// looksNow says whether a step runs, the first one or one that takes a while.
func (p *progress) looksNow(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.looking.IsZero() && (p.last.ID == "" || now.Sub(p.looking) >= longLook)
}

// wants remembers how many copies the mover was asked for.
func (p *progress) wants(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ahead = n; n == 0 {
		p.landed = Copies{}
	}
}

// copies says how far the copies of the set are.
func (p *progress) copies() Copies {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.landed
	c.Images = c.Done + p.ahead
	return c
}
