package testenv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
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

type forgeUser struct {
	id      int64
	name    string
	token   string
	role    string // read, write or admin
	scopes  []string
	expires time.Time
}

type forgeLabel struct {
	id   int64
	name string
}

// protection is what a protected branch asks for.
type protection struct {
	approvals int
	pushers   []string
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
		api.ServeHTTP(w, r)
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

// AddUser makes a user who may write to the repository, or do all with it, and gives the token. A user who is there
// keeps the token.
func (f *Forge) AddUser(name string, admin bool) string {
	role := "write"
	if admin {
		role = "admin"
	}
	return f.SetRole(name, role)
}

// SetRole says what a user may do with the repository: none, read, write or admin. A user who is not there is made.
func (f *Forge) SetRole(name, role string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.user(name)
	if u == nil {
		u = &forgeUser{id: f.nextID(), name: name, token: "token-" + name + "-" + rand.Text()}
		f.users = append(f.users, u)
	}
	u.role = role
	return u.token
}

// Token gives the token of a user; empty when there is none.
func (f *Forge) Token(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.user(name); u != nil {
		return u.token
	}
	return ""
}

// SetScopes narrows what the token of a user may do, in the words of the kind of forge, and says when it expires; zero
// for never.
func (f *Forge) SetScopes(name string, expires time.Time, scopes ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.user(name); u != nil {
		u.scopes, u.expires = scopes, expires
	}
}

// SetTeam says who is in a team of the owner of the repository. Its whole name is platform/<name>.
func (f *Forge) SetTeam(name string, members ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.teams[name] = members
}

// Protect lets nobody but pushers move a branch by a push, and asks for approvals before a merge into it.
func (f *Forge) Protect(branch string, approvals int, pushers ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.protected[branch] = protection{approvals, pushers}
}

func (f *Forge) user(name string) *forgeUser {
	if i := slices.IndexFunc(f.users, func(u *forgeUser) bool { return u.name == name }); i >= 0 {
		return f.users[i]
	}
	return nil
}

func (f *Forge) byToken(token string) *forgeUser {
	if app := f.appOf(token); app != "" {
		return f.user(app)
	}
	i := slices.IndexFunc(f.users, func(u *forgeUser) bool { return u.token == token })
	if i < 0 || !f.users[i].expires.IsZero() && f.now().After(f.users[i].expires) {
		return nil
	}
	return f.users[i]
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

// serveGit serves the repository to users of the forge.
func (f *Forge) serveGit(w http.ResponseWriter, r *http.Request, rest string) {
	name, password, _ := r.BasicAuth()
	f.mu.Lock()
	u := f.byToken(password)
	f.mu.Unlock()
	if u == nil || f.kind == "gitea" && u.name != name && name != "oauth2" {
		w.Header().Set("WWW-Authenticate", `Basic realm="testenv"`)
		http.Error(w, "credentials missing or wrong", http.StatusUnauthorized)
		return
	}
	r = r.Clone(context.WithValue(r.Context(), pusher{}, u.name))
	r.SetBasicAuth(u.name, "")
	r.URL.Path = gitPath + "/" + rest
	r.URL.RawPath = ""
	f.git.answer(w, r)
}

// pusher keys the name of whom the forge let in to Git.
type pusher struct{}

// mayPush is the forge's word before a push moves a ref. Pushes at the Git server itself are nobody's.
func (f *Forge) mayPush(r *http.Request, ref plumbing.ReferenceName) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	name, _ := r.Context().Value(pusher{}).(string)
	if !ref.IsBranch() && !ref.IsTag() {
		return errors.New("deny updating a hidden ref")
	}
	if u := f.user(name); u != nil && u.role != "write" && u.role != "admin" {
		return errors.New("pre-receive hook declined: you are not allowed to push")
	}
	if p, ok := f.protected[ref.Short()]; ok && ref.IsBranch() && !slices.Contains(p.pushers, name) {
		return errors.New("protected branch hook declined")
	}
	return nil
}

// branches gives the commits that the branches are at.
func (f *Forge) branches() map[string]string {
	at := map[string]string{}
	refs, err := f.git.store().IterReferences()
	if err != nil {
		return at
	}
	_ = refs.ForEach(func(ref *plumbing.Reference) error { // never fails
		if ref.Name().IsBranch() && ref.Type() == plumbing.HashReference {
			at[ref.Name().Short()] = ref.Hash().String()
		}
		return nil
	})
	return at
}
