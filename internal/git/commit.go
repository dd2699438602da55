package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Change is what a commit makes true. All names are relative to Options.Path.
type Change struct {
	Owned   []string     // directories below which Files is the whole truth: what it does not name is deleted
	Files   mirror.Files // written; also allowed outside of Owned, where nothing else is touched
	Message string
	At      time.Time // author and committer time
}

// Commit builds a commit with the change on top of parent and pushes it, provided that the branch still is
// at parent: otherwise ErrRejected, and nothing was changed. It gives the new commit, or parent itself
// where the change changes nothing; then nothing is sent. An answer that got lost is asked for, so that
// a push that did arrive is not taken for a failed one.
func (r *Repo) Commit(ctx context.Context, parent string, c Change) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	r.network.Lock()
	defer r.network.Unlock()
	b, err := r.build(parent, c)
	if err != nil {
		return "", fmt.Errorf("commit on %s: %w", parent, err)
	}
	if b.commit == b.parent {
		return parent, nil
	}
	if err := r.push(ctx, b); err != nil {
		return "", r.remoteError(ctx, "push to", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != nil && r.damage == nil {
		r.damage = r.moveTo(b.commit)
	}
	return b.commit.String(), nil
}

// built is a commit with the objects that its parent does not have.
type built struct {
	parent, commit plumbing.Hash
	objects        *memory.Storage
	order          []plumbing.Hash
}

func (r *Repo) build(parent string, c Change) (*built, error) {
	edit, err := r.edits(c)
	if err != nil {
		return nil, err
	}
	if c.Message == "" || strings.ContainsRune(c.Message, 0) {
		return nil, errors.New("a commit needs a message without NUL")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id, base, err := r.named(parent)
	if err != nil {
		return nil, err
	}
	b := &built{parent: id, commit: id, objects: memory.NewStorage()}
	root, err := r.apply(b, parent, "", entry{mode: modeTree, id: base.TreeHash}, edit)
	if err != nil {
		return nil, err
	}
	if root == base.TreeHash {
		return b, nil
	}
	if b.commit, err = r.signed(b, root, c); err != nil {
		return nil, err
	}
	// Written before the push: a crash in between leaves objects that nothing names, while the other way
	// round the branch could be at a commit that this clone thinks it has in part.
	for _, id := range b.order {
		if _, err := r.store.SetEncodedObject(b.objects.Objects[id]); err != nil {
			return nil, fmt.Errorf("write to the clone: %w", err)
		}
	}
	return b, nil
}

func (r *Repo) signed(b *built, root plumbing.Hash, c Change) (plumbing.Hash, error) {
	who := object.Signature{Name: r.opts.Author.Name, Email: r.opts.Author.Email, When: c.At}
	commit := object.Commit{Author: who, Committer: who, TreeHash: root, ParentHashes: []plumbing.Hash{b.parent},
		Message: strings.TrimRight(c.Message, "\n") + "\n"}
	if r.opts.Sign != nil {
		o := &plumbing.MemoryObject{}
		if err := commit.EncodeWithoutSignature(o); err != nil {
			return plumbing.ZeroHash, err
		}
		payload, err := bytesOf(o)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if commit.PGPSignature, err = r.opts.Sign.Sign(payload); err != nil {
			return plumbing.ZeroHash, fmt.Errorf("sign: %w", err)
		}
	}
	o := &plumbing.MemoryObject{}
	if err := commit.Encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	return b.add(o), nil
}

func bytesOf(o plumbing.EncodedObject) ([]byte, error) {
	reader, err := o.Reader()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return io.ReadAll(reader)
}

func (b *built) add(o *plumbing.MemoryObject) plumbing.Hash {
	id := o.Hash()
	if _, ok := b.objects.Objects[id]; !ok {
		_, _ = b.objects.SetEncodedObject(o) // a map: it refuses only unknown types
		b.order = append(b.order, id)
	}
	return id
}

func (b *built) put(kind plumbing.ObjectType, body []byte) plumbing.Hash {
	o := &plumbing.MemoryObject{}
	o.SetType(kind)
	_, _ = o.Write(body) // memory
	return b.add(o)
}

// pack encodes the new objects whole: go-git's deltas are not worth their time for what we send.
func (b *built) pack() ([]byte, error) {
	var buf bytes.Buffer
	_, err := packfile.NewEncoder(&buf, b.objects, false).Encode(b.order, 0)
	return buf.Bytes(), err
}

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
