package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/objfile"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// maxTree is the size of one directory listing or commit: well above 20,000 files.
const maxTree = 8 << 20

// sizeError is an object larger than the caller takes.
type sizeError struct{ size, limit int64 }

func (e *sizeError) Error() string {
	return fmt.Sprintf("object of %d bytes, the limit is %d", e.size, e.limit)
}

// object reads one object whole and checks that its bytes are those its id names. The caller holds mu. What
// cannot be read is noted as damage, since everything reachable is in an undamaged clone.
func (r *Repo) object(kind plumbing.ObjectType, id plumbing.Hash, limit int64) (body []byte, err error) {
	if r.store == nil {
		return nil, fmt.Errorf("%w: no clone is open", ErrDamaged)
	}
	defer func() {
		if p := recover(); p != nil { // go-git was seen to panic on a damaged index
			err = fmt.Errorf("unreadable: %v", p)
		}
		var size *sizeError
		if err != nil && !errors.As(err, &size) {
			err = fmt.Errorf("%w: %s %s: %w", ErrDamaged, kind, id, err)
			r.damage = err
		}
	}()
	size, err := r.size(id)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, &sizeError{size, limit}
	}
	o, err := r.store.EncodedObject(kind, id)
	if err != nil {
		return nil, err
	}
	reader, err := o.Reader()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	if body, err = io.ReadAll(io.LimitReader(reader, limit+1)); err != nil {
		return nil, err
	}
	if plumbing.ComputeHash(kind, body) != id {
		return nil, errors.New("its bytes are not what its id names")
	}
	return body, nil
}

// size gives how large an object is. That of a loose one is read here: go-git leaves the file open until the
// garbage collector finds it.
func (r *Repo) size(id plumbing.Hash) (size int64, err error) {
	fs, name := r.store.Filesystem(), id.String()
	loose, err := fs.Open(fs.Join("objects", name[:2], name[2:]))
	if err != nil {
		return r.store.EncodedObjectSize(id)
	}
	defer loose.Close()
	reader, err := objfile.NewReader(loose)
	if err != nil {
		return 0, err
	}
	defer reader.Close()
	_, size, err = reader.Header()
	return size, err
}

func (r *Repo) commit(id plumbing.Hash) (*object.Commit, error) {
	body, err := r.object(plumbing.CommitObject, id, maxTree)
	if err != nil {
		return nil, err
	}
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.CommitObject)
	if _, err := o.Write(body); err != nil {
		return nil, err
	}
	c := &object.Commit{}
	if err := c.Decode(o); err != nil {
		return nil, fmt.Errorf("commit %s: %w", id, err)
	}
	return c, nil
}

// named reads a commit that the caller names. One that is not there is no damage.
func (r *Repo) named(commit string) (plumbing.Hash, *object.Commit, error) {
	id := plumbing.NewHash(commit)
	if id.String() != commit {
		return id, nil, fmt.Errorf("malformed commit id %q", commit)
	}
	if r.store == nil || errors.Is(r.store.HasEncodedObject(id), plumbing.ErrObjectNotFound) {
		return id, nil, fmt.Errorf("%w: %s", ErrUnknownCommit, commit)
	}
	c, err := r.commit(id)
	return id, c, err
}

// Ancestor says whether the commit old is new, or is among the commits that new was built upon. A commit
// that the clone does not hold is no ancestor of one that it does.
func (r *Repo) Ancestor(ctx context.Context, old, new string) (bool, error) {
	want := plumbing.NewHash(old)
	if want.String() != old {
		return false, fmt.Errorf("malformed commit id %q", old)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id, c, err := r.named(new)
	switch {
	case err != nil && (id.String() != new || errors.Is(err, ErrUnknownCommit) || errors.Is(err, ErrDamaged)):
		return false, err
	case id == want:
		return true, nil
	case err != nil:
		return false, nil // as below
	}
	if errors.Is(r.store.HasEncodedObject(want), plumbing.ErrObjectNotFound) {
		return false, nil
	}
	seen := map[plumbing.Hash]bool{}
	queue := c.ParentHashes
	for len(queue) > 0 {
		id, queue = queue[0], queue[1:]
		if id == want {
			return true, nil
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		if err := ctx.Err(); err != nil {
			return false, err
		}
		c, err := r.commit(id)
		if errors.Is(err, ErrDamaged) {
			return false, err
		}
		if err == nil { // else anybody may have pushed it, and nothing is built upon what nobody can read
			queue = append(queue, c.ParentHashes...)
		}
	}
	return false, nil
}

// entry is one line of a tree.
type entry struct {
	mode string // octal, as Git writes it
	name string
	id   plumbing.Hash
}

// The modes that count. Every other is refused.
const (
	modeFile       = "100644"
	modeExecutable = "100755"
	modeGroupWrite = "100664" // written by very old versions of Git
	modeTree       = "40000"
	modeSymlink    = "120000"
	modeGitlink    = "160000"
)

func (e entry) isTree() bool { return e.mode == modeTree }

// sortKey is what Git orders the entries of a tree by.
func (e entry) sortKey() string {
	if e.isTree() {
		return e.name + "/"
	}
	return e.name
}

func (r *Repo) tree(id plumbing.Hash) ([]entry, error) {
	body, err := r.object(plumbing.TreeObject, id, maxTree)
	if err != nil {
		return nil, err
	}
	return parseTree(body)
}

// errTree is a tree that Git itself would not have written.
var errTree = errors.New("malformed tree")

// parseTree reads a tree strictly. Tools differ in which of two entries of one name they show, so a tree
// with such, or out of order, could show a reviewer other files than are read here.
func parseTree(body []byte) ([]entry, error) {
	var entries []entry
	names := map[string]bool{}
	for len(body) > 0 {
		space, zero := bytes.IndexByte(body, ' '), bytes.IndexByte(body, 0)
		if space < 1 || zero < space || len(body) < zero+1+20 {
			return nil, fmt.Errorf("%w: cut off", errTree)
		}
		e := entry{mode: string(body[:space]), name: string(body[space+1 : zero]), id: plumbing.Hash(body[zero+1 : zero+21])}
		if names[e.name] {
			return nil, fmt.Errorf("%w: two entries named %q", errTree, e.name)
		}
		if n := len(entries); n > 0 && entries[n-1].sortKey() >= e.sortKey() {
			return nil, fmt.Errorf("%w: %q is out of order", errTree, e.name)
		}
		names[e.name] = true
		entries = append(entries, e)
		body = body[zero+21:]
	}
	return entries, nil
}

func encodeTree(entries []entry) []byte {
	var b bytes.Buffer
	for _, e := range entries {
		b.WriteString(e.mode + " " + e.name + "\x00")
		b.Write(e.id[:])
	}
	return b.Bytes()
}
