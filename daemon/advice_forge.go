package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
)

// forgePeer is the forge.
func (c adviser) forgePeer() peer {
	address, _ := c.ForgePlace()
	host := address
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		host = u.Host
	}
	return peer{name: "forge " + host, key: "forge", who: forgeWho(c.Forge), ca: slices.Concat(c.TLS.CAFiles, c.Forge.TLS.CAFiles)}
}

// forgeWho says in words which credential the forge gets, and where it comes from.
func forgeWho(f config.ForgeConfig) string {
	if f.App != (config.ForgeApp{}) {
		return fmt.Sprintf("the app %d with the key of %s", f.App.ID, f.App.Key)
	}
	return "the token of " + f.Token.String()
}

// forgeRights says what a credential needs, in the words of a kind of forge.
func forgeRights(f config.ForgeConfig) string {
	switch {
	case f.App != (config.ForgeApp{}):
		return "the permissions Contents, Pull requests and Commit statuses: read and write, and Members: read for teams in CODEOWNERS"
	case f.Kind == "github":
		return "the scope repo; a fine-grained one Contents, Pull requests and Commit statuses: read and write"
	case f.Kind == "gitlab":
		return "the scope api, and the role Developer in the project"
	}
	return "the scopes read:user, write:repository and write:issue, and read:organization for teams in CODEOWNERS"
}

// adviseForge is for exchanges with the forge.
func (c adviser) adviseForge(err error) (mirror.Problem, bool) {
	var e *forge.Error
	if !errors.As(err, &e) {
		return mirror.Problem{}, false
	}
	to := c.forgePeer()
	_, repository := c.ForgePlace()
	var limited *forge.LimitedError
	switch {
	case errors.As(e, &limited):
		p := c.problem("FRG004", "forge.poll", "%s wants to be asked later, from %s", to.name, limited.Until.UTC().Format("15:04:05 UTC"))
		p.Why, p.Fix = "it counts requests; nothing is sent to it until then, and what stands is not touched by that", "nothing to do; ask less often with forge.poll, and let webhooks tell of changes"
		return p, true
	case errors.Is(e, forge.ErrKey):
		p := c.problem("FRG009", "forge.app.key", "%s", e.Err)
		p.Fix = "put the file in place that the settings of the app give as its private key; PEM, RSA"
		return p, true
	case e.Status == http.StatusUnauthorized:
		p := c.problem("FRG001", "forge", "%s does not let us in: tried %s", to.name, to.who)
		p.Why = clean(e.Error())
		p.Fix = "check that it is the current one and has not expired; it needs " + forgeRights(c.Forge)
		return p, true
	case e.Status == http.StatusForbidden:
		p := c.problem("FRG002", "forge", "%s: %s may not %s", to.name, to.who, orElse(e.Step, "do that"))
		p.Why = clean(e.Error())
		p.Fix = "give it " + forgeRights(c.Forge)
		return p, true
	case errors.Is(e, forge.ErrNotFound) && e.Step != forge.StepSelf:
		p := c.problem("FRG003", "forge.repository", "%s has no such thing, or does not show it to us: %s", to.name, orElse(e.Step, "read "+repository))
		p.Why = clean(fmt.Sprintf("asked about %s with %s", repository, to.who))
		p.Fix = "check forge.repository, and the rights of the credential: forges answer 404 for what one may not see"
		return p, true
	case errors.Is(e, forge.ErrMoved):
		p := c.problem("FRG008", "forge.url", "%s sends us elsewhere %s", to.name, e.Message)
		p.Why, p.Fix = "the credential goes to no other host, and a write is not repeated at another address", "put the new address into forge.url, or the new name into forge.repository"
		return p, true
	case errors.Is(e, forge.ErrAnswer), errors.Is(e, forge.ErrTooMany), errors.Is(e, forge.ErrNotFound): // not even who we are
		p := c.problem("FRG007", "forge.kind", "%s answers, but not as %s does", to.name, c.Forge.Kind)
		p.Why = clean(e.Error())
		p.Fix = "check forge.kind and forge.url; a page to log in, of a proxy or of the forge, looks like this too"
		return p, true
	case e.Status >= http.StatusInternalServerError:
		p := c.problem("FRG005", "forge", "%s is in trouble: %s", to.name, e)
		p.Fix = "it is tried again by itself; when it stays, see the log of the forge"
		return p, true
	case e.Status != 0:
		p := c.problem("FRG006", "forge", "%s refuses: %s", to.name, e)
		p.Fix = "its own words say why; a rule of the repository may forbid it"
		return p, true
	}
	if p, ok := c.adviseSecret(e); ok {
		return p, true
	}
	return c.adviseNetwork(to, e)
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
