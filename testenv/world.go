package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
)

// WorldSite names the site of every World, and so the folder below rendered/.
const WorldSite = "demo"

// The accounts of a World's Git server. The password is no secret: it guards a server on loopback.
const (
	worldUser     = "poundlock"
	worldPassword = "demo-password"
)

// WorldOptions vary a World; the zero value is the demo's.
type WorldOptions struct {
	LocalAddr string // host:port of the local registry; empty takes a free port
}

// World is everything outside the daemon: upstream registries, an empty local one, and a Git server with a
// fleet repository that holds an ESS release and a list of tools.
type World struct {
	Upstream *Registry // stands for all upstream hosts: docker.io/library/nginx lies at docker.io/library/nginx
	Local    *Registry
	Git      *Git
	Vendor   *Signer // desired/keys/vendor.pub

	dir     string
	own     bool // dir is ours to remove
	release int
	moves   int
	files   map[string]string // what was committed last
	mu      sync.Mutex
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
	if err = os.WriteFile(w.passwordFile(), []byte(worldPassword+"\n"), 0o600); err != nil {
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
	w.files["desired/policy.yaml"] = worldPolicy
	w.files["desired/keys/vendor.pub"] = w.Vendor.PublicPEM()
	_, err = w.Git.Commit(ctx, "The fleet: an ESS release, tools, and who vouches for them", w.files)
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
	git, err := NewGit(filepath.Join(w.dir, "fleet.git"))
	if err != nil {
		return err
	}
	git.User, git.Password = worldUser, worldPassword
	w.Git = git
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
	if w.Git != nil {
		w.Git.Close()
	}
	if w.own {
		_ = os.RemoveAll(w.dir) // a temporary directory that cannot be removed is the system's to clean
	}
}

// Dir gives the directory of the world; state/ in it is the daemon's.
func (w *World) Dir() string { return w.dir }

func (w *World) passwordFile() string { return filepath.Join(w.dir, "git-password") }

// ConfigYAML gives the daemon's configuration for this world.
func (w *World) ConfigYAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
site: %s
stateDir: %q
git:
  url: %s
  branch: main
  poll: 2s
  insecure: true
  auth: {username: %s, password: {file: %q}}
  author: {name: Poundlock, email: poundlock@demo.example}
schedule: "@every 15m"
listen: 127.0.0.1:0
registries:
  local: {host: %q, insecure: true}
`, WorldSite, filepath.Join(w.dir, "state"), w.Git.URL(), worldUser, w.passwordFile(), w.Local.Host())
	for _, u := range worldHosts {
		fmt.Fprintf(&b, "  %s: {host: %s, endpoint: %q, prefix: %s, insecure: true}\n", u.name, u.host, w.Upstream.URL(), u.host)
	}
	return b.String()
}

// worldHosts are the registries that the upstream of a World stands for.
var worldHosts = []struct{ name, host string }{
	{"dockerhub", "docker.io"},
	{"ems", "gitlab-registry.matrix.org"},
	{"github", "ghcr.io"},
	{"quay", "quay.io"},
}

// Promote makes every line of the stage below stand in the stage file of set, by a commit as a person would
// make it, and gives that commit. The stage below must have something standing.
func (w *World) Promote(ctx context.Context, set, stage string) (commit string, err error) {
	below, ok := mirror.DefaultStages.Below(mirror.Stage(stage))
	if !ok {
		return "", fmt.Errorf("promote %s to %s: no stage is below it", set, stage)
	}
	from := "stages/" + set + "/" + string(below)
	if below == mirror.DefaultStages.First() {
		from = "rendered/" + WorldSite + "/" + set + "/" + string(below)
	}
	head, err := w.Git.Files("main")
	if err != nil {
		return "", fmt.Errorf("promote %s to %s: %w", set, stage, err)
	}
	lines, to := mirror.Files{}, "stages/"+set+"/"+stage
	for name, body := range head {
		lines[name] = []byte(body)
	}
	change := map[string]string{}
	for _, old := range lines.Document(to) {
		change[old] = "" // a document may have been one file and be shards now
	}
	parts := lines.Document(from)
	for _, part := range parts {
		change[to+strings.TrimPrefix(part, from)] = withoutComments(head[part])
	}
	if len(parts) == 0 {
		return "", fmt.Errorf("promote %s to %s: nothing stands at %s", set, stage, below)
	}
	return w.Git.Commit(ctx, "promote "+set+" to "+stage, change)
}

func withoutComments(document string) string {
	var b strings.Builder
	for line := range strings.Lines(document) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// NewRelease pushes the next ESS release upstream and commits its images_digests.yml: some entries have
// new tags, one has new content under its old tag. There is one next release.
func (w *World) NewRelease(ctx context.Context) (commit string, err error) {
	if w.release > 1 {
		return "", errors.New("make a new release: there is no third one")
	}
	w.release++
	if err := w.pushRelease(ctx); err != nil {
		return "", fmt.Errorf("make a new release: %w", err)
	}
	return w.Git.Commit(ctx, "ESS: the vendor's next release", map[string]string{essFile: w.files[essFile]})
}

// MoveUpstream pushes new content to the tag of an upstream reference, such as
// docker.io/library/nginx:1.25, and gives its digest. The vendor signs it where the tag's content was
// signed before.
func (w *World) MoveUpstream(ctx context.Context, image string) (mirror.Digest, error) {
	ref, err := mirror.ParseReference(image)
	if err != nil {
		return mirror.Digest{}, fmt.Errorf("move upstream: %w", err)
	}
	old, err := TagDigest(w.Upstream.Back(), ref.Name(), ref.Tag)
	if err != nil {
		return mirror.Digest{}, fmt.Errorf("move upstream: %w", err)
	}
	w.mu.Lock()
	w.moves++
	seed := fmt.Sprintf("%s moved %d", ref, w.moves)
	w.mu.Unlock()
	d, err := Push(ctx, w.Upstream.Back(), ref.Name(), ref.Tag, content(ref, seed, false))
	if err != nil {
		return d, fmt.Errorf("move upstream: %w", err)
	}
	if w.signed(ref, old) {
		err = w.sign(ctx, ref, d)
	}
	return d, err
}

// signed says whether a signature of the vendor lies beside a digest.
func (w *World) signed(ref mirror.Reference, d mirror.Digest) bool {
	for _, suffix := range []string{".sig", ""} {
		if _, err := TagDigest(w.Upstream.Back(), ref.Name(), d.Algorithm+"-"+d.Hex+suffix); err == nil {
			return true
		}
	}
	return false
}

// sign signs in the one or the other form, decided by the name, so that both forms are everywhere.
func (w *World) sign(ctx context.Context, ref mirror.Reference, d mirror.Digest) error {
	at := w.Upstream.Back() + "/" + ref.Name()
	if len(ref.Repository)%2 == 0 {
		return w.Vendor.SignBundle(ctx, at, d)
	}
	return w.Vendor.SignLegacy(ctx, at, d, Claiming(ref.Name()))
}

// pushRelease pushes what the current release names and writes its images_digests.yml. The digests are known
// before the push, since content is a function of its seed.
func (w *World) pushRelease(ctx context.Context) error {
	digests := map[mirror.Reference]mirror.Digest{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(pushAtOnce)
	for _, e := range essTree {
		if e.image == noBody {
			continue
		}
		ref, seed := e.at(w.release)
		if _, pushed := digests[ref]; pushed {
			continue
		}
		what := content(ref, seed, e.index)
		digests[ref] = mirror.DigestOf(must(what.RawManifest()))
		if w.release > 1 && e.next == "" && !e.rebuilt {
			continue // as it is in the first release
		}
		group.Go(func() error {
			d, err := Push(ctx, w.Upstream.Back(), ref.Name(), ref.Tag, what)
			if err == nil && e.signed {
				err = w.sign(ctx, ref, d)
			}
			return err
		})
	}
	w.files[essFile] = imagesDigests(w.release, digests)
	return group.Wait()
}
