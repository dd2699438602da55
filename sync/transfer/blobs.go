package transfer

import (
	"maps"
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
)

// blobs remembers which repositories of the target hold which blob, as far as it was seen while there is
// work, and sees to it that one at a time uploads a blob.
type blobs struct {
	mu     sync.Mutex
	all    map[mirror.Digest]*blob
	places int
	clock  uint64 // counts events, not time
}

type blob struct {
	at      map[string]uint64 // repository -> when it was seen there
	busy    map[string]bool   // repositories for which someone asks, mounts or uploads right now
	leading bool              // someone uploads it, or asks in order to
	users   int
	changed chan struct{} // closed and made anew when one of the above changed
}

// step is what is to be done next for a blob in a repository.
type step int

const (
	stepHave  step = iota // it is there
	stepWait              // someone else is at it
	stepAsk               // ask whether it is there
	stepMount             // link it from another repository
	stepLead              // ask if that was not done, then upload
)

func newBlobs() *blobs { return &blobs{all: map[mirror.Digest]*blob{}} }

// tick gives a moment later than all before it.
func (b *blobs) tick() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock++
	return b.clock
}

// hold gives the state of a blob, which stays the same one until release.
func (b *blobs) hold(d mirror.Digest) *blob {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.all[d]
	if x == nil {
		x = &blob{at: map[string]uint64{}, busy: map[string]bool{}, changed: make(chan struct{})}
		b.all[d] = x
	}
	x.users++
	return x
}

func (b *blobs) release(d mirror.Digest, x *blob) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x.users--
	b.sweep(d, x)
}

func (b *blobs) sweep(d mirror.Digest, x *blob) {
	if x.users == 0 && len(x.at) == 0 {
		delete(b.all, d)
	}
}

// next decides, and claims the blob for the repository unless there is nothing to do but wait on changed.
// The hint is one more repository that may hold the blob.
func (b *blobs) next(x *blob, repository, hint string, c claim) (s step, from string, changed chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	from = hint
	for from = range x.at { // any of them
		break
	}
	_, have := x.at[repository]
	switch {
	case have:
		return stepHave, "", nil
	case x.busy[repository]:
		return stepWait, "", x.changed
	case c.likely && !c.asked:
		s = stepAsk
	case from != "" && !c.opened:
		s = stepMount
	case x.leading:
		return stepWait, "", x.changed
	default:
		s = stepLead
		x.leading = true
	}
	x.busy[repository] = true
	return s, from, nil
}

// claim is what one who wants a blob in a repository knows already.
type claim struct {
	likely bool // a manifest there names it
	asked  bool // the registry said that it is not there
	opened bool // a mount was answered with an upload session
}

// settle ends a claim: whether the blob is in the repository now, and a place that turned out to hold none.
func (b *blobs) settle(x *blob, repository string, s step, there bool, notAt string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(x.busy, repository)
	if s == stepLead {
		x.leading = false
	}
	if _, known := x.at[notAt]; known {
		delete(x.at, notAt)
		b.places--
	}
	if there {
		b.clock++
		if _, known := x.at[repository]; !known {
			b.places++
		}
		x.at[repository] = b.clock
	}
	close(x.changed)
	x.changed = make(chan struct{})
	if b.places > knownBlobs {
		b.drop(b.clock) // all but the one just seen
	}
}

// unlearn forgets that a repository holds these blobs: a registry that refuses a manifest knows better.
func (b *blobs) unlearn(repository string, all []mirror.Descriptor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range all {
		if x := b.all[d.Digest]; x != nil {
			if _, known := x.at[repository]; known {
				delete(x.at, repository)
				b.places--
			}
		}
	}
}

// forget drops what was seen before a moment.
func (b *blobs) forget(before uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(before)
}

func (b *blobs) drop(before uint64) {
	for d, x := range b.all {
		n := len(x.at)
		maps.DeleteFunc(x.at, func(_ string, seen uint64) bool { return seen < before })
		b.places -= n - len(x.at)
		b.sweep(d, x)
	}
}
