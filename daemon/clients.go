package daemon

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/internal/wire"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/sync/transfer"
)

// openClients makes the one transport and what speaks over it: the registries and Git.
func (l *Line) openClients(ctx context.Context, dir string) error {
	hosts, endpoints, err := hostsOf(l.config)
	if err != nil {
		return err
	}
	out, err := wire.New(wire.Settings{Hosts: hosts, CAFiles: l.config.TLS.CAFiles, UserAgent: "poundlock", Observe: l.observe, Public: true})
	if err != nil {
		return fmt.Errorf("%w: %w", config.ErrConfiguration, err)
	}
	l.onClose(func(context.Context) error { out.Close(); return nil })
	l.registry = registry.New(l.out(out), endpoints)
	l.web = forFiles(l.out(out), l.config)
	if l.teller, err = newTeller(l, l.config, out); err != nil {
		return err
	}
	l.evidence = policy.Cached(l.origins())
	if err := l.openForge(out); err != nil {
		return err
	}
	return l.openGit(ctx, filepath.Join(dir, "git"), out)
}

// hostsOf gives the rules for every host that the configuration names, and where each registry is really asked.
func hostsOf(c config.Config) (map[string]wire.Host, map[string]registry.Endpoint, error) {
	hosts, endpoints := map[string]wire.Host{}, map[string]registry.Endpoint{}
	for _, name := range sortedKeys(c.Registries) {
		r := c.Registries[name]
		u, err := url.Parse(r.URL())
		if err != nil {
			return nil, nil, fmt.Errorf("registries.%s: %w", name, err)
		}
		e := registry.Endpoint{URL: r.URL(), Prefix: r.Prefix}
		if name == config.LocalRegistry {
			e.Prefix = "" // references to the local registry carry the prefix: consumers need it too
		}
		endpoints[r.Host] = e
		hosts[u.Host] = wireHost(r, hosts[u.Host])
	}
	gitHost, err := url.Parse(c.Git.URL)
	if err == nil && gitHost.Host != "" {
		// Git's credential is not the transport's: go-git sends it itself, to the remote and nobody else.
		h := hosts[gitHost.Host]
		h.Insecure = h.Insecure || c.Git.Insecure
		h.CAFiles = append(slices.Clone(h.CAFiles), c.Git.TLS.CAFiles...)
		if c.Git.TLS.CertFile != "" {
			h.CertFile, h.KeyFile = c.Git.TLS.CertFile, c.Git.TLS.KeyFile
		}
		hosts[gitHost.Host] = h
	}
	if err := forgeHost(c, hosts); err != nil {
		return nil, nil, err
	}
	addToldHosts(c, hosts)
	return hosts, endpoints, nil
}

// wireHost gives the rules of a registry's host. Several registries may be behind one pull-through endpoint: what
// one of them says counts for the host.
func wireHost(r config.Registry, h wire.Host) wire.Host {
	h.Insecure = h.Insecure || r.Insecure
	h.CAFiles = append(h.CAFiles, r.TLS.CAFiles...)
	if r.TLS.CertFile != "" {
		h.CertFile, h.KeyFile = r.TLS.CertFile, r.TLS.KeyFile
	}
	h.Realms = append(h.Realms, r.Auth.Realms...)
	h.Redirects = append(h.Redirects, r.Auth.Redirects...)
	h.Concurrency = max(h.Concurrency, r.Limits.Concurrent)
	h.PerSecond = max(h.PerSecond, float64(r.Limits.RequestsPerSecond))
	if c := credentialOf(r); c != nil {
		h.Credential = c
	}
	return h
}

// credentialOf gives what is asked when the host wants to know who we are; nil for anonymous.
func credentialOf(r config.Registry) func(context.Context) (wire.Credential, error) {
	switch {
	case r.Auth.Username != "" || !r.Auth.Token.IsZero():
		return func(context.Context) (c wire.Credential, err error) {
			c.Username = r.Auth.Username
			if c.Password, err = r.Auth.Password.Read(); err != nil {
				return c, err
			}
			c.Token, err = r.Auth.Token.Read()
			return c, err
		}
	case r.Auth.Keychain:
		host := r.Host
		if u, err := url.Parse(r.Endpoint); err == nil && u.Host != "" {
			host = u.Host // where the credential goes, which may be a cache in front of that registry
		}
		ask := registry.Keychain(host)
		return func(ctx context.Context) (wire.Credential, error) {
			user, password, token, err := ask(ctx)
			return wire.Credential{Username: user, Password: wire.Secret(password), Token: wire.Secret(token)}, err
		}
	}
	return nil
}

func (l *Line) openGit(ctx context.Context, dir string, out http.RoundTripper) (err error) {
	options := gitOptions(l.config.Git, dir, out)
	if options.Sign, err = signerOf(l.config.Git.Signing); err != nil {
		return fmt.Errorf("git.signing: %w", err)
	}
	if !l.config.Trust.Fleet.IsZero() {
		options.Keep = l.kept
	}
	if l.git, err = git.Open(ctx, options); err != nil {
		return fmt.Errorf("%w: git: %w", config.ErrConfiguration, err)
	}
	l.onClose(func(context.Context) error { return l.git.Close() })
	return nil
}

// gitOptions gives how the fleet repository is reached, with its clone in dir; commits are not signed.
func gitOptions(g config.GitConfig, dir string, out http.RoundTripper) git.Options {
	options := git.Options{URL: g.URL, Branch: g.Branch, State: g.State(), Path: g.Path, Dir: dir, HTTP: out,
		Author: git.Author{Name: g.Author.Name, Email: g.Author.Email},
		Auth:   git.Auth{Username: g.Auth.Username, Password: text(g.Auth.Password), Token: text(g.Auth.Token), KnownHosts: g.Auth.KnownHosts}}
	if !g.Auth.SSHKey.IsZero() {
		options.Auth.PrivateKey = func(context.Context) ([]byte, error) {
			key, err := g.Auth.SSHKey.Read()
			return []byte(key.Reveal() + "\n"), err
		}
	}
	return options
}

// text gives a function that reads a secret at each use; nil when there is none.
func text(s config.Secret) func(context.Context) (string, error) {
	if s.IsZero() {
		return nil
	}
	return func(context.Context) (string, error) {
		v, err := s.Read()
		return v.Reveal(), err
	}
}

func signerOf(s config.Signing) (git.Signer, error) {
	if s.Format == "" {
		return nil, nil
	}
	key, err := s.Key.Read()
	if err != nil {
		return nil, err
	}
	if s.Format == "ssh" {
		return git.SSHSigner([]byte(key.Reveal() + "\n"))
	}
	return git.OpenPGPSigner([]byte(key.Reveal()))
}

// observe takes note of one request.
func (l *Line) observe(e wire.Event) {
	l.metrics.observe(e)
	l.stir()
}

// stir says that something goes on.
func (l *Line) stir() {
	if l.shared != nil { // else it is tried out
		l.shared.heart.stir()
	}
}

// progressed takes the events of the mover.
func (l *Line) progressed(e transfer.Event) {
	l.copying.take(e)
	l.stir()
	if e.Kind == transfer.BlobMoving {
		return
	}
	l.log.Debug(string(e.Kind), keyRef, e.Image.String(), keyDigest, e.Blob.String(), keyBytes, e.Bytes)
}
