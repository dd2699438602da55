package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// spool is the folder that holds packages between their fetching and their arrival in the local registry: one folder for
// each, by the digest of its artifact, and one for each that is being fetched. A folder of the first sort came by one
// rename and is whole.
type spool struct {
	dir      string
	limit    int64 // bytes
	readonly bool

	mu     sync.Mutex
	items  map[string]*spooled     // by folder, see spoolName
	parted map[contentKey][]string // folders of items by repository and digest of their blobs
	held   int64                   // bytes of items
	last   int                     // the newest since of items
	parts  map[string]int64        // bytes that are taken by what is being fetched, by its folder
	left   map[string]int64        // bytes of broken off parts that nobody fetches now, by their folder
	freed  chan struct{}           // closed and made anew when room came
	failed error                   // why the folder cannot be used
}

// spooled is one package that lies in the spool.
type spooled struct {
	Key   string           `json:"key"`
	Image mirror.Reference `json:"image"`
	Known knownPackage     `json:"known"`
	Parts mirror.Parts     `json:"-"`

	size    int64
	needed  map[string]bool // by set that names it: whether its last step still waits for it
	seen    bool            // a step knows of it
	adopted bool            // an earlier process fetched it
	since   int             // in which order they came
}

// spoolName gives the folder of content of a repository: two upstreams may have the same bytes.
func spoolName(r mirror.Reference, d mirror.Digest) string {
	return mirror.DigestOf([]byte(r.Name() + "@" + d.String())).Hex
}

func (o *spooled) name() string { return spoolName(o.Image, o.Known.Manifest) }

// idle says that no set waits for it any more.
func (o *spooled) idle() bool {
	return o.seen && !slices.Contains(slices.Collect(maps.Values(o.needed)), true)
}

// Names of files in the spool. A part has the last two while it is fetched, all when it is whole.
const (
	spoolManifest = "manifest.json"
	spoolEntry    = "entry.json"
	spoolZip      = "zip"
	spoolMark     = "mark.json" // what the server said of the zip that is being fetched

	partPrefix = "part-"
)

// keptParts is how long a part stays that was broken off and that nobody goes on with.
const keptParts = 24 * time.Hour

// spoolDir gives the folder; a process that only looks reads that of the daemon.
func spoolDir(c config.Config) string { return filepath.Join(c.StateDir, "spool", "packages") }

// openSpool reads what lies in a spool. One that cannot be used says so where something is to be put into it.
func openSpool(dir string, limit int64, readonly bool) *spool {
	s := &spool{dir: dir, limit: limit, readonly: readonly, items: map[string]*spooled{}, parted: map[contentKey][]string{}, parts: map[string]int64{}, left: map[string]int64{}, freed: make(chan struct{})}
	folders, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.failed = err
	}
	for _, folder := range folders {
		if strings.HasPrefix(folder.Name(), partPrefix) {
			s.left[folder.Name()] = sizeBelow(filepath.Join(dir, folder.Name()))
		} else if one, err := s.read(folder.Name()); err == nil {
			one.adopted = true
			s.put(folder.Name(), one)
		}
	}
	return s
}

// sweep removes what cannot be used any more: folders that are not whole, and parts that are old.
func (s *spool) sweep(now time.Time) (troubles []error) {
	if s.readonly {
		return nil
	}
	folders, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no package was fetched yet
	}
	if err != nil {
		return []error{err}
	}
	for _, folder := range folders {
		info, err := folder.Info()
		part := strings.HasPrefix(folder.Name(), partPrefix)
		if s.items[folder.Name()] != nil || part && err == nil && now.Sub(info.ModTime()) < keptParts {
			continue
		}
		delete(s.left, folder.Name())
		if err := os.RemoveAll(filepath.Join(s.dir, folder.Name())); err != nil {
			troubles = append(troubles, err)
		}
	}
	return troubles
}

// read reads what is said of a whole package. Its bytes are held against their digests when they are read.
func (s *spool) read(name string) (*spooled, error) {
	dir := filepath.Join(s.dir, name)
	text, err := os.ReadFile(filepath.Join(dir, spoolEntry))
	if err != nil {
		return nil, err
	}
	var one spooled
	if err := json.Unmarshal(text, &one); err != nil {
		return nil, err
	}
	if one.name() != name {
		return nil, fmt.Errorf("%s is not what it says", dir)
	}
	m, err := s.manifest(&one)
	if err != nil {
		return nil, err
	}
	if one.Parts, err = m.Parts(); err != nil {
		return nil, err
	}
	one.size, one.needed = sizeBelow(dir), map[string]bool{}
	return &one, nil
}

// manifest reads the manifest of a package, bytes checked.
func (s *spool) manifest(one *spooled) (mirror.Manifest, error) {
	body, err := os.ReadFile(filepath.Join(s.dir, one.name(), spoolManifest))
	if err != nil {
		return mirror.Manifest{}, err
	}
	m := mirror.NewManifest("application/vnd.oci.image.manifest.v1+json", body)
	if m.Descriptor.Digest != one.Known.Manifest {
		return mirror.Manifest{}, fmt.Errorf("spool: manifest %s: %w", one.Known.Manifest, mirror.ErrDigestMismatch)
	}
	return m, nil
}

func sizeBelow(dir string) (size int64) {
	files, _ := os.ReadDir(dir) // a folder that cannot be read takes no room that we could free
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			size += info.Size()
		}
	}
	return size
}

// all gives what lies whole in the spool.
func (s *spool) all() []spooled {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]spooled, 0, len(s.items))
	for _, name := range slices.Sorted(maps.Keys(s.items)) {
		all = append(all, *s.items[name])
	}
	return all
}

// whole gives a package by its artifact.
func (s *spool) whole(r mirror.Reference, d mirror.Digest) (*spooled, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.items[spoolName(r, d)]
	return one, ok
}

// holding gives the package of a repository that has a blob.
func (s *spool) holding(r mirror.Reference, d mirror.Digest) (*spooled, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	folders := s.parted[contentKey{r.Name(), d}]
	if len(folders) == 0 {
		return nil, false
	}
	return s.items[folders[0]], true
}

// put takes in a whole package as the newest; s.mu is held.
func (s *spool) put(name string, one *spooled) {
	s.last++
	one.since = s.last
	s.items[name] = one
	s.held += one.size
	for _, b := range one.Parts.Blobs() {
		key := contentKey{one.Image.Name(), b.Digest}
		s.parted[key] = append(s.parted[key], name)
	}
}

// size gives how many bytes lie in the spool.
func (s *spool) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sum()
}

func (s *spool) sum() int64 {
	n := s.held
	for _, sizes := range []map[string]int64{s.parts, s.left} {
		for _, size := range sizes {
			n += size
		}
	}
	return n
}

// need notes which of the packages that a set names it still waits for after a step. Others may be deleted when room is
// needed. mine are the keys of the set, waits the folders of those that it waits for.
func (s *spool) need(set string, mine, waits map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, one := range s.items {
		if delete(one.needed, set); mine[one.Key] || waits[name] {
			one.seen, one.needed[set] = true, waits[name]
		}
	}
	s.open()
}

// open wakes those who wait for room; s.mu is held.
func (s *spool) open() {
	close(s.freed)
	s.freed = make(chan struct{})
}

// drop deletes a package.
func (s *spool) drop(r mirror.Reference, d mirror.Digest) {
	if s.readonly {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[spoolName(r, d)] != nil {
		s.remove(spoolName(r, d))
		s.open()
	}
}

// remove deletes the folder of a package; s.mu is held. What is left of it is swept at the next start.
func (s *spool) remove(name string) {
	if one := s.items[name]; one != nil {
		s.held -= one.size
		for _, b := range one.Parts.Blobs() {
			key := contentKey{one.Image.Name(), b.Digest}
			if s.parted[key] = slices.DeleteFunc(s.parted[key], func(folder string) bool { return folder == name }); len(s.parted[key]) == 0 {
				delete(s.parted, key)
			}
		}
	}
	delete(s.items, name)
	_ = os.RemoveAll(filepath.Join(s.dir, name))
}

// makeRoom deletes what nobody waits for until so many bytes fit: first parts that were broken off, then packages that
// policy refused, then those of an earlier process that no set named since. It says whether they fit; s.mu is held.
func (s *spool) makeRoom(bytes int64) bool {
	fits := func() bool { return s.sum()+bytes <= s.limit }
	for _, part := range slices.Sorted(maps.Keys(s.left)) {
		if fits() {
			return true
		}
		delete(s.left, part)
		_ = os.RemoveAll(filepath.Join(s.dir, part))
	}
	old := slices.SortedFunc(maps.Keys(s.items), func(a, b string) int { return s.items[a].since - s.items[b].since })
	for _, useless := range []func(*spooled) bool{(*spooled).idle, func(o *spooled) bool { return !o.seen && o.adopted }} {
		for _, name := range old {
			if fits() {
				return true
			}
			if one := s.items[name]; one != nil && useless(one) {
				s.remove(name)
			}
		}
	}
	return fits()
}
