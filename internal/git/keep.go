package git

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// carry takes the commits that Options.Keep names over from the clone that is there into a fresh one, with all that
// they were built upon and that the fresh one does not have. Of a clone that is damaged what can be read counts, since
// every object is checked against its id; a commit of which a part is missing is left behind.
func (r *Repo) carry(into *filesystem.Storage) error {
	if r.opts.Keep == nil {
		return nil
	}
	if _, err := os.Stat(r.cloneDir()); err != nil {
		return nil // nothing to take it from
	}
	store := newStore(r.cloneDir()) // of its own: others read the one of r meanwhile
	defer store.Close()
	old := &Repo{opts: r.opts, branch: r.branch, store: store}
	var all []plumbing.Hash
	seen := map[plumbing.Hash]bool{}
	for _, commit := range r.opts.Keep() {
		if !old.holdsCommit(commit) {
			continue
		}
		more, err := old.reachable(plumbing.NewHash(commit), into, seen)
		if err != nil {
			continue
		}
		for _, id := range more {
			seen[id] = true
		}
		all = append(all, more...)
	}
	if len(all) == 0 {
		return nil
	}
	return repack(store, into, all)
}

// repack writes objects of one store into another, as one pack.
func repack(from, into *filesystem.Storage, ids []plumbing.Hash) (err error) {
	defer func() {
		if p := recover(); p != nil { // go-git was seen to panic on damaged files
			err = fmt.Errorf("keep what was accepted: %v", p)
		}
	}()
	w, err := into.PackfileWriter()
	if err != nil {
		return fmt.Errorf("keep what was accepted: %w", err)
	}
	_, err = packfile.NewEncoder(w, from, false).Encode(ids, 0)
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("keep what was accepted: %w", err)
	}
	return nil
}

// reachable reads a commit, everything that it was built upon, and all of their files, but for what another store
// holds, which has it with all that belongs to it, and for what was seen. It gives their ids.
func (r *Repo) reachable(commit plumbing.Hash, but *filesystem.Storage, seen map[plumbing.Hash]bool) ([]plumbing.Hash, error) {
	type item struct {
		kind plumbing.ObjectType
		id   plumbing.Hash
	}
	var ids []plumbing.Hash
	mine := map[plumbing.Hash]bool{}
	for queue := []item{{plumbing.CommitObject, commit}}; len(queue) > 0; {
		one := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if mine[one.id] || seen[one.id] || but.HasEncodedObject(one.id) == nil {
			continue
		}
		body, err := r.object(one.kind, one.id, maxObject)
		if err != nil {
			return nil, err
		}
		mine[one.id] = true
		ids = append(ids, one.id)
		switch one.kind {
		case plumbing.CommitObject:
			c, err := parseCommit(body)
			if err != nil {
				return nil, err // it was accepted once, so it is well formed
			}
			queue = append(queue, item{plumbing.TreeObject, c.tree})
			for _, p := range slices.Backward(c.parents) {
				queue = append(queue, item{plumbing.CommitObject, p})
			}
		case plumbing.TreeObject:
			entries, err := parseTree(body)
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				switch e.mode {
				case modeTree:
					queue = append(queue, item{plumbing.TreeObject, e.id})
				case modeGitlink: // of another repository
				default:
					queue = append(queue, item{plumbing.BlobObject, e.id})
				}
			}
		}
	}
	return ids, nil
}
