package daemon

import (
	"encoding/json"

	"go.etcd.io/bbolt"
)

// listed gives a list that is kept under a name.
func listed[T any](s *State, bucket []byte, name string) ([]T, error) {
	text, ok := s.get(bucket, name)
	if !ok {
		return nil, nil
	}
	var all []T
	return all, json.Unmarshal([]byte(text), &all)
}

// setListed replaces such a list; what is the same is not written, and an empty one is deleted.
func setListed[T any](s *State, bucket []byte, name string, all []T) error {
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if before, ok := s.get(bucket, name); len(all) == 0 && !ok || before == string(text) {
		return nil
	}
	return s.db.Batch(func(tx *bbolt.Tx) error {
		if len(all) == 0 {
			return tx.Bucket(bucket).Delete([]byte(name))
		}
		return tx.Bucket(bucket).Put([]byte(name), text)
	})
}
