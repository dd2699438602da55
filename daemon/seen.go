package daemon

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/poundlock/poundlock/internal/mirror"
)

// How many digests, of images and of signatures, the state remembers the first sight of, and how many of them are
// forgotten at once when it has more. Images that stand or stood anywhere are not among those.
const (
	keptSeen   = 200_000
	forgetSeen = keptSeen / 10
)

// Seen gives when we first saw a digest. One that was never seen is seen now: it is kept until Flush writes it, and
// it never moves to a later time. A sight that is of later than now is of a clock that was wrong: it was seen now.
func (s *State) Seen(d mirror.Digest, now time.Time) time.Time {
	if at, ok := s.firstSight(d); ok && !at.After(now) {
		return at
	}
	s.Saw(d, now)
	return now.UTC()
}

// sighting gives the time at which something is seen for the first time: now, but never before the fleet in force was
// committed. A clock that is behind, as one that begins in 1970, would else make everything old for ever.
func (f *fleet) sighting(now time.Time) time.Time {
	if f.dated.After(now) {
		return f.dated
	}
	return now
}

// Saw notes that a digest was here at a time, which somebody whom we believe says: we ourselves, or a statement that
// this site signed. It counts where no earlier time is known.
func (s *State) Saw(d mirror.Digest, at time.Time) {
	if before, ok := s.firstSight(d); ok && !at.Before(before) || d == (mirror.Digest{}) || at.IsZero() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sighted == nil {
		s.sighted = map[string]string{}
	}
	if before, err := time.Parse(time.RFC3339, s.sighted[d.String()]); err != nil || at.Before(before) {
		s.sighted[d.String()] = at.UTC().Format(time.RFC3339)
	}
}

func (s *State) firstSight(d mirror.Digest) (time.Time, bool) {
	s.mu.Lock()
	text, ok := s.sighted[d.String()]
	s.mu.Unlock()
	if !ok {
		text, ok = s.get(bucketSeen, d.String())
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, ok && err == nil
}

// writeSights writes the sights that are new, and bounds how many there are.
func (s *State) writeSights() error {
	s.mu.Lock()
	sighted := s.sighted
	s.sighted = nil
	s.mu.Unlock()
	if err := s.put(bucketSeen, sighted); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.sighted == nil {
			s.sighted = map[string]string{}
		}
		maps.Copy(s.sighted, sighted) // a time that is written later is as early
		return err
	}
	if len(sighted) == 0 {
		return nil
	}
	return s.db.Batch(func(tx *bbolt.Tx) error { return trimSeen(tx, keptSeen, forgetSeen) })
}

// sawStanding begins the sights of a state that was written by an older version: what stands was here when its line
// was committed. It is done once. Later such a time is not believed, since a line may have been read from a file.
func sawStanding(tx *bbolt.Tx) error {
	first := map[string]string{}
	err := eachLine(tx, func(line mirror.Line) {
		d, at := line.Image.Digest.String(), line.Since.UTC().Format(time.RFC3339)
		if before, ok := first[d]; line.Image.HasDigest() && !line.Since.IsZero() && (!ok || at < before) {
			first[d] = at
		}
	})
	for d, at := range first {
		err = errors.Join(err, tx.Bucket(bucketSeen).Put([]byte(d), []byte(at)))
	}
	return err
}

// eachLine visits the record lines of all sets, also of what left.
func eachLine(tx *bbolt.Tx, visit func(mirror.Line)) error {
	return tx.Bucket(bucketLines).ForEach(func(_, text []byte) error {
		var line mirror.Line
		if json.Unmarshal(text, &line) == nil && (line.Image.HasDigest() || len(line.Was) > 0) { // else it is the mark of a set that is known
			visit(line)
		}
		return nil
	})
}

// trimSeen forgets the oldest sights of digests that stand nowhere, where there are more than kept.
func trimSeen(tx *bbolt.Tx, kept, forget int) error {
	seen := tx.Bucket(bucketSeen)
	if seen.Stats().KeyN <= kept {
		return nil
	}
	stands := map[string]bool{}
	err := eachLine(tx, func(line mirror.Line) {
		for _, image := range append(line.Was, line.Image) {
			stands[image.Digest.String()] = true
		}
	})
	type sight struct{ digest, at string }
	var old []sight
	err = errors.Join(err, seen.ForEach(func(digest, at []byte) error {
		if !stands[string(digest)] {
			old = append(old, sight{string(digest), string(at)})
		}
		return nil
	}))
	slices.SortFunc(old, func(a, b sight) int { return strings.Compare(a.at, b.at) }) // all of them UTC
	for _, o := range old[:min(len(old), forget)] {
		err = errors.Join(err, seen.Delete([]byte(o.digest)))
	}
	return err
}
