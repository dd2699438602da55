package daemon

import (
	"encoding/json"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/promote"
	"github.com/poundlock/poundlock/sync/transfer"

	"go.etcd.io/bbolt"
)

// owner knows which tags are ours: those that we journaled before we wrote them, and those whose digest the
// record says we wrote.
type owner struct {
	state    *State
	recorded map[string]map[mirror.Digest]bool // by pointer
}

func (l *Line) owner(v *view) promote.Owner {
	o := owner{l.state, map[string]map[mirror.Digest]bool{}}
	for at, image := range v.record.Known() {
		pointer := l.local.Pointer(v.set, at.Stage, at.Entry, image)
		o.wrote(pointer, image.Digest)
		if at.Stage == v.set.Stages.First() && v.set.VendorTags == mirror.VendorFollow && image.Tag != "" {
			o.wrote(pointer.WithTag(image.Tag), image.Digest)
		}
	}
	return o
}

func (o owner) wrote(pointer mirror.Reference, d mirror.Digest) {
	if o.recorded[pointer.String()] == nil {
		o.recorded[pointer.String()] = map[mirror.Digest]bool{}
	}
	o.recorded[pointer.String()][d] = true
}

// Ours says whether the pointer is a tag of ours. Once it is, it stays ours when a stranger moves it: Git
// says what it names, and putting it back is drift repaired.
func (o owner) Ours(pointer mirror.Reference, current mirror.Digest) bool {
	if _, ok := o.state.Owned(pointer.String()); ok {
		return true
	}
	return o.recorded[pointer.String()][current]
}

// Intend journals a tag before it is written.
func (o owner) Intend(pointer mirror.Reference, d mirror.Digest) error {
	return o.state.Own(map[string]mirror.Digest{pointer.String(): d})
}

// journal keeps upload sessions, so that a process that was killed leaves none behind.
type journal struct{ state *State }

// Begin notes a session right after it was opened.
func (j journal) Begin(session string, to mirror.Reference, blob mirror.Digest) error {
	b, err := json.Marshal(transfer.Session{URL: session, To: to, Blob: blob})
	if err != nil {
		return err
	}
	return j.state.put(bucketSessions, map[string]string{session: string(b)})
}

// End forgets a session that was committed or cancelled.
func (j journal) End(session string) error {
	return j.state.db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket(bucketSessions).Delete([]byte(session)) })
}

// Open lists the sessions that were not ended. An entry that cannot be read is left to the registry's purge.
func (j journal) Open() ([]transfer.Session, error) {
	var open []transfer.Session
	err := j.state.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketSessions).ForEach(func(_, v []byte) error {
			var s transfer.Session
			if json.Unmarshal(v, &s) == nil {
				open = append(open, s)
			}
			return nil
		})
	})
	return open, err
}
