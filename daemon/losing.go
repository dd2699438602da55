package daemon

import (
	"errors"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/transfer"
)

// lostHere says whether a copy inside of the local registry ended since that has no longer what it was to copy.
func lostHere(a mirror.Action, err error) bool {
	var end *transfer.Error
	return errors.As(err, &end) && end.Code == mirror.UpstreamMissing && end.Image.Host == a.To.Host
}

// lost is the end of a copy of content that stands below, and that the local registry does not have any more.
func (l *Line) lost(a mirror.Action) mirror.Action {
	a.Kind, a.Outcome, a.Basis, a.Size = mirror.Failed, "", "", mirror.Size{}
	from := a.From.AtDigest(a.New)
	if a.From.Host != l.local.Host {
		from = a.To.AtDigest(a.New)
	}
	a.Reason = mirror.Because(mirror.LocalFailed, "the local registry has lost %s, which stands below; it is copied again from %s", from, a.Image.AtDigest(a.New))
	a.Reason.Fix = "nothing as long as upstream has it: all that the registry should hold is looked at now; else restore its storage, and find out what deletes there: garbage collection, retention"
	return a
}

// looksForLost makes the next step ask the local registry for everything and upstream too, since what a copy was to read
// there is gone: the first one at once, later ones with backoff. The caller holds the lock.
func (p *progress) looksForLost(a mirror.Action, at time.Time) {
	if p.lost == nil {
		p.lost = map[string]bool{}
	}
	p.lost[a.From.AtDigest(a.New).String()] = true
	p.owed.Audit, p.owed.Resolve = true, true
	if p.attempts[lostKey]++; p.attempts[lostKey] == 1 {
		p.stepAgain = at
		return
	}
	p.stepAgain = p.retryAfter(lostKey, at)
}

// lostKey is for the attempts to find again what is lost.
const lostKey = "lost"

// misses says whether the local registry has lost content of ours.
func (p *progress) misses(content mirror.Reference) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost[content.String()]
}

// without takes out of what the local registry is said to hold what it has lost: a tag may still name it.
func (p *progress) without(inv mirror.Inventory) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lost) == 0 {
		return
	}
	for content := range p.lost {
		delete(inv.Whole, content)
	}
	for pointer, d := range inv.Tags {
		at, err := mirror.ParseReference(pointer)
		if err == nil && p.lost[at.AtDigest(d).String()] {
			inv.Tags[pointer] = mirror.Digest{}
		}
	}
}
