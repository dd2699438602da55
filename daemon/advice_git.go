package daemon

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

// gitPeer is the Git server.
func (c adviser) gitPeer() peer {
	return peer{name: "Git server " + gitHost(c.Git.URL), key: "git", who: gitWho(c.Git), ca: slices.Concat(c.TLS.CAFiles, c.Git.TLS.CAFiles)}
}

// gitHost gives the host of a Git address, the address itself for a path.
func gitHost(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	if host, _, ok := strings.Cut(address, ":"); ok && !strings.HasPrefix(address, "/") {
		return host[strings.LastIndex(host, "@")+1:]
	}
	return address
}

// adviseGit is for exchanges with the Git server.
func (c adviser) adviseGit(err error) (mirror.Problem, bool) {
	var e *git.Error
	if !errors.As(err, &e) {
		return mirror.Problem{}, false
	}
	to, branch := c.gitPeer(), c.Git.Branch
	action := "read"
	if strings.Contains(e.Op, "push") {
		action = "push"
	}
	cause := clean(errors.Unwrap(e).Error())
	switch {
	case errors.Is(e, git.ErrUnauthorized) && to.who == asNobody:
		p := c.problem("AUTH005", "git.auth", "%s lets nobody %s without a credential: we came as anonymous", to.name, action)
		p.Fix = "add a credential: git.auth.token: {file: PATH}, or username and password, or for ssh sshKey"
		return p, true
	case errors.Is(e, git.ErrUnauthorized):
		p := c.problem("AUTH004", "git.auth", "%s does not let us %s: tried %s", to.name, action, to.who)
		p.Why = cause
		p.Fix = "check that it is the current one, and that it has the right to read and write contents of " + pathOf(c.Git.URL)
		return p, true
	case errors.Is(e, git.ErrHostKey):
		p := c.problem("GIT020", "git.auth.knownHosts", "%s", cause)
		p.Why = "the file is " + c.Git.Auth.KnownHosts + "; a key is never accepted at first sight"
		p.Fix = "get the right key from who runs the server, compare it with `ssh-keyscan " + plainName(sshName(c.Git.URL)) + "`, and add that line to the file"
		return p, true
	case errors.Is(e, git.ErrNoBranch):
		p := c.problem("GIT021", "git.branch", "the fleet repository %s has no branch %q", e.Remote, branch)
		p.Fix = "set git.branch to one that it has, or push a first commit: `git switch -c " + branchWord(branch) + "`, `git commit --allow-empty -m \"Begin the fleet repository\"`, `git push -u origin HEAD`"
		return p, true
	case errors.Is(e, mirror.ErrNotFound):
		p := c.problem("GIT022", "git.url", "%s has no repository %s, or does not show it to us: tried %s", to.name, pathOf(e.Remote), to.who)
		p.Why = cause
		p.Fix = "check git.url, and the rights of the credential: forges answer 404 for what one may not see"
		return p, true
	case errors.Is(e, git.ErrPushRefused):
		return c.adviseRefusedPush(to.name, cmp.Or(e.Branch, branch), cause), true
	case errors.Is(e, git.ErrRejected):
		p := c.problem("GIT024", "", "branch %q moved while we worked: %s", branch, cause)
		p.Fix = "nothing to do: the next run begins from the new head"
		return p, true
	case e.Status == http.StatusTooManyRequests:
		p := c.problem("RATE001", "git.poll", "%s: too many requests", to.name)
		p.Why, p.Fix = waitWords(e.RetryAfter, e.Until), "it is tried again by itself; ask less often with git.poll"
		return p, true
	case e.Status == http.StatusProxyAuthRequired:
		p := c.problem("NET004", "", "a proxy before %s wants a user and password", to.name)
		p.Fix = "they belong in HTTPS_PROXY of the service's environment; or name the host in NO_PROXY"
		return p, true
	}
	if p, ok := c.adviseNetwork(to, e); ok {
		return p, true
	}
	p := c.problem("GIT025", "git", "%s: %s", to.name, cause)
	p.Fix = "see the log of the Git server; `poundlock doctor` tells more"
	if e.Temporary() {
		p.Fix = "it is tried again by itself; when it stays, see the log of the Git server"
	}
	return p, true
}

// adviseRefusedPush is for a branch that does not take our commits.
func (c adviser) adviseRefusedPush(server, at, cause string) mirror.Problem {
	state := c.Git.State()
	field := "git.branch"
	if at == state {
		field = "git.stateBranch"
	}
	p := c.problem("GIT023", field, "%s does not take our commit on %q: %s", server, at, cause)
	p.Why = "a protected branch or a hook says no"
	switch {
	case at == state:
		p.Why += "; images and tags are as they should be, the record waits"
		p.Fix = "let the account of poundlock push to this branch, or set git.stateBranch to one that it may push to"
	case at == c.Git.Branch && state == "":
		p.Why += "; images and tags are as they should be, the record waits"
		p.Fix = "let the account of poundlock push to this branch, or set git.stateBranch: the record goes there, and this branch stays protected"
	case at == c.Git.Branch:
		p.Fix = "let the account of poundlock push to this branch, or have promotions proposed: `auto: propose`, `promote --pr`"
	default:
		p.Fix = "let the account of poundlock push to branches such as this one"
	}
	return p
}

// branchWord gives a branch only when it can stand in a command as it is.
func branchWord(name string) string {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-") != "" {
		return "BRANCH"
	}
	return name
}

// pathOf gives the repository of a Git address, for words.
func pathOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return strings.Trim(u.Path, "/")
	}
	if _, path, ok := strings.Cut(address, ":"); ok && !strings.HasPrefix(address, "/") {
		return path
	}
	return address
}

// sshName gives the host name without its port.
func sshName(address string) string {
	host := gitHost(address)
	if name, _, ok := strings.Cut(host, ":"); ok {
		return name
	}
	return host
}
