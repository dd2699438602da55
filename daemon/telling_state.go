package daemon

import "go.etcd.io/bbolt"

// bucketTold holds what notifiers were told of: notifier and subject -> the event and when it was told last.
var bucketTold = []byte("told")

// Told gives what notifiers were told of, by key.
func (s *State) Told() (map[string]string, error) {
	all := map[string]string{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketTold)
		if b == nil {
			return nil // nobody was told of anything
		}
		return b.ForEach(func(k, v []byte) error {
			all[string(k)] = string(v)
			return nil
		})
	})
	return all, err
}

// SetTold remembers what somebody was told; an empty value forgets it.
func (s *State) SetTold(pairs map[string]string) error {
	if len(pairs) == 0 {
		return nil
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketTold)
		for key, value := range pairs {
			switch {
			case err != nil:
				return err
			case value == "":
				err = b.Delete([]byte(key))
			default:
				err = b.Put([]byte(key), []byte(value))
			}
		}
		return err
	})
}
