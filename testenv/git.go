package testenv

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
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
	// Now is the clock of people who commit; nil: the real one. Set it before the first commit.
	Now func() time.Time

	dir   string
	front *Server
	next  http.Handler                                                   // speaks Git, to whomever was let in
	moved func(by string)                                                // called when refs may have moved; nil: nobody wants to know
	guard func(r *http.Request, ref plumbing.ReferenceName) error        // says why a push may not move a ref; nil: it may
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
	g.next = next
	g.front, err = NewServerAt(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.User != "" && !basic(r, g.User, g.Password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="testenv"`)
			http.Error(w, "credentials missing or wrong", http.StatusUnauthorized)
			return
		}
		g.answer(w, r)
	}))
	return err
}

// answer speaks Git with somebody who was let in. Whoever wants to know of a push knows it before the client does.
func (g *Git) answer(w http.ResponseWriter, r *http.Request) {
	g.next.ServeHTTP(w, r)
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
		by, _, _ := r.BasicAuth()
		g.tell(by)
	}
}

func (g *Git) tell(by string) {
	if g.moved != nil {
		g.moved(by)
	}
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
	at, err := g.branch(gitBranch)
	if err != nil {
		return ""
	}
	return at.String()
}

// branch gives the commit that a branch is at. It waits for a move that is just being written: a ref that is half there
// looks like none.
func (g *Git) branch(name string) (plumbing.Hash, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ref, err := g.store().Reference(plumbing.NewBranchReferenceName(name))
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("testenv: branch %s: %w", name, err)
	}
	return ref.Hash(), nil
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
			g.tell("")
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
	g.tell("")
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
