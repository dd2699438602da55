package daemon

import (
	"errors"
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

// SetAttached notes what was attached with a key, and of a signature what its legacy tag names.
func (s *State) SetAttached(identity string, done []*owed) error {
	pairs := map[string]string{}
	for _, o := range done {
		for mark := range o.make {
			pairs[attachedKey(o.at, identity, mark)] = ""
			if mark == attest.SignatureMark && o.tag != (mirror.Digest{}) {
				pairs[attachedKey(o.at, identity, mark)] = o.tag.String()
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

// attached remembers that nothing is left to attach.
func (p *progress) attached() {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.attempts, attachKey)
}
