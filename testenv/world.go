package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// WorldSite names the site of every World, and so the folder below rendered/.
const WorldSite = "demo"

// The accounts of a World's Git server. The password is no secret: it guards a server on loopback.
const (
	worldUser     = "poundlock"
	worldPassword = "demo-password"
)

// WorldPerson is somebody at the forge of a World who reviews and merges.
const WorldPerson = "alice"

// WorldOptions vary a World; the zero value is the demo's.
type WorldOptions struct {
	LocalAddr string // host:port of the local registry; empty takes a free port
	Gitea     *Gitea // holds the fleet repository, in place of Git and Forge, which then are nil; it is not ours to stop
	Packages  bool   // a package registry upstream, and a set of its packages
}

// World is everything outside the daemon: upstream registries, an empty local one, and a Git server and a forge with a
// fleet repository that holds an ESS release, a list of tools and a group of nodes.
type World struct {
	Upstream *Registry // stands for all upstream hosts: docker.io/library/nginx lies at docker.io/library/nginx
	Local    *Registry
	Git      *Git
	Forge    *Forge  // over the same repository, of the kind gitea
	Gitea    *Gitea  // the real one that holds the fleet repository, where the options gave it
	Vendor   *Signer // desired/keys/vendor.pub
	EPR      *EPR    // stands for epr.elastic.co, where the options asked for packages

	channels string // host:port at which the daemon answers for the channels
	dir      string
	own      bool // dir is ours to remove
	release  int
	moves    int
	files    map[string]string // what was committed last
	mu       sync.Mutex
}

// NewWorld makes a world below dir and starts its servers; an empty dir takes a temporary one, which Close
// removes. It needs no network, no git binary and no rights.
func NewWorld(ctx context.Context, dir string, opts WorldOptions) (_ *World, err error) {
	w := &World{dir: dir, release: 1, files: map[string]string{}}
	defer func() {
		if err != nil {
			w.Close()
			err = fmt.Errorf("make a world: %w", err)
		}
	}()
	if dir == "" {
		if w.dir, err = os.MkdirTemp("", "poundlock-demo-"); err != nil {
			return nil, err
		}
		w.own = true
	}
	if w.Vendor, err = NewSigner("p256"); err != nil {
		return nil, err
	}
	if err = w.start(opts); err != nil {
		return nil, err
	}
	if err = w.writeSecrets(); err != nil {
		return nil, err
	}
	if err = w.pushTools(ctx); err != nil {
		return nil, err
	}
	if err = w.pushRelease(ctx); err != nil {
		return nil, err
	}
	w.files["desired/ess.yaml"] = essSet
	w.files["desired/tools.yaml"] = toolsSet
	w.files["desired/tools/images.txt"] = toolsList()
	w.files["desired/consumers/workers.yaml"] = workersConsumer
	w.files["desired/policy.yaml"] = w.policy()
	w.files["desired/keys/vendor.pub"] = w.Vendor.PublicPEM()
	const message = "The fleet: an ESS release, tools, and who vouches for them"
	if w.Gitea != nil {
		_, err = w.Gitea.Push(ctx, worldUser, gitBranch, message, w.files)
		return w, err
	}
	_, err = w.Git.Commit(ctx, message, w.files)
	return w, err
}

func (w *World) start(opts WorldOptions) (err error) {
	if w.Upstream, err = NewRegistry(""); err != nil {
		return err
	}
	local := opts.LocalAddr
	if local == "" {
		local = "127.0.0.1:0"
	}
	if w.Local, err = NewRegistryAt(local, filepath.Join(w.dir, "registry")); err != nil {
		return err
	}
	if opts.Packages {
		if err := w.startPackages(); err != nil {
			return err
		}
	}
	if w.Gitea = opts.Gitea; w.Gitea != nil {
		return nil
	}
	git, err := NewGit(filepath.Join(w.dir, "fleet.git"))
	if err != nil {
		return err
	}
	git.User, git.Password = worldUser, worldPassword
	w.Git = git
	if w.Forge, err = NewForge(git, "gitea"); err != nil {
		return err
	}
	w.Forge.AddUser(WorldPerson, true)
	return nil
}

// Close stops every server, and removes the directory if NewWorld made it.
func (w *World) Close() {
	if w.Upstream != nil {
		w.Upstream.Close()
	}
	if w.Local != nil {
		w.Local.Close()
	}
	if w.EPR != nil {
		w.EPR.Close()
	}
	if w.Forge != nil {
		w.Forge.Stop()
	}
	if w.Git != nil {
		w.Git.Close()
	}
	if w.own {
		_ = os.RemoveAll(w.dir) // a temporary directory that cannot be removed is the system's to clean
	}
}

// CloneURL gives the address of the fleet repository with its account, for a person's git. The password
// guards a throw-away server on loopback.
func (w *World) CloneURL() string {
	return strings.Replace(w.Git.URL(), "://", "://"+worldUser+":"+worldPassword+"@", 1)
}

// Dir gives the directory of the world; state/ in it is the daemon's.
func (w *World) Dir() string { return w.dir }
