package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// site is one daemon with real registries and a real Git server around it.
type site struct {
	t        *testing.T
	upstream *testenv.Registry // stands for docker.io, ghcr.io and quay.io, each below its name
	local    *testenv.Registry
	git      *testenv.Git
	dir      string
	config   string
	vendor   *testenv.Signer // desired/keys/vendor.pub
	line     *Line
	now      time.Time
}

// localName is what references and overrides call the local registry, so that they do not depend on its
// port.
const localName = "registry.site.example:5000"

// pinnedPolicy admits what a reviewed commit names by digest, and nothing else.
const pinnedPolicy = "version: 1\nrules: [{match: \"**\", require: {pinned: true}}]\n"

// vendorPolicy admits what the vendor of the site signed.
const vendorPolicy = "version: 1\nsigners: {vendor: {key: keys/vendor.pub}}\nrules: [{match: \"**\", require: {signers: [vendor], count: 1}}]\n"

// newSite starts the servers with empty registries and commits files as the fleet.
func newSite(t *testing.T, files map[string]string) *site {
	t.Helper()
	s := &site{t: t, dir: memoryDir(t), now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	s.upstream = must(testenv.NewRegistry(filepath.Join(s.dir, "upstream")))(t)
	t.Cleanup(s.upstream.Close)
	s.local = must(testenv.NewRegistry(filepath.Join(s.dir, "local")))(t)
	t.Cleanup(s.local.Close)
	s.git = must(testenv.NewGit(filepath.Join(s.dir, "fleet.git")))(t)
	t.Cleanup(s.git.Close)
	s.git.User, s.git.Password, s.git.Now = "poundlock", "git-pass-canary", s.clock
	s.vendor = must(testenv.NewSigner("p256"))(t)
	files["desired/keys/vendor.pub"] = s.vendor.PublicPEM()
	s.commit("the fleet", files)
	s.config = siteConfig(s.dir, s.git.URL(), s.local.URL(), s.upstream.URL())
	t.Cleanup(s.close)
	return s
}

// memoryDir is a temporary folder, on a RAM disk where there is one: registries sync every blob to disk, and
// a slow disk is not what these tests are about.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "poundlock-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func siteConfig(dir, git, local, upstream string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
site: demo
stateDir: %q
git:
  url: %s
  insecure: true
  poll: 50ms
  auth: {username: poundlock, password: {env: POUNDLOCK_TEST_GIT_PASSWORD}}
listen: 127.0.0.1:0
registries:
  local: {host: %q, prefix: mirror, endpoint: %q, insecure: true}
`, filepath.Join(dir, "state"), git, localName, local)
	for _, host := range []string{"docker.io", "ghcr.io", "quay.io"} {
		fmt.Fprintf(&b, "  %s: {host: %s, endpoint: %q, prefix: %s, insecure: true}\n", strings.ReplaceAll(host, ".", "-"), host, upstream, host)
	}
	return b.String()
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// commit changes the fleet as a person would; an empty text deletes a file.
func (s *site) commit(message string, files map[string]string) string {
	s.t.Helper()
	return must(s.git.Commit(s.t.Context(), message, files))(s.t)
}

// push puts an image upstream and gives its full reference with digest.
func (s *site) push(ref, seed string, layers ...testenv.Layer) mirror.Reference {
	s.t.Helper()
	r := must(mirror.ParseReference(ref))(s.t)
	return r.WithDigest(must(testenv.Push(s.t.Context(), s.upstream.Back(), r.Name(), r.Tag, testenv.Image(seed, layers...)))(s.t))
}

// pushSigned puts an image upstream that the vendor signed, in the legacy form.
func (s *site) pushSigned(ref, seed string, layers ...testenv.Layer) mirror.Reference {
	s.t.Helper()
	r := s.push(ref, seed, layers...)
	if err := s.vendor.SignLegacy(s.t.Context(), s.upstream.Back()+"/"+r.Name(), r.Digest, testenv.Claiming(r.Name())); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// open starts the daemon's line on the site, on the state that is there.
func (s *site) open() *Line {
	s.t.Helper()
	s.close()
	file := filepath.Join(s.dir, "config.yaml")
	if err := os.WriteFile(file, []byte(s.config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	c := must(config.Load(file, nil, nil))(s.t)
	s.line = must(Open(s.t.Context(), c, Options{Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)), Now: s.clock}))(s.t)
	return s.line
}

func (s *site) clock() time.Time { return s.now }

func (s *site) close() {
	if s.line == nil {
		return
	}
	if err := s.line.Close(context.Background()); err != nil {
		s.t.Errorf("close: %v", err)
	}
	s.line = nil
}

// sync runs the line until everything is at rest, as `poundlock sync` does, and gives the reports by set.
func (s *site) sync() map[string]Report {
	s.t.Helper()
	reports, err := s.trySync()
	if err != nil {
		s.t.Fatalf("sync: %v", err)
	}
	return reports
}

func (s *site) trySync() (map[string]Report, error) {
	s.t.Helper()
	if s.line == nil {
		s.open()
	}
	all, err := s.line.Sync(s.t.Context(), Wake{Why: "test", Resolve: true, Audit: true})
	reports := map[string]Report{}
	for _, r := range all {
		reports[r.Set] = r
	}
	return reports, err
}

// file reads a file at the head of the fleet repository; empty when it is not there.
func (s *site) file(name string) string {
	s.t.Helper()
	return must(s.git.Files("main"))(s.t)[name]
}

// tag gives the digest that a local tag names; the zero digest when there is none.
func (s *site) tag(repository, tag string) mirror.Digest {
	s.t.Helper()
	d, _ := testenv.TagDigest(s.local.Back(), repository, tag)
	return d
}

// whole fails the test when any tag of the local registry names content that is not all there.
func (s *site) whole() {
	s.t.Helper()
	for _, fault := range testenv.Verify(s.local.Back()) {
		s.t.Errorf("local registry: %s", fault)
	}
}

// kinds lists the entries of a plan that are of one kind, as stage/entry with the reason's code.
func kinds(p mirror.Plan, kind mirror.Kind) map[string]mirror.ReasonCode {
	m := map[string]mirror.ReasonCode{}
	for _, a := range p.Actions {
		if a.Kind == kind && a.Key.Entry != "" {
			m[string(a.Stage)+"/"+a.Key.Entry] = a.Reason.Code
		}
	}
	return m
}

// list writes a list source of references.
func list(refs ...mirror.Reference) string {
	var b strings.Builder
	for _, r := range refs {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}

// until waits for something that other goroutines bring about over real connections.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
