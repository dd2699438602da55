package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/poundlock/poundlock/internal/mirror"
)

// State is what this process remembers between cycles, in one bbolt file. It is a cache: deleting it
// between two cycles costs requests and judgements, never correctness. Its file lock keeps a second
// process out.
type State struct {
	db   *bbolt.DB
	file fs.FileInfo // what db has open, which is where the lock is

	mu      sync.Mutex
	pending map[string]string // verdicts that Flush will write
	sighted map[string]string // digests that were seen for the first time, as above
	signed  map[string]string // what was computed from the bytes of packages, as above

	moved atomic.Uint64 // changes of records
}

var (
	bucketTags     = []byte("tags")     // pointer -> digest that the registry last named; "" for none
	bucketOwned    = []byte("owned")    // pointer -> digest that we wrote or were about to write
	bucketVerdicts = []byte("verdicts") // key -> admitting verdict
	bucketSigned   = []byte("signed")   // package, signature and key -> the folder of the bytes that it signed
	bucketSessions = []byte("sessions") // upload session URL -> what was being uploaded
	bucketLines    = []byte("lines")    // set/stage/entry -> the record line that we committed
	bucketRuns     = []byte("runs")     // id -> run
	bucketEvents   = []byte("events")   // id -> event
	bucketAttached = []byte("attached") // host/repository@digest, statement and key -> nothing: it lies there
	bucketChannels = []byte("channels") // set/channel -> its index in the local registry, and what that was made of
	bucketSeen     = []byte("seen")     // digest -> when we first saw it
	bucketWaits    = []byte("waits")    // set -> promotions that were merged and wait
	bucketRemarks  = []byte("remarks")  // set -> what is to be known of what stands: exceptions, warnings, what is admitted no longer
)

// stateFile is the state, in its directory; who locks it holds that.
const stateFile = "state.db"

// ErrLocked means that another process holds the state directory.
var ErrLocked = errors.New("another poundlock runs on this state directory")

// maxState is the size in bytes from which the state forgets its verdicts at the next start.
const maxState = 256 << 20

// lockWait is how long opening waits for another process to let go.
const lockWait = time.Second

// OpenState opens or makes the state in dir. A damaged file is set aside and begun anew: everything in it
// can be found out again.
func OpenState(dir string) (*State, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, stateError(dir, err)
	}
	file := filepath.Join(dir, stateFile)
	s, err := openState(file)
	if err != nil && damaged(err) {
		if err = setAside(file); err == nil {
			s, err = openState(file)
		}
	}
	if err != nil {
		return nil, stateError(dir, err)
	}
	return s, nil
}

// copyState puts a snapshot of the state in one folder into another, for a process that only looks. Where there
// is none, there is nothing to copy; ErrLocked while another process holds it.
func copyState(from, to string) error {
	file := filepath.Join(from, stateFile)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return ErrLocked
	}
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(filepath.Join(to, stateFile), 0o600) })
}

func openState(file string) (_ *State, err error) {
	// The file is mapped into memory: what lies beyond its end is a fault, which would end the process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer whole(file, &err)
	var held fs.FileInfo
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: lockWait, OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, mode)
		if err == nil {
			held, err = f.Stat()
		}
		return f, err
	}})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if tx.Size() > maxState {
			// Verdicts of what is long gone are never asked for again; those that are cost a few requests.
			if err := tx.DeleteBucket(bucketVerdicts); err != nil && !errors.Is(err, bolterrors.ErrBucketNotFound) {
				return err
			}
		}
		older := tx.Bucket(bucketSeen) == nil
		for _, b := range [][]byte{bucketTags, bucketOwned, bucketVerdicts, bucketSigned, bucketSessions, bucketLines, bucketRuns, bucketEvents, bucketAccepted, bucketPackages, bucketAttached, bucketChannels, bucketFacts, bucketDistributions, bucketSeen, bucketRemarks, bucketWaits} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		if older {
			return sawStanding(tx)
		}
		return nil
	})
	if err != nil {
		db.Close()
		return nil, err
	}
	return &State{db: db, file: held, pending: map[string]string{}}, nil
}

// gone says whether the file that is locked is not the one at its path any more: then the lock keeps nobody out.
func (s *State) gone() bool {
	info, err := os.Stat(s.db.Path())
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	}
	return !os.SameFile(info, s.file)
}

// Close lets the state go.
func (s *State) Close() error { return s.db.Close() }

func (s *State) get(bucket []byte, key string) (value string, ok bool) {
	s.db.View(func(tx *bbolt.Tx) error { // a View of a bucket that exists cannot fail
		if v := tx.Bucket(bucket).Get([]byte(key)); v != nil {
			value, ok = string(v), true
		}
		return nil
	})
	return value, ok
}

// put writes all pairs in one transaction, so that a thousand tags cost one fsync.
func (s *State) put(bucket []byte, pairs map[string]string) error {
	if len(pairs) == 0 {
		return nil
	}
	return s.db.Batch(func(tx *bbolt.Tx) error {
		for k, v := range pairs {
			if err := tx.Bucket(bucket).Put([]byte(k), []byte(v)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Tag gives what the registry last named under a pointer, and whether it was ever asked. The zero digest
// means that it had no such tag.
func (s *State) Tag(pointer string) (mirror.Digest, bool) {
	v, ok := s.get(bucketTags, pointer)
	if !ok || v == "" {
		return mirror.Digest{}, ok
	}
	d, err := mirror.ParseDigest(v)
	return d, err == nil
}

// SetTags remembers what the registry names.
func (s *State) SetTags(tags map[string]mirror.Digest) error {
	pairs := map[string]string{}
	for pointer, d := range tags {
		pairs[pointer] = ""
		if d != (mirror.Digest{}) {
			pairs[pointer] = d.String()
		}
	}
	return s.put(bucketTags, pairs)
}

// Owned gives the digest that we last wrote, or were about to write, under a pointer.
func (s *State) Owned(pointer string) (mirror.Digest, bool) {
	v, ok := s.get(bucketOwned, pointer)
	if !ok {
		return mirror.Digest{}, false
	}
	d, err := mirror.ParseDigest(v)
	return d, err == nil
}

// Own journals that a pointer is about to be written, before it is: a crash between the write and the
// commit would otherwise make our own tag look foreign.
func (s *State) Own(tags map[string]mirror.Digest) error {
	pairs := map[string]string{}
	for pointer, d := range tags {
		pairs[pointer] = d.String()
	}
	return s.put(bucketOwned, pairs)
}

// Verdict gives a remembered admission.
func (s *State) Verdict(key string) (mirror.Verdict, bool) {
	s.mu.Lock()
	v, ok := s.pending[key]
	s.mu.Unlock()
	if !ok {
		if v, ok = s.get(bucketVerdicts, key); !ok {
			return mirror.Verdict{}, false
		}
	}
	var verdict mirror.Verdict
	if err := json.Unmarshal([]byte(v), &verdict); err != nil || !verdict.Outcome.Admits() {
		return mirror.Verdict{}, false
	}
	return verdict, true
}

// Remember keeps an admission until Flush writes it; anything else is not kept, so that it is judged again.
func (s *State) Remember(key string, v mirror.Verdict) {
	b, err := json.Marshal(v)
	if err != nil || !v.Outcome.Admits() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[key] = string(b)
}

// Flush writes the verdicts of a step and the digests that it saw for the first time.
func (s *State) Flush() error {
	s.mu.Lock()
	pending := s.pending
	s.pending = map[string]string{}
	s.mu.Unlock()
	return errors.Join(s.put(bucketVerdicts, pending), s.writeSights(), s.writeSigned())
}

// keptLine is how a record line is kept: with whether it is still to be proven.
type keptLine struct {
	mirror.Line
	Unproven bool `json:"unproven,omitempty"`
}

// Lines gives what of Record stands.
func (s *State) Lines(set string) (map[mirror.Stage]mirror.Standing, error) {
	r, err := s.Record(set)
	return r.Stages, err
}

// Record gives the record of a set as we last committed it, without its origin. A line that was only read from a file,
// and that nothing admitted since, is not proven. One that cannot be read is as if it were not there.
func (s *State) Record(set string) (mirror.Record, error) {
	r := mirror.Record{Stages: map[mirror.Stage]mirror.Standing{}, Left: map[mirror.Stage]mirror.Standing{}}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return each(tx.Bucket(bucketLines).Cursor(), set+"/", func(key string, v []byte) error {
			stage, entry, _ := strings.Cut(key, "/")
			var kept keptLine
			if json.Unmarshal(v, &kept) != nil {
				return nil
			}
			line, lines := kept.Line, r.Stages
			if line.Image.IsZero() {
				lines = r.Left
			} else if line.Proven = !kept.Unproven; !line.Image.HasDigest() {
				return nil
			}
			at := mirror.Stage(stage)
			if lines[at] == nil {
				lines[at] = mirror.Standing{}
			}
			lines[at][entry] = line
			return nil
		})
	})
	return r, err
}

// Knows says whether a record of the set was committed by this state: a line that it does not have is then not
// ours. A state that was deleted knows no set.
func (s *State) Knows(set string) bool {
	_, ok := s.get(bucketLines, set+"/")
	return ok
}

// SetLines remembers the lines of a set's record as we committed it, and forgets those that it no longer has. Those that
// nobody proved are kept as such: a state that was lost must not take them for gone while they cannot be judged.
func (s *State) SetLines(set string, r mirror.Record) error {
	lines := map[string][]byte{"": []byte("known")}
	for _, stages := range []map[mirror.Stage]mirror.Standing{r.Left, r.Stages} { // what stands hides what left
		for stage, standing := range stages {
			for entry, line := range standing {
				b, err := json.Marshal(keptLine{line, !line.Proven})
				if err != nil {
					return err
				}
				lines[string(stage)+"/"+entry] = b
			}
		}
	}
	changed := false
	err := s.db.Batch(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketLines)
		var gone []string
		err := each(bucket.Cursor(), set+"/", func(key string, _ []byte) error {
			if lines[key] == nil {
				gone = append(gone, key)
			}
			return nil
		})
		for _, key := range gone {
			err = errors.Join(err, bucket.Delete([]byte(set+"/"+key)))
		}
		for key, line := range lines {
			if name := []byte(set + "/" + key); !bytes.Equal(bucket.Get(name), line) {
				err = errors.Join(err, bucket.Put(name, line))
				changed = true
			}
		}
		changed = changed || len(gone) > 0
		return err
	})
	if changed {
		s.moved.Add(1)
	}
	return err
}

// Moved counts how often a record changed since the state was opened.
func (s *State) Moved() uint64 { return s.moved.Load() }

// each visits the keys that begin with prefix, without it.
func each(c *bbolt.Cursor, prefix string, visit func(key string, value []byte) error) error {
	for k, v := c.Seek([]byte(prefix)); bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
		if err := visit(string(k[len(prefix):]), v); err != nil {
			return err
		}
	}
	return nil
}
