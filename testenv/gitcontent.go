package testenv

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// GitCommit is one commit of the log.
type GitCommit struct {
	ID, Message   string
	Author, Email string
	Parents       []string
	Signature     string // armoured; empty when the commit is not signed
}

// Log lists the commits of main by their first parents, newest first.
func (g *Git) Log() ([]GitCommit, error) {
	var log []GitCommit
	store := g.store()
	for id := g.Head(); id != ""; {
		c, err := object.GetCommit(store, plumbing.NewHash(id))
		if err != nil {
			return nil, fmt.Errorf("testenv: log at %s: %w", id, err)
		}
		one := GitCommit{ID: id, Message: c.Message, Author: c.Author.Name, Email: c.Author.Email, Signature: c.PGPSignature}
		for _, p := range c.ParentHashes {
			one.Parents = append(one.Parents, p.String())
		}
		log = append(log, one)
		if id = ""; len(one.Parents) > 0 {
			id = one.Parents[0]
		}
	}
	return log, nil
}

// Files gives all files at a commit or a branch, by path. Somebody may push and have the objects packed while they are
// read: what is missing then is there at the next look.
func (g *Git) Files(revision string) (map[string]string, error) {
	files, err := g.files(revision)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return g.files(revision)
	}
	return files, err
}

func (g *Git) files(revision string) (map[string]string, error) {
	store := g.store()
	if !plumbing.IsHash(revision) {
		at, err := g.branch(revision)
		if err != nil {
			return nil, err
		}
		revision = at.String()
	}
	c, err := object.GetCommit(store, plumbing.NewHash(revision))
	if err != nil {
		return nil, fmt.Errorf("testenv: files at %s: %w", revision, err)
	}
	tree, err := c.Tree()
	if err != nil {
		return nil, fmt.Errorf("testenv: files at %s: %w", revision, err)
	}
	files := map[string]string{}
	err = tree.Files().ForEach(func(f *object.File) error {
		text, err := f.Contents()
		files[f.Name] = text
		return err
	})
	return files, err
}

// GitEntry is one line of a tree. Mode is as Git writes it: 100644, 40000, 120000, 160000.
type GitEntry struct{ Mode, Name, ID string }

// PutBlob stores a file's bytes and gives its object id.
func (g *Git) PutBlob(body string) (string, error) { return g.put(plumbing.BlobObject, []byte(body)) }

// PutTree stores a tree with exactly these entries in this order, however malformed.
func (g *Git) PutTree(entries ...GitEntry) (string, error) {
	var body []byte
	for _, e := range entries {
		id := plumbing.NewHash(e.ID)
		body = append(append(body, e.Mode+" "+e.Name+"\x00"...), id[:]...)
	}
	return g.put(plumbing.TreeObject, body)
}

// PutCommit stores a commit; no branch moves to it.
func (g *Git) PutCommit(message, tree string, parents ...string) (string, error) {
	who := object.Signature{Name: "A Person", Email: "person@fleet.example", When: g.now()}
	return g.putCommit(who, who, message, tree, parents...)
}

func (g *Git) now() time.Time {
	if g.Now != nil {
		return g.Now()
	}
	return time.Now()
}

func (g *Git) putCommit(author, committer object.Signature, message, tree string, parents ...string) (string, error) {
	c := object.Commit{Author: author, Committer: committer, Message: message, TreeHash: plumbing.NewHash(tree)}
	for _, p := range parents {
		c.ParentHashes = append(c.ParentHashes, plumbing.NewHash(p))
	}
	o := &plumbing.MemoryObject{}
	if err := c.Encode(o); err != nil {
		return "", fmt.Errorf("testenv: %w", err)
	}
	id, err := g.store().SetEncodedObject(o)
	if err != nil {
		return "", fmt.Errorf("testenv: %w", err)
	}
	return id.String(), nil
}

func (g *Git) put(kind plumbing.ObjectType, body []byte) (string, error) {
	o := &plumbing.MemoryObject{}
	o.SetType(kind)
	_, _ = o.Write(body) // memory
	id, err := g.store().SetEncodedObject(o)
	if err != nil {
		return "", fmt.Errorf("testenv: %w", err)
	}
	return id.String(), nil
}

// edited gives the tree of a commit with some files written or deleted.
func (g *Git) edited(commit string, files map[string]string) (string, error) {
	all := map[string]GitEntry{} // by full path, without directories
	if commit != "" {
		c, err := object.GetCommit(g.store(), plumbing.NewHash(commit))
		if err != nil {
			return "", err
		}
		if err := g.flatten(c.TreeHash, "", all); err != nil {
			return "", err
		}
	}
	for name, text := range files {
		if text == "" {
			delete(all, name)
			continue
		}
		id, err := g.PutBlob(text)
		if err != nil {
			return "", err
		}
		all[name] = GitEntry{Mode: "100644", ID: id}
	}
	return g.assemble(all)
}

func (g *Git) flatten(tree plumbing.Hash, dir string, into map[string]GitEntry) error {
	t, err := object.GetTree(g.store(), tree)
	if err != nil {
		return err
	}
	for _, e := range t.Entries {
		mode := strings.TrimLeft(e.Mode.String(), "0")
		if mode != "40000" {
			into[dir+e.Name] = GitEntry{Mode: mode, ID: e.Hash.String()}
		} else if err := g.flatten(e.Hash, dir+e.Name+"/", into); err != nil {
			return err
		}
	}
	return nil
}

func (g *Git) assemble(all map[string]GitEntry) (string, error) {
	var entries []GitEntry
	below := map[string]map[string]GitEntry{}
	for name, e := range all {
		dir, rest, ok := strings.Cut(name, "/")
		if !ok {
			entries = append(entries, GitEntry{Mode: e.Mode, Name: name, ID: e.ID})
			continue
		}
		if below[dir] == nil {
			below[dir] = map[string]GitEntry{}
		}
		below[dir][rest] = e
	}
	for dir, inside := range below {
		id, err := g.assemble(inside)
		if err != nil {
			return "", err
		}
		entries = append(entries, GitEntry{Mode: "40000", Name: dir, ID: id})
	}
	key := func(e GitEntry) string { // Git orders a directory as if its name ended in a slash
		if e.Mode == "40000" {
			return e.Name + "/"
		}
		return e.Name
	}
	slices.SortFunc(entries, func(a, b GitEntry) int { return strings.Compare(key(a), key(b)) })
	return g.PutTree(entries...)
}
