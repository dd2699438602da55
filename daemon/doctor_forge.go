package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/forge"
)

// tokenSoonOver is how long before its end a token is warned of.
const tokenSoonOver = 14 * 24 * time.Hour

// checkForge asks the forge whom our credential is of and what it may not do.
func (d *doctor) checkForge(ctx context.Context) []Check {
	if !d.config.HasForge() {
		return []Check{none("forge", "", "none configured: branches are pushed, and people open the proposals")}
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	_, name := d.config.ForgePlace()
	f, err := forge.Dial(forgeOptions(d.config, d.out.Impatient(), d.now))
	if err != nil {
		return []Check{d.failed("forge", name, fmt.Errorf("%w: forge: %w", config.ErrConfiguration, err))}
	}
	may, err := f.Access(ctx)
	if err != nil {
		return []Check{d.failed("forge", name, err)}
	}
	return []Check{d.checkAccess(name, may), d.checkTold()}
}

func (d *doctor) checkAccess(name string, may forge.Access) Check {
	c := adviser{d.config}
	to := c.forgePeer()
	who := to.who
	if may.User != "" {
		who = may.User + ", " + who
	}
	if len(may.Missing) > 0 {
		p := c.problem("FRG010", "forge", "%s lets us in as %s, and misses %s", to.name, who, strings.Join(may.Missing, "; "))
		p.Why = "proposals, comments and commit statuses are written with it"
		p.Fix = "give it " + forgeRights(d.config.Forge)
		return Check{Group: "forge", Name: name, State: CheckFailed, Detail: p.What, Problem: &p}
	}
	if left := may.Expires.Sub(d.now()); !may.Expires.IsZero() && left < tokenSoonOver {
		p := c.problem("FRG011", "forge", "the token for %s expires on %s", to.name, may.Expires.UTC().Format("2006-01-02"))
		p.Why, p.Fix = "no proposal is opened and no approval is seen after that", "make a new one and put it in its place; it is read anew at each use"
		return d.warned("forge", name, p)
	}
	ends := ""
	if !may.Expires.IsZero() {
		ends = ", until " + may.Expires.UTC().Format("2006-01-02")
	}
	return ok("forge", name, "%s at %s as %s: proposals, comments, statuses%s", name, strings.TrimPrefix(to.name, "forge "), who, ends)
}

// checkTold says how news come from the forge: by a webhook, or by asking.
func (d *doctor) checkTold() Check {
	for _, key := range sortedKeys(d.config.Webhooks.Receivers) {
		if d.config.Webhooks.Receivers[key].Kind == d.config.Forge.Kind {
			return ok("forge", "webhooks", "its webhooks are taken at /hooks/%s", key)
		}
	}
	return none("forge", "webhooks", "no webhook is taken from it: proposals are looked at every %s (forge.poll); webhooks.receivers shortens that", d.config.Forge.Poll)
}
