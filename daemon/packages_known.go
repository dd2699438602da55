package daemon

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/poundlock/poundlock/internal/mirror"
)

// bucketPackages holds what is known of the bytes of packages, by keyOfPackage.
var bucketPackages = []byte("packages")

// knownPackage is what is known of the bytes of one package of an upstream.
type knownPackage struct {
	Print    mirror.Digest   `json:"print,omitzero"`    // what upstream said of it when its bytes were compared last
	Manifest mirror.Digest   `json:"manifest,omitzero"` // of its artifact; zero where its bytes are refused
	Zip      zipMark         `json:"zip,omitzero"`
	Refused  *mirror.Problem `json:"refused,omitempty"` // what is wrong with its bytes
	At       time.Time       `json:"at"`                // when they were compared last
	Stored   string          `json:"stored,omitempty"`  // repository of the local registry that holds them

	Over map[string]mirror.Digest `json:"over,omitempty"` // by set: what stood when they were compared, where it is something else
}

// zipMark is what a server says of a file, and what the bytes were: enough to see without its bytes that it changed.
type zipMark struct {
	Size      int64         `json:"size,omitempty"` // bytes; 0 where it is not known
	ETag      string        `json:"etag,omitempty"`
	Modified  string        `json:"modified,omitempty"` // Last-Modified, as it was sent
	Signature mirror.Digest `json:"signature,omitzero"` // of the signature's bytes; zero where there is none
	Unknown   bool          `json:"unknown,omitempty"`  // they were never seen: what stands was believed
}

// knownPackages is knownPackage of all packages, in memory and in the state.
type knownPackages struct {
	state *State

	mu  sync.Mutex
	all map[string]knownPackage
	by  map[contentKey]string      // keyOfPackage by repository and digest of the artifact
	at  map[string]map[string]bool // where the local registry holds, or held, packages of a repository
}

// contentKey names content of a repository, which is named as references call it.
type contentKey struct {
	repository string
	digest     mirror.Digest
}

// keptPackages is how many packages are known at most; the ones that were compared longest ago are forgotten first.
const keptPackages = 200_000

// readPackages reads what the state knows. What cannot be read is as if it were not known.
func readPackages(s *State) (*knownPackages, error) {
	k := &knownPackages{state: s, all: map[string]knownPackage{}, by: map[contentKey]string{}, at: map[string]map[string]bool{}}
	err := s.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketPackages)
		if bucket == nil {
			return nil // of an older version, for a process that only looks
		}
		return bucket.ForEach(func(key, text []byte) error {
			var one knownPackage
			if json.Unmarshal(text, &one) == nil {
				k.index(string(key), one)
			}
			return nil
		})
	})
	return k, err
}

func (k *knownPackages) index(key string, one knownPackage) {
	k.unindex(key)
	if k.all[key] = one; one.Manifest != (mirror.Digest{}) {
		k.by[contentKey{repositoryOf(key), one.Manifest}] = key
		k.place(repositoryOf(key), one.Stored)
	}
}

// place notes a place of packages of a repository; k.mu is held.
func (k *knownPackages) place(repository, at string) {
	if at == "" || k.at[repository][at] {
		return
	}
	if k.at[repository] == nil {
		k.at[repository] = map[string]bool{}
	}
	k.at[repository][at] = true
}

// unindex forgets which content a package is. The same content may be known of another address, too.
func (k *knownPackages) unindex(key string) {
	content := contentKey{repositoryOf(key), k.all[key].Manifest}
	if k.by[content] == key {
		delete(k.by, content)
	}
}

// repositoryOf gives the repository of the reference that a keyOfPackage begins with.
func repositoryOf(key string) string { return imageOf(key).Name() }

func imageOf(key string) mirror.Reference {
	for i := range key {
		if key[i] == ' ' {
			key = key[:i]
			break
		}
	}
	r, err := mirror.ParseReference(key)
	if err != nil {
		return mirror.Reference{} // no reference of ours
	}
	return r
}

func (k *knownPackages) get(key string) (knownPackage, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, ok := k.all[key]
	return one, ok
}

// content gives what is known of content by its digest.
func (k *knownPackages) content(r mirror.Reference, d mirror.Digest) (key string, one knownPackage, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok = k.by[contentKey{r.Name(), d}]
	return key, k.all[key], ok
}

// set remembers packages, in memory and in the state, whatever was known of them.
func (k *knownPackages) set(news map[string]knownPackage) error {
	changes := map[string]knownChange{}
	for key, one := range news {
		changes[key] = func(now *knownPackage) bool {
			*now = one
			return true
		}
	}
	return k.update(changes)
}

// knownChange changes what is known of a package, which has its zero value where nothing is; false leaves it as it is.
type knownChange func(*knownPackage) bool

// update changes what is known of packages at this moment, in memory and in the state: what somebody read a while ago may be
// out of date by now. The changes must not ask for anything.
func (k *knownPackages) update(changes map[string]knownChange) error {
	var keys []string
	k.mu.Lock()
	for key, change := range changes {
		if one := k.all[key]; change(&one) {
			k.index(key, one)
			keys = append(keys, key)
		}
	}
	keys = append(keys, k.forget()...)
	k.mu.Unlock()
	if len(keys) == 0 {
		return nil
	}
	return k.state.db.Batch(func(tx *bbolt.Tx) error {
		for _, key := range keys {
			if err := k.keep(tx.Bucket(bucketPackages), key); err != nil {
				return err
			}
		}
		return nil
	})
}

// keep writes what is known of a package now. Of two who changed it, the one who writes last must not write what was before.
func (k *knownPackages) keep(to *bbolt.Bucket, key string) error {
	one, ok := k.get(key)
	if !ok {
		return to.Delete([]byte(key))
	}
	text, err := json.Marshal(one)
	if err != nil {
		return err
	}
	return to.Put([]byte(key), text)
}

// forget drops what was compared longest ago, where too much is known: a tenth at once.
func (k *knownPackages) forget() (gone []string) {
	if len(k.all) <= keptPackages {
		return nil
	}
	gone = slices.SortedFunc(maps.Keys(k.all), func(a, b string) int { return k.all[a].At.Compare(k.all[b].At) })[:keptPackages/10]
	for _, key := range gone {
		k.unindex(key)
		delete(k.all, key)
	}
	return gone
}

// stored notes where content lies in the local registry. It is written with the next change: to find it out again costs
// nothing.
func (k *knownPackages) stored(image, at mirror.Reference) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.by[contentKey{image.Name(), image.Digest}]; ok {
		one := k.all[key]
		one.Stored = at.Name()
		k.all[key] = one
		k.place(image.Name(), one.Stored)
	}
}

// remember takes in packages in memory alone.
func (k *knownPackages) remember(news map[string]knownPackage) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, one := range news {
		k.index(key, one)
	}
}
