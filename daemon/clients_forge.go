package daemon

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/wire"
)

// openForge makes what speaks to the forge; without one configured l.forge stays nil.
func (l *Line) openForge(out *wire.Wire) error {
	if !l.config.HasForge() {
		return nil
	}
	way := out.Impatient()
	if l.offline {
		way = unreachable{}
	}
	var err error
	if l.forge, err = forge.Dial(forgeOptions(l.config, way, l.now)); err != nil {
		return fmt.Errorf("%w: forge: %w", config.ErrConfiguration, err)
	}
	return nil
}

// forgeOptions gives how the forge is reached. Its credential is read at each use, like that of Git, and is not the
// transport's.
func forgeOptions(c config.Config, way http.RoundTripper, now func() time.Time) forge.Options {
	o := forge.Options{Kind: c.Forge.Kind, Branch: c.Git.Branch, HTTP: way, Now: now, Token: text(c.Forge.Token)}
	o.URL, o.Repository = c.ForgePlace()
	if c.Forge.App != (config.ForgeApp{}) {
		key := text(c.Forge.App.Key)
		o.App = &forge.App{ID: c.Forge.App.ID, Installation: c.Forge.App.Installation, Key: func(ctx context.Context) ([]byte, error) {
			pem, err := key(ctx)
			return []byte(pem + "\n"), err
		}}
	}
	return o
}

// forgeHost adds the rules for the host of the forge's API to those of others at the same address.
func forgeHost(c config.Config, hosts map[string]wire.Host) error {
	if !c.HasForge() {
		return nil
	}
	address, _ := c.ForgePlace()
	api, err := forge.API(c.Forge.Kind, address)
	if err != nil {
		return fmt.Errorf("forge.url: %w", err)
	}
	h := hosts[api.Host]
	h.Insecure = h.Insecure || c.Forge.Insecure
	h.CAFiles = append(slices.Clone(h.CAFiles), c.Forge.TLS.CAFiles...)
	if c.Forge.TLS.CertFile != "" {
		h.CertFile, h.KeyFile = c.Forge.TLS.CertFile, c.Forge.TLS.KeyFile
	}
	hosts[api.Host] = h
	return nil
}
