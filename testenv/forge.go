package testenv

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// forgeRepository is the one repository of a Forge: owner and name.
const forgeRepository = "platform/fleet"

// Forge is a small forge over one Git repository: people with tokens propose, review, comment on and merge changes,
// and it tells webhooks of that. It speaks the API of one kind of real forge, so far as a daemon and people of a test
// need it, and serves the repository to the same people, with their tokens as passwords. What is done to it by method
// is what people do on its pages.
type Forge struct {
	// DeleteMerged has the branch of a merged proposal deleted. Set it before the first request.
	DeleteMerged bool

	git   *Git
	kind  string
	front *Server

	mu        sync.Mutex // over all that follows; the lock of the Git server is taken below it
	ids       int64
	users     []*forgeUser
	teams     map[string][]string // members by name
	labels    []forgeLabel
	proposals []*ForgeProposal // number N at N-1
	statuses  map[string][]ForgeStatus
	forks     map[string]string // commits by owner:branch
	protected map[string]protection
	apps      []forgeApp
	seen      map[string]string // commits by branch, as of the last look
	hooks     []forgeHook
	sent      []ForgeDelivery

	sending sync.WaitGroup
}

type forgeLabel struct {
	id   int64
	name string
}

// NewForge puts a forge of a kind (github, gitlab or gitea) over the repository of g, on a free port of 127.0.0.1.
// There is one user, poundlock, who may write.
func NewForge(g *Git, kind string) (*Forge, error) { return NewForgeAt("127.0.0.1:0", g, kind) }

// NewForgeAt is NewForge on the given host:port.
func NewForgeAt(addr string, g *Git, kind string) (*Forge, error) {
	f := &Forge{git: g, kind: kind, teams: map[string][]string{}, statuses: map[string][]ForgeStatus{}, forks: map[string]string{},
		protected: map[string]protection{}, seen: map[string]string{}}
	face, ok := map[string]func(*Forge) http.Handler{"github": githubFace, "gitlab": gitlabFace, "gitea": giteaFace}[kind]
	if !ok {
		return nil, fmt.Errorf("testenv: unknown kind of forge %q", kind)
	}
	f.AddUser(worldUser, false)
	f.seen = f.branches()
	g.moved, g.guard = f.look, f.mayPush
	api := face(f)
	var err error
	f.front, err = NewServerAt(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/"+forgeRepository+".git/"); ok {
			f.serveGit(w, r, rest)
			return
		}
		if !f.servePage(w, r) {
			api.ServeHTTP(w, r)
		}
	}))
	return f, err
}

// Stop ends the forge, once no webhook is on its way any more; the Git server and its repository stay.
func (f *Forge) Stop() {
	f.front.Close()
	f.Settle()
}

// URL gives the address of the forge.
func (f *Forge) URL() string { return f.front.URL() }

// Host gives host:port.
func (f *Forge) Host() string { return f.front.Host() }

// Repository gives owner/name of the repository.
func (f *Forge) Repository() string { return forgeRepository }

// CloneURL gives the address to clone from and to push to, with the name of a user and the token as the password.
func (f *Forge) CloneURL() string { return f.URL() + "/" + forgeRepository + ".git" }

// Kind gives the kind of forge whose API it speaks.
func (f *Forge) Kind() string { return f.kind }

// Git gives the repository below it.
func (f *Forge) Git() *Git { return f.git }

// Proxy gives the wrapper that counts and breaks requests.
func (f *Forge) Proxy() *Proxy { return f.front.Proxy() }

// Requests gives the number of requests to the API so far, refused ones included, and none of those of Git.
func (f *Forge) Requests() int {
	n := 0
	for _, p := range f.Proxy().Counts().Paths {
		if !strings.Contains(p, "/"+forgeRepository+".git/") {
			n++
		}
	}
	return n
}

// Fail has every request from now on judged by fault, as Proxy.Break does; nil ends it.
func (f *Forge) Fail(fault func(*http.Request) *Fault) { f.Proxy().Break(fault) }

// OfPath matches requests of the API whose method is one of the given ("" for any) and whose path ends so.
func OfPath(method, end string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return (method == "" || r.Method == method) && strings.HasSuffix(r.URL.EscapedPath(), end)
	}
}

func (f *Forge) nextID() int64 {
	f.ids++
	return f.ids
}

// now is the clock of the Git server, in whole seconds as most forges tell time. GitLab tells parts of them, which is
// how the order of a push and an approval is known there.
func (f *Forge) now() time.Time {
	if f.kind == "gitlab" {
		return f.git.now().UTC().Truncate(time.Microsecond)
	}
	return f.git.now().UTC().Truncate(time.Second)
}
