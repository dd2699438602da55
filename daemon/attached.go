package daemon

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/attest"
)

// attachedKey names a statement by one key on one digest in one repository.
func attachedKey(at mirror.Reference, identity string, mark attest.Mark) string {
	return at.String() + " " + string(mark) + " by " + identity
}

// Attached says whether a statement by a key is known to lie beside content in the local registry.
func (s *State) Attached(at mirror.Reference, identity string, mark attest.Mark) bool {
	_, ok := s.get(bucketAttached, attachedKey(at, identity, mark))
	return ok
}

// attestedAny says whether an earlier step made or read a verdict that a key attested beside content: then what it
// says of first sights is known.
func (s *State) attestedAny(at mirror.Reference, identity string) (found bool) {
	s.db.View(func(tx *bbolt.Tx) error { // a View of a bucket that exists cannot fail
		return each(tx.Bucket(bucketAttached).Cursor(), at.String()+" "+string(attest.VerdictMark("")), func(key string, _ []byte) error {
			found = found || strings.HasSuffix(key, " by "+identity)
			return nil
		})
	})
	return found
}

// SetAttached notes what was attached, with which key, and of a signature what its legacy tag names.
func (s *State) SetAttached(by func(attest.Mark) string, done []*owed) error {
	pairs := map[string]string{}
	for _, o := range done {
		for mark := range o.make {
			key := attachedKey(o.at, by(mark), mark)
			pairs[key] = ""
			if mark == attest.SignatureMark && o.tag != (mirror.Digest{}) {
				pairs[key] = o.tag.String()
			}
		}
	}
	return s.put(bucketAttached, pairs)
}

// Detached forgets what lies beside content that was copied anew: it may have been gone with all that hung on it.
func (s *State) Detached(at mirror.Reference) error {
	var keys []string
	err := s.db.View(func(tx *bbolt.Tx) error {
		return each(tx.Bucket(bucketAttached).Cursor(), at.String()+" ", func(key string, _ []byte) error {
			keys = append(keys, at.String()+" "+key)
			return nil
		})
	})
	if err != nil || len(keys) == 0 {
		return err
	}
	return s.db.Batch(func(tx *bbolt.Tx) error {
		var errs []error
		for _, key := range keys {
			errs = append(errs, tx.Bucket(bucketAttached).Delete([]byte(key)))
		}
		return errors.Join(errs...)
	})
}

// copiedAnew takes note of a copy that arrived: what the state knows to lie beside it is looked for again.
func (l *Line) copiedAnew(d mirror.Done) {
	if l.attester == nil || d.Err != nil {
		return
	}
	if err := l.state.Detached(place(d.Action)); err != nil {
		l.log.Warn("what lies beside a copy could not be forgotten", keyRef, place(d.Action).String(), keyError, err)
	}
}

// attachKey is the key of attempts to attach statements.
const attachKey = "attach"

// attaching is what the process knows of the statements of a set that are still to be attached.
type attaching struct {
	failures map[string]int // by place: how often it failed since it last did not
	lacking  int            // statements
	told     time.Time      // when the log told of failures last; zero: there are none
}

// inTurn puts what failed behind the rest, and what failed most often last, so that it holds up nothing.
func (p *progress) inTurn(places []*owed) []*owed {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortStableFunc(places, func(a, b *owed) int {
		return cmp.Compare(p.attaching.failures[a.at.String()], p.attaching.failures[b.at.String()])
	})
	return places
}

// attached remembers what came of attaching: an error for each place that a step came to. It gives the first failure,
// and how many statements are still missing.
func (p *progress) attached(places []*owed, errs []error) (first error, lacking int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	failures := map[string]int{}
	for i, o := range places {
		if i < len(errs) && errs[i] == nil {
			continue
		}
		lacking += len(o.make)
		if n := p.attaching.failures[o.at.String()]; n > 0 {
			failures[o.at.String()] = n
		}
		if i < len(errs) && !errors.Is(errs[i], errNotTried) {
			failures[o.at.String()]++
			first = cmp.Or(first, errs[i])
		}
	}
	p.attaching.failures, p.attaching.lacking = failures, lacking
	if lacking == 0 {
		p.attaching.told = time.Time{}
		delete(p.attempts, attachKey)
	}
	return first, lacking
}

// complains says whether the log is to tell of failures: when they are new, and again after a while.
func (p *progress) complains(at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if told := p.attaching.told; !told.IsZero() && at.Sub(told) < remind {
		return false
	}
	p.attaching.told = at
	return true
}

// unattached is how many statements are still to be attached.
func (p *progress) unattached() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attaching.lacking
}

// attachAgain makes a step due that goes on attaching statements: soon, or with backoff after a failure.
func (p *progress) attachAgain(at time.Time, failed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := at.Add(attachSoon)
	if failed {
		next = p.retryAfter(attachKey, at)
	}
	p.stepAgain = earliest(p.stepAgain, next)
}
