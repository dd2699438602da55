package daemon

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
)

// checkEPR looks at what serving channels of packages needs: a certificate, and channels in the local registry.
func (d *doctor) checkEPR(ctx context.Context) []Check {
	if len(d.config.EPR.Listen)+len(d.config.EPR.Ports) == 0 {
		return nil
	}
	checks := d.checkShown()
	if d.registry == nil {
		return checks // of a machine on which nothing is installed yet
	}
	local := d.config.Registries[config.LocalRegistry]
	at := epr.CatalogIn(local.Host, local.Prefix)
	tagged, err := d.registry.Resolve(ctx, at)
	var names []epr.Name
	if err == nil {
		names, err = epr.ReadCatalog(ctx, d.registry, at.WithDigest(tagged.Digest))
	}
	_, ran := os.Stat(d.config.StateDir)
	switch {
	case errors.Is(err, mirror.ErrNotFound) && errors.Is(ran, fs.ErrNotExist):
		return append(checks, none("target", "channels", "no channel of packages was written yet: nothing ran here"))
	case errors.Is(err, mirror.ErrNotFound):
		p := adviser{d.config}.problem("EPR015", "epr", "%s: no channel of packages was written yet", at)
		p.Fix = "let the daemon run once on a fleet with a set of packages, and compare host and prefix of registries.local"
		return append(checks, Check{Group: "target", Name: "channels", State: CheckWarning, Detail: p.What, Problem: &p})
	case err != nil:
		return append(checks, d.failed("target", "channels", err))
	}
	known := map[epr.Name]bool{}
	for _, n := range names {
		known[n] = true
	}
	for _, strange := range strangers(d.config.EPR, known) {
		p := adviser{d.config}.problem("EPR019", "epr.ports", "epr.ports names the channel %s, which the fleet does not have: nothing is answered at its port", strange)
		p.Fix = mirror.Clean(meant(strange, textsOf(names), "there are "))
		checks = append(checks, Check{Group: "target", Name: "epr.ports", State: CheckWarning, Detail: p.What, Problem: &p})
	}
	return append(checks, ok("target", "channels", "%s of packages", count(len(names), "channel")))
}

// checkShown reads the certificate that servers of channels show.
func (d *doctor) checkShown() []Check {
	c, err := certificateOf(d.config)
	if problems := (mirror.Problems)(nil); errors.As(err, &problems) {
		return []Check{{Group: "config", Name: "epr.tls", State: CheckFailed, Detail: problems[0].What, Problem: &problems[0]}}
	}
	if c == nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(c.shown.Certificate[0])
	if err != nil {
		return []Check{d.failed("config", "epr.tls", err)}
	}
	until := leaf.NotAfter.UTC().Format(time.DateOnly)
	if left := leaf.NotAfter.Sub(d.now()); left < soonOver {
		p := adviser{d.config}.problem("EPR016", "epr.tls.certFile", "the certificate of epr.tls is good until %s", until)
		p.Fix = "renew it: it is shown as soon as its files are whole"
		return []Check{{Group: "config", Name: "epr.tls", State: CheckWarning, Detail: p.What, Problem: &p}}
	}
	return []Check{ok("config", "epr.tls", "%s, until %s", mirror.Clean(leaf.Subject.String()), until)}
}
