package testenv

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// protection is what a protected branch asks for.
type protection struct {
	approvals int
	pushers   []string
}

// Protect lets nobody but pushers move a branch by a push, and asks for approvals before a merge into it.
func (f *Forge) Protect(branch string, approvals int, pushers ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.protected[branch] = protection{approvals, pushers}
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

// branch gives the commit that a branch is at; "" where there is none.
func (f *Forge) branch(name string) string {
	ref, err := f.git.store().Reference(plumbing.NewBranchReferenceName(name))
	if err != nil || ref.Type() != plumbing.HashReference {
		return ""
	}
	return ref.Hash().String()
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
