package git

import (
	"crypto/sha1" //nolint:gosec // Git's own checksum of a pack
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	cloneName  = "clone.git" // in Options.Dir
	freshName  = "clone.new" // a clone in the making; it takes the place of the other in one rename
	markerName = "poundlock" // in the clone: which remote and branch it is of
	maxPacks   = 200         // packs after which a clone is made anew rather than fetched into
	maxLoose   = 20_000      // the same for single objects: about 3,000 commits of ours
)

var cacheSize = 8 * cache.MiByte // bytes of objects that go-git keeps in memory

func (r *Repo) cloneDir() string { return filepath.Join(r.opts.Dir, cloneName) }
func (r *Repo) marker() string   { return "1\n" + r.opts.URL + "\n" + r.branch.String() + "\n" }

// openClone takes up the clone of an earlier process. What is not in order is no error: it is noted, and
// the next Fetch makes the clone anew.
func (r *Repo) openClone() error {
	if err := os.MkdirAll(r.opts.Dir, 0o700); err != nil {
		return err
	}
	// A crash while cloning leaves a part of a clone, or a whole one just before its rename: neither counts.
	if err := os.RemoveAll(filepath.Join(r.opts.Dir, freshName)); err != nil {
		return err
	}
	leftovers, _ := filepath.Glob(filepath.Join(r.opts.Dir, "incoming-*"))
	for _, name := range leftovers {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	if _, err := os.Stat(r.cloneDir()); errors.Is(err, fs.ErrNotExist) {
		r.damage = errors.New("there is no clone yet")
		return nil
	}
	if err := r.inspect(); err != nil {
		r.damage = err
		return nil
	}
	r.store = newStore(r.cloneDir())
	r.damage = r.readable()
	return nil
}

func newStore(dir string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(dir, osfs.WithBoundOS()), cache.NewObjectLRU(cacheSize),
		filesystem.Options{MaxOpenDescriptors: 8})
}

// inspect looks at the files of the clone: whose it is, that no lock was left by a killed process, and
// that every pack is whole.
func (r *Repo) inspect() error {
	marker, err := os.ReadFile(filepath.Join(r.cloneDir(), markerName))
	if err != nil || string(marker) != r.marker() {
		return errors.New("it is of another remote or branch")
	}
	r.loose = 0
	return filepath.WalkDir(r.cloneDir(), func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasSuffix(name, ".lock"):
			return fmt.Errorf("stale lock %s", entry.Name())
		case strings.HasPrefix(entry.Name(), "tmp_"): // an object or a pack that was being written
			return os.Remove(name)
		case entry.Name() == "alternates":
			return errors.New("it borrows objects from elsewhere") // never written by us
		case strings.HasSuffix(name, ".pack") && !exists(strings.TrimSuffix(name, ".pack")+".idx"):
			return fmt.Errorf("pack %s has no index", entry.Name())
		case strings.HasSuffix(name, ".pack"), strings.HasSuffix(name, ".idx"):
			return checkSum(name)
		case len(entry.Name()) == 38: // an id without its first two digits, which name the directory
			r.loose++
		}
		return nil
	})
}

func exists(name string) bool { _, err := os.Stat(name); return err == nil }

// checkSum compares the last 20 bytes of a pack or an index with the SHA-1 of all before them.
func checkSum(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	hash := sha1.New()
	var want [sha1.Size]byte
	if _, err := io.CopyN(hash, f, info.Size()-sha1.Size); err != nil || info.Size() < sha1.Size {
		return fmt.Errorf("%s is truncated", filepath.Base(name))
	}
	if _, err := io.ReadFull(f, want[:]); err != nil || string(hash.Sum(nil)) != string(want[:]) {
		return fmt.Errorf("%s is damaged", filepath.Base(name))
	}
	return nil
}

// readable reads the commits that the branches are at, and their trees. What is malformed or too large is no damage: anybody
// can push it, and a clone that is made anew has it again.
func (r *Repo) readable() error {
	head, err := r.localHead()
	if err != nil {
		return err
	}
	state, err := r.localAt(r.state)
	if err != nil {
		return err
	}
	ids := []plumbing.Hash{head}
	if !state.IsZero() {
		ids = append(ids, state)
	}
	for _, id := range ids {
		c, err := r.commit(id)
		if err == nil {
			_, err = r.tree(c.TreeHash)
		}
		if errors.Is(err, ErrDamaged) {
			return err
		}
	}
	return nil
}

func (r *Repo) localHead() (plumbing.Hash, error) {
	if r.store == nil {
		return plumbing.ZeroHash, errors.New("there is no clone")
	}
	ref, err := r.store.Reference(r.branch)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("ref %s: %w", r.branch, err)
	}
	return ref.Hash(), nil
}

// replaceClone makes a clone from the pack and puts it in the place of the one that is there. A crash
// before the rename leaves a part under another name; one between remove and rename leaves no clone.
// Either way the next Fetch starts over.
func (r *Repo) replaceClone(pack string, tips []tip) error {
	fresh := filepath.Join(r.opts.Dir, freshName)
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	store := newStore(fresh)
	if _, err := gogit.InitWithOptions(store, nil, gogit.InitOptions{DefaultBranch: r.branch}); err != nil {
		return err
	}
	if err := importPack(store, pack); err != nil {
		return err
	}
	if err := r.carry(store); err != nil {
		return err
	}
	for _, t := range tips {
		if t.at.IsZero() {
			continue
		}
		if err := store.SetReference(plumbing.NewHashReference(t.ref, t.at)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(fresh, markerName), []byte(r.marker()), 0o600); err != nil {
		return err
	}
	if err := store.Close(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != nil {
		_ = r.store.Close()
		r.store = nil
	}
	if err := os.RemoveAll(r.cloneDir()); err != nil {
		return err
	}
	if err := os.Rename(fresh, r.cloneDir()); err != nil {
		return err
	}
	r.store, r.loose = newStore(r.cloneDir()), 0
	r.damage = r.readable()
	return r.damage
}
