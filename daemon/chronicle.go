package daemon

import (
	"encoding/json"
	"errors"

	"go.etcd.io/bbolt"
)

// How much of the past the state keeps.
const (
	keptRuns   = 1_000
	keptEvents = 5_000
)

// keep writes runs and events in one transaction and forgets the oldest beyond what is kept. A run that names
// another one that it replaces takes its place.
func (s *State) keep(runs []Run, events []Event) error {
	return s.db.Batch(func(tx *bbolt.Tx) error {
		var errs []error
		for _, r := range runs {
			if r.replaces != "" {
				errs = append(errs, tx.Bucket(bucketRuns).Delete([]byte(r.replaces)))
			}
			errs = append(errs, putJSON(tx.Bucket(bucketRuns), r.ID, r))
		}
		for _, e := range events {
			errs = append(errs, putJSON(tx.Bucket(bucketEvents), e.ID, e))
		}
		return errors.Join(append(errs, trim(tx.Bucket(bucketRuns), keptRuns), trim(tx.Bucket(bucketEvents), keptEvents))...)
	})
}

func putJSON(b *bbolt.Bucket, key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return b.Put([]byte(key), text)
}

// trim forgets the oldest keys of a bucket until n are left.
func trim(b *bbolt.Bucket, n int) error {
	c, have := b.Cursor(), 0
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		have++
	}
	for ; have > n; have-- {
		c.First()
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// Runs gives the last n runs, newest first; all that are kept with n 0. One that cannot be read is left out.
func (s *State) Runs(n int) ([]Run, error) { return newest[Run](s.db, bucketRuns, n) }

// Events gives the last n events, newest first; all that are kept with n 0. One that cannot be read is left out.
func (s *State) Events(n int) ([]Event, error) { return newest[Event](s.db, bucketEvents, n) }

func newest[T any](db *bbolt.DB, bucket []byte, n int) ([]T, error) {
	all := []T{}
	err := db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		for k, v := c.Last(); k != nil && (n == 0 || len(all) < n); k, v = c.Prev() {
			var one T
			if json.Unmarshal(v, &one) == nil {
				all = append(all, one)
			}
		}
		return nil
	})
	return all, err
}
