package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
)

// adviseRegistry is for requests to registries, answered or not.
func (c adviser) adviseRegistry(err error) (mirror.Problem, bool) {
	var e *registry.Error
	if !errors.As(err, &e) {
		return mirror.Problem{}, false
	}
	to := c.peerAt(e.Host, e.Ref.Host)
	if e.Status == 0 {
		if p, ok := c.adviseNetwork(to, e); ok {
			return p, true
		}
		p := c.problem("NET008", to.key, "%s cannot be asked", to.name)
		p.Why, p.Fix = clean(e.Error()), "`poundlock doctor` tells more"
		return p, true
	}
	p := c.adviseStatus(to, e)
	if strings.Contains(e.Op, "referrers") {
		p.Why = strings.TrimPrefix(p.Why+"; without this list no signature is found", "; ")
	}
	return p, true
}

func (c adviser) adviseStatus(to peer, e *registry.Error) mirror.Problem {
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		if isQuota(e) {
			return c.adviseFull(to, e)
		}
		return c.adviseAuth(to, e)
	case http.StatusProxyAuthRequired:
		p := c.problem("NET004", "", "a proxy before %s wants a user and password", to.name)
		p.Fix = "they belong in HTTP_PROXY of the service's environment; or name the host in NO_PROXY"
		return p
	case http.StatusNotFound:
		return c.adviseMissing(to, e)
	case http.StatusTooManyRequests:
		p := c.problem("RATE001", to.key, "%s: too many requests", to.name)
		p.Why, p.Fix = waitWords(e.RetryAfter, e.Until), limitFix(to)
		if e.Rate.Known {
			p.Why = fmt.Sprintf("%d of %d requests are left per %s; ", e.Rate.Remaining, e.Rate.Limit, windowWords(e.Rate.Window)) + p.Why
		}
		return p
	case http.StatusMethodNotAllowed:
		p := c.problem("REG003", to.key, "%s does not %s: 405 for %s%s", to.name, e.Action(), e.Ref, saying(e))
		p.Why = "the registry is read-only, or deleting is switched off"
		p.Fix = "end its maintenance mode, or allow deletes (distribution: REGISTRY_STORAGE_DELETE_ENABLED=true)"
		return p
	case http.StatusInsufficientStorage, http.StatusRequestEntityTooLarge:
		return c.adviseFull(to, e)
	}
	if e.Status >= 500 && isFull(e) {
		return c.adviseFull(to, e)
	}
	if e.Status >= 500 {
		p := c.problem("REG005", to.key, "%s fails: %d %s for %s%s", to.name, e.Status, http.StatusText(e.Status), what(e), saying(e))
		p.Fix = "it is tried again; when it stays, see the log of that registry"
		return p
	}
	if e.Status < 300 {
		p := c.problem("REG006", to.key, "%s does not look like a registry: it answers %s with %d and something else", to.name, what(e), e.Status)
		p.Fix = "check host and endpoint: a web page or a login before the registry may answer there"
		return p
	}
	p := c.problem("REG006", to.key, "%s refuses: %d %s for %s%s", to.name, e.Status, http.StatusText(e.Status), what(e), saying(e))
	p.Fix = "see the log of that registry; `poundlock doctor` tests what it can do"
	return p
}

// adviseAuth names the credential that was tried, what it was tried for, and which key gives it.
func (c adviser) adviseAuth(to peer, e *registry.Error) mirror.Problem {
	key := to.key
	if key != "" {
		key += ".auth"
	}
	want := fmt.Sprintf("%s %s", e.Action(), e.Ref.Name())
	if e.Ref.Repository == "" {
		want = e.Action()
	}
	who := to.who
	nobody := e.Tried.Scheme == "" && !e.Tried.Denied
	switch {
	case strings.Contains(who, "keychain") && nobody:
		who = "the Docker keychain, which has no credential for it, so anonymous"
	case strings.Contains(who, "keychain"):
		who = fmt.Sprintf("the Docker keychain as user %q", e.Tried.User)
	case e.Tried.Scheme == "bearer" && who == asNobody:
		who = "anonymous with a token for anybody"
	}
	var p mirror.Problem
	switch {
	case who == asNobody && e.Status == http.StatusUnauthorized || to.who == asNobody && e.Tried.Denied:
		p = c.problem("AUTH002", key, "%s lets nobody in without a credential: we came as anonymous, to %s", to.name, want)
		p.Fix = "add a credential: " + keyOr(key, "registries.<name>.auth") + ": {username: NAME, password: {file: PATH}}, or keychain: true"
	case e.Status == http.StatusUnauthorized:
		p = c.problem("AUTH001", key, "%s does not accept the credential: tried %s, to %s", to.name, who, want)
		p.Fix = "check the user name and that the password is the current one; it is read anew at each use"
	default:
		p = c.problem("AUTH003", key, "%s does not allow it: tried %s, to %s", to.name, who, want)
		p.Fix = fmt.Sprintf("give that account the right to %s in this repository or project", e.Action())
		if to.who == asNobody {
			p.Fix = "add a credential: " + keyOr(key, "registries.<name>.auth") + "; private and missing repositories look alike to strangers"
		}
	}
	var why []string
	if e.Tried.Realm != "" && e.Tried.Denied {
		why = append(why, "its token server "+e.Tried.Realm+" refuses the credential")
	}
	if e.Tried.Scope != "" {
		why = append(why, "wanted scope: "+e.Tried.Scope)
	}
	if words := saying(e); words != "" {
		why = append(why, "it says"+words)
	}
	p.Why = clean(strings.Join(why, "; "))
	return p
}

func keyOr(key, other string) string {
	if key == "" {
		return other
	}
	return key
}

func (c adviser) adviseMissing(to peer, e *registry.Error) mirror.Problem {
	switch {
	case to.home && e.Action() == "push":
		p := c.problem("REG004", to.key, "%s has no place for %s%s", to.name, e.Ref.Name(), saying(e))
		p.Fix = "create the project or repository there; some registries do not make one at the first push"
		return p
	case strings.Contains(e.Op, "blob") && e.Ref.HasDigest():
		p := c.problem("REG001", "", "%s no longer has a blob of %s: %s", to.name, e.Ref.Name(), e.Ref.Digest)
		p.Why = "a manifest still names it: the registry's storage or its garbage collection is at fault"
		p.Fix = "ask its operator to push the image again, or name another version"
		return p
	case e.Ref.Tag == "" && e.Ref.HasDigest():
		p := c.problem("REG001", "", "%s no longer has %s", to.name, e.Ref)
		p.Why = "upstream deleted it: digests that no tag names are collected as garbage, often days after a rebuild"
		p.Fix = "name a current version in desired/; what is in the local registry already stays and is still served"
		return p
	case e.Ref.Tag != "":
		p := c.problem("REG002", "", "%s has no %s", to.name, e.Ref)
		p.Why = "no such tag or repository, or a private one that strangers do not see"
		p.Fix = "see on the registry's page which tags " + e.Ref.Name() + " has, then correct desired/"
		return p
	}
	p := c.problem("REG002", "", "%s has no repository %s", to.name, e.Ref.Name())
	p.Fix = "check its spelling; private repositories look missing to strangers"
	return p
}

func (c adviser) adviseFull(to peer, e *registry.Error) mirror.Problem {
	p := c.problem("REG008", to.key, "%s has no room for %s: %d %s%s", to.name, e.Ref.Name(), e.Status, http.StatusText(e.Status), saying(e))
	p.Fix = "free space there or raise the quota of the project, or the proxy's limit of a body for 413; it is tried again"
	return p
}

// isQuota says whether a refusal is one of room, not of rights: registries with quotas answer 403 or 413.
func isQuota(e *registry.Error) bool {
	return strings.Contains(strings.ToLower(e.Message), "quota") && e.Action() == "push"
}

func isFull(e *registry.Error) bool {
	text := strings.ToLower(e.Message)
	return e.Action() == "push" && (strings.Contains(text, "no space") || strings.Contains(text, "disk full") || strings.Contains(text, "quota"))
}

func what(e *registry.Error) string {
	if e.Ref.Repository == "" {
		return e.Op
	}
	return e.Op + " " + e.Ref.String()
}

// saying gives the registry's own words, which are clean already.
func saying(e *registry.Error) string {
	switch {
	case e.Message != "" && e.Code != "":
		return fmt.Sprintf(": %s (%s)", e.Message, e.Code)
	case e.Message+e.Code != "":
		return ": " + e.Message + e.Code
	}
	return ""
}

// waitWords says how long a busy host wants to be left alone, and until when by its clock.
func waitWords(wait time.Duration, until time.Time) string {
	if wait <= 0 {
		return "it does not say for how long"
	}
	text := "it asks to wait " + wait.Round(time.Second).String()
	if !until.IsZero() {
		text += ", until " + until.UTC().Format("15:04:05 UTC")
	}
	return text
}

func windowWords(d time.Duration) string {
	if d <= 0 {
		return "window"
	}
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

func limitFix(to peer) string {
	fix := "it is tried again by itself; ask less with " + keyOr(to.key, "registries.<name>") + ".limits.requestsPerSecond"
	if to.who == asNobody {
		fix += ", or log in: accounts are allowed more than strangers"
	}
	return fix
}
