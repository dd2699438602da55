package testenv

import (
	"crypto/rand"
	"slices"
	"time"
)

type forgeUser struct {
	id      int64
	name    string
	token   string
	role    string // read, write or admin
	scopes  []string
	expires time.Time
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

// mayWrite says whether a user may write to the repository.
func (f *Forge) mayWrite(name string) bool {
	u := f.user(name)
	return u != nil && (u.role == "write" || u.role == "admin")
}
