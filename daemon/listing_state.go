package daemon

import (
	"errors"
	"reflect"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sources"
)

// keptListing is what is remembered of a source that is asked. Without a question nothing was answered yet.
type keptListing struct {
	sources.Listing
	listingEnd
}

// listingEnd is how the last question ended. It changes at each question, and what was listed may be large, so each is kept
// by itself.
type listingEnd struct {
	At     time.Time       `json:"at,omitzero"`      // when it was answered
	Failed *listingTrouble `json:"failed,omitempty"` // why the last question had no answer that was taken
}

// listingTrouble says why a source has no answer that can be taken.
type listingTrouble struct {
	Question mirror.Digest   `json:"question"`
	Reason   mirror.Reason   `json:"reason"`
	Fix      string          `json:"fix,omitempty"`
	Where    mirror.Position `json:"where"`
	At       time.Time       `json:"at"`
}

// listings is what a process knows of the source of one set.
type listings struct {
	kept     *keptListing  // as the state has it; nil: not read yet
	question mirror.Digest // that was asked last
	retry    time.Time     // when a question that failed is asked again; else zero
	again    time.Time     // when time alone changes the answer; else zero
}

// listing gives what is remembered of the source of a set.
func (l *Line) listing(set string) keptListing {
	p := l.progress(set)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listings.kept == nil {
		var kept keptListing
		l.state.asked(set+"/listing", &kept)
		l.state.asked(set+"/listed", &kept.listingEnd)
		p.listings.kept = &kept
		p.listings.again = kept.Again
	}
	return *p.listings.kept
}

// keepListing remembers what a source answered. A state that cannot be written costs a question after the next start.
func (l *Line) keepListing(set string, kept keptListing) {
	p := l.progress(set)
	p.mu.Lock()
	before := p.listings.kept
	p.listings.kept = &kept
	p.mu.Unlock()
	err := l.state.setAsked(set+"/listed", kept.listingEnd)
	if before == nil || !reflect.DeepEqual(before.Listing, kept.Listing) {
		err = errors.Join(err, l.state.setAsked(set+"/listing", kept.Listing))
	}
	if err != nil {
		l.log.Warn("what a source named is not remembered", keySet, set, keyError, err)
	}
}

// answered remembers how a question ended: one that failed is asked again, with backoff.
func (p *progress) answered(question mirror.Digest, err error, again, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listings.question, p.listings.again = question, again
	if p.listings.retry = (time.Time{}); err != nil {
		p.listings.retry = p.retryAfter(listingKey, at)
		return
	}
	delete(p.attempts, listingKey)
}

// listingKey is the key of attempts to ask a source what there is.
const listingKey = "listing"

// asksLater says whether a question failed and is not due again.
func (p *progress) asksLater(question mirror.Digest, at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listings.question == question && at.Before(p.listings.retry)
}

// owesAnswers says whether the step that this wake brings is to ask upstreams anew, since an earlier one could not or
// somebody told that something moved there.
func (p *progress) owesAnswers(w Wake, at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owed.Resolve && !(w.Local && at.Before(p.stepAgain))
}

// pastOf is what the state remembers of an upstream.
type pastOf struct {
	state *State
	at    time.Time
	known keptListing
	named map[string]mirror.Reference
}

func (l *Line) recollects(f *fleet, known keptListing, at time.Time) pastOf {
	p := pastOf{l.state, f.sighting(at), known, map[string]mirror.Reference{}}
	for _, e := range known.Entries {
		p.named[e.Name] = e.Image
	}
	return p
}

// FirstSeen gives when a digest was seen first, which is now where it never was.
func (p pastOf) FirstSeen(d mirror.Digest) time.Time { return p.state.Seen(d, p.at) }

// Listed gives what the last answer named for an entry.
func (p pastOf) Listed(entry string) (mirror.Reference, bool) {
	image, ok := p.named[entry]
	return image, ok
}

// Before gives the last answer that was taken.
func (p pastOf) Before() sources.Listing { return p.known.Listing }

// Created gives when content was made, where the last answer needed that.
func (p pastOf) Created(d mirror.Digest) (time.Time, bool) {
	at, ok := p.known.Created[d]
	return at, ok
}
