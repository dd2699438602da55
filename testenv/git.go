package testenv

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	gitPath   = "/fleet.git" // where the repository is served
	gitBranch = "main"
)

// Git is a Git server over smart HTTP with one repository, whose head is the branch main. It needs no git
// binary, and clients of any kind may clone from it and push to it. A push names the old and the new
// commit, and the old one is compared under a lock: of two pushes from one head exactly one wins.
type Git struct {
	// User and Password are asked for, as HTTP Basic, when User is set. Set them before the first request.
	User, Password string

	dir   string
	front *Server
	move  func(ref plumbing.ReferenceName, from, to plumbing.Hash) error // compare and swap

	mu sync.Mutex // held while a ref is compared and moved
}

// NewGit serves the bare repository in dir, made when there is none, on a free port of 127.0.0.1.
func NewGit(dir string) (*Git, error) { return NewGitAt("127.0.0.1:0", dir) }

// NewGitAt serves the repository in dir on the given host:port.
func NewGitAt(addr, dir string) (*Git, error) {
	g := &Git{dir: dir}
	g.move = g.compareAndSwap
	return g, g.start(addr, http.HandlerFunc(g.serve))
}

func (g *Git) start(addr string, next http.Handler) (err error) {
	if g.dir, err = filepath.Abs(g.dir); err != nil {
		return fmt.Errorf("testenv: %w", err)
	}
	_, err = gogit.InitWithOptions(g.store(), nil, gogit.InitOptions{DefaultBranch: plumbing.NewBranchReferenceName(gitBranch)})
	if err != nil && !errors.Is(err, gogit.ErrRepositoryAlreadyExists) {
		return fmt.Errorf("testenv: init %s: %w", g.dir, err)
	}
	g.front, err = NewServerAt(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.User != "" && !basic(r, g.User, g.Password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="testenv"`)
			http.Error(w, "credentials missing or wrong", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	}))
	return err
}

// store opens the repository anew, so that no request sees another's half-read state.
func (g *Git) store() *filesystem.Storage {
	return filesystem.NewStorage(osfs.New(g.dir, osfs.WithBoundOS()), cache.NewObjectLRU(8*cache.MiByte))
}

// URL gives the address to clone from, without credentials.
func (g *Git) URL() string { return g.front.URL() + gitPath }

// Host gives host:port.
func (g *Git) Host() string { return g.front.Host() }

// Dir gives the bare repository, as a local path to use as a remote.
func (g *Git) Dir() string { return g.dir }

// Proxy gives the wrapper that counts and breaks requests.
func (g *Git) Proxy() *Proxy { return g.front.Proxy() }

// Requests gives the number of requests so far, refused ones included.
func (g *Git) Requests() int { return g.Proxy().Counts().Total() }

// Close cuts all connections; the repository stays in its directory.
func (g *Git) Close() { g.front.Close() }

// Head gives the commit that main is at; empty when there is none yet.
func (g *Git) Head() string {
	ref, err := g.store().Reference(plumbing.NewBranchReferenceName(gitBranch))
	if err != nil {
		return ""
	}
	return ref.Hash().String()
}

// Commit commits to main on the server itself, as if someone had pushed. files are by path; an empty text
// deletes the file, and others stay as they are.
func (g *Git) Commit(ctx context.Context, message string, files map[string]string) (string, error) {
	for {
		head := g.Head()
		tree, err := g.edited(head, files)
		if err != nil {
			return "", fmt.Errorf("testenv: commit: %w", err)
		}
		var parents []string
		if head != "" {
			parents = []string{head}
		}
		id, err := g.PutCommit(message, tree, parents...)
		if err != nil {
			return "", err
		}
		err = g.move(plumbing.NewBranchReferenceName(gitBranch), plumbing.NewHash(head), plumbing.NewHash(id))
		if err == nil {
			return id, nil
		}
		if !errors.Is(err, errMoved) || ctx.Err() != nil {
			return "", fmt.Errorf("testenv: commit: %w", errors.Join(err, ctx.Err()))
		}
	}
}

// Point moves a branch to any commit, whatever it is at, as a force push does; an empty commit deletes the
// branch.
func (g *Git) Point(branch, commit string) error {
	name := plumbing.NewBranchReferenceName(branch)
	from := plumbing.ZeroHash
	if ref, err := g.store().Reference(name); err == nil {
		from = ref.Hash()
	}
	if err := g.move(name, from, plumbing.NewHash(commit)); err != nil {
		return fmt.Errorf("testenv: point %s: %w", branch, err)
	}
	return nil
}

// errMoved says that a ref is not where it was thought to be.
var errMoved = errors.New("the ref has moved")

func (g *Git) compareAndSwap(name plumbing.ReferenceName, from, to plumbing.Hash) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	store, at := g.store(), plumbing.ZeroHash
	switch ref, err := store.Reference(name); {
	case err == nil:
		at = ref.Hash()
	case !errors.Is(err, plumbing.ErrReferenceNotFound):
		return err
	}
	if at != from {
		return errMoved
	}
	if to.IsZero() {
		return store.RemoveReference(name)
	}
	return store.SetReference(plumbing.NewHashReference(name, to))
}

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

// Files gives all files at a commit or a branch, by path.
func (g *Git) Files(revision string) (map[string]string, error) {
	store := g.store()
	if ref, err := store.Reference(plumbing.NewBranchReferenceName(revision)); err == nil {
		revision = ref.Hash().String()
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
	who := object.Signature{Name: "A Person", Email: "person@fleet.example", When: time.Now()}
	c := object.Commit{Author: who, Committer: who, Message: message, TreeHash: plumbing.NewHash(tree)}
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
