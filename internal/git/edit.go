package git

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// edit is what a change does to one directory.
type edit struct {
	owned bool // it becomes exactly what is named here
	dirs  map[string]*edit
	files map[string][]byte
}

func newEdit() *edit { return &edit{dirs: map[string]*edit{}, files: map[string][]byte{}} }

func (e *edit) dir(name string) (*edit, error) {
	at := e
	for _, part := range strings.Split(name, "/") {
		if _, clash := at.files[part]; clash {
			return nil, fmt.Errorf("%q is both a file and a directory", name)
		}
		if at.dirs[part] == nil {
			at.dirs[part] = newEdit()
			at.dirs[part].owned = at.owned
		}
		at = at.dirs[part]
	}
	return at, nil
}

// edits arranges the change by directory and refuses names that we would refuse to read.
func (r *Repo) edits(c Change) (*edit, error) {
	root := newEdit()
	for _, name := range slices.Sorted(slices.Values(c.Owned)) {
		if err := checkPath(name); err != nil {
			return nil, fmt.Errorf("owned directory: %w", err)
		}
		d, err := root.dir(join(r.opts.Path, name))
		if err != nil {
			return nil, err
		}
		d.owned = true
	}
	for name, body := range c.Files {
		if err := checkPath(name); err != nil {
			return nil, fmt.Errorf("file: %w", err)
		}
		full := join(r.opts.Path, name)
		at, base := root, full
		if i := strings.LastIndexByte(full, '/'); i >= 0 {
			d, err := root.dir(full[:i])
			if err != nil {
				return nil, err
			}
			at, base = d, full[i+1:]
		}
		if at.dirs[base] != nil {
			return nil, fmt.Errorf("%q is both a file and a directory", name)
		}
		at.files[base] = body
	}
	return root, nil
}

// apply gives the tree that the edit makes of old, and adds to b what old does not hold. An empty tree is
// the zero id: Git has no empty directories.
func (r *Repo) apply(b *built, commit, dir string, old entry, e *edit) (plumbing.Hash, error) {
	before := map[string]entry{}
	if old.isTree() {
		var ps mirror.Problems
		entries, err := r.listing(commit, dir, old.id, &ps)
		if err == nil && !e.owned {
			err = ps.Err() // what we own is replaced, whatever it was
		}
		if err != nil {
			return plumbing.ZeroHash, err
		}
		for _, one := range entries {
			before[one.name] = one
		}
	}
	after := map[string]entry{}
	if !e.owned {
		for name, one := range before {
			after[name] = one
		}
	}
	for name, body := range e.files {
		id := plumbing.ComputeHash(plumbing.BlobObject, body)
		if before[name].id != id {
			b.put(plumbing.BlobObject, body)
		}
		after[name] = entry{mode: modeFile, name: name, id: id}
	}
	for name, child := range e.dirs {
		if was, ok := before[name]; ok && !was.isTree() && !child.owned {
			var ps mirror.Problems
			refuseMode(&ps, mirror.Position{File: join(dir, name), Commit: commit}, was, "a directory")
			return plumbing.ZeroHash, ps.Err()
		}
		id, err := r.apply(b, commit, join(dir, name), before[name], child)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		delete(after, name)
		if !id.IsZero() {
			after[name] = entry{mode: modeTree, name: name, id: id}
		}
	}
	if len(after) == 0 && dir != "" {
		return plumbing.ZeroHash, nil
	}
	sorted := make([]entry, 0, len(after))
	for _, one := range after {
		sorted = append(sorted, one)
	}
	slices.SortFunc(sorted, func(a, b entry) int { return strings.Compare(a.sortKey(), b.sortKey()) })
	body := encodeTree(sorted)
	id := plumbing.ComputeHash(plumbing.TreeObject, body)
	if id != old.id {
		b.put(plumbing.TreeObject, body)
	}
	return id, nil
}
