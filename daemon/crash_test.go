package daemon

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// syncVariable makes a process of this test binary run one sync of the configuration that it names.
const syncVariable = "POUNDLOCK_TEST_SYNC_CONFIG"

func TestMain(m *testing.M) {
	testenv.Main()
	if file := os.Getenv(syncVariable); file != "" {
		if err := syncOnce(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err := os.Setenv("POUNDLOCK_TEST_GIT_PASSWORD", "git-pass-canary"); err != nil { // of every site's Git
		panic(err)
	}
	if err := testenv.NoTestLog(); err != nil {
		panic(err)
	}
	if n := flag.Lookup("test.parallel"); n.Value.String() == n.DefValue { // tests wait for registries more than they compute
		if err := n.Value.Set(strconv.Itoa(2 * runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func syncOnce(file string) error {
	c, err := config.Load(file, nil, nil)
	if err != nil {
		return err
	}
	ctx := context.Background()
	line, err := Open(ctx, c, Options{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		return err
	}
	if _, err := line.Sync(ctx, Wake{Why: "test", Resolve: true, Audit: true}); err != nil {
		return err
	}
	return line.Close(ctx)
}

// killPoints is how often the sync is killed; workers bounds the upload sessions that a kill may leave
// unknown: opened, and not journaled yet.
const (
	killPoints = 50
	workers    = 8
)

// crashSite has release 1 at snapshot; its head asks for release 2 at snapshot, 40 images that share layers,
// and for release 1 at staging.
func crashSite(t *testing.T) (s *site, releases [2][]mirror.Reference) {
	s = newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy,
		"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nlayout: path\nrender: {element: {name: ess-images, namespace: ess}, containerd: {}}\n"})
	for release, count := range []int{20, 40} {
		for i := range count {
			layers := []testenv.Layer{{Seed: fmt.Sprint("shared", i%7), Size: 20_000}, {Seed: fmt.Sprint("own", release, i), Size: 2_000}}
			releases[release] = append(releases[release], s.push(fmt.Sprintf("docker.io/apps/app%02d:v%d", i, release+1), fmt.Sprint(release, i), layers...))
		}
		if release == 0 {
			s.commit("release 1", map[string]string{"desired/ess/images_digests.yml": manyDigests(releases[0])})
			s.sync()
		}
	}
	staging := "version: 1\nentries:\n"
	for i, r := range releases[0] {
		staging += fmt.Sprintf("  app%02d/app%02d: %s\n", i, i, r)
	}
	// A line for each entry that release 2 adds is not there yet: staging is made of what stood before.
	s.commit("release 2, and release 1 to staging", map[string]string{
		"desired/ess/images_digests.yml": manyDigests(releases[1][:20]),
		"desired/more.yaml":              "version: 1\nsource: {kind: list, file: more.txt}\nlayout: path\n",
		"desired/more.txt":               list(releases[1][20:]...),
		"stages/ess/staging.yaml":        staging})
	s.close()
	return s, releases
}

func manyDigests(refs []mirror.Reference) string {
	var b strings.Builder
	b.WriteString("images_digests:\n")
	for i, r := range refs {
		fmt.Fprintf(&b, "  app%02d:\n    app%02d: {image_repository_server: %s, image_repository_path: %s, image_tag: %s, image_digest: %q}\n", i, i, r.Host, r.Repository, r.Tag, r.Digest)
	}
	return b.String()
}

// clone gives a site of its own with the same content; upstream is shared.
func (s *site) clone(t *testing.T) *site {
	t.Helper()
	c := &site{t: t, dir: memoryDir(t), now: s.now, upstream: s.upstream}
	for _, dir := range []string{"local", "fleet.git", "state"} {
		if err := os.CopyFS(filepath.Join(c.dir, dir), os.DirFS(filepath.Join(s.dir, dir))); err != nil {
			t.Fatal(err)
		}
	}
	c.local = must(testenv.NewRegistry(filepath.Join(c.dir, "local")))(t)
	t.Cleanup(c.local.Close)
	c.git = must(testenv.NewGit(filepath.Join(c.dir, "fleet.git")))(t)
	t.Cleanup(c.git.Close)
	c.git.User, c.git.Password = s.git.User, s.git.Password
	c.config = siteConfig(c.dir, c.git.URL(), c.local.URL(), c.upstream.URL())
	t.Cleanup(c.close)
	return c
}

// process starts the sync in a process of its own, so that it can be killed.
func (s *site) process() *exec.Cmd {
	s.t.Helper()
	file := filepath.Join(s.dir, "config.yaml")
	if err := os.WriteFile(file, []byte(s.config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), syncVariable+"="+file, "POUNDLOCK_TEST_GIT_PASSWORD="+s.git.Password)
	cmd.Stderr = s.t.Output()
	return cmd
}

// end is the state of the world that matters: tags and overrides. Times and commit ids are left out.
func (s *site) end() map[string]string {
	s.t.Helper()
	state := map[string]string{}
	for tag, d := range testenv.TagsOf(s.local.Back()) {
		state["tag "+tag] = d
	}
	for name, body := range must(s.git.Files("main"))(s.t) {
		if strings.HasPrefix(name, "rendered/") && !strings.HasPrefix(name, "rendered/demo/record/") {
			state["file "+name] = body
		}
	}
	return state
}

var digestLine = regexp.MustCompile(`image_digest: "(sha256:[0-9a-f]{64})"`)

// consistent fails the test when an override names what the registry does not hold or mixes two releases.
func (s *site) consistent(releases [2][]mirror.Reference) {
	s.t.Helper()
	held := map[string]bool{}
	for _, d := range testenv.TagsOf(s.local.Back()) {
		held[d] = true
	}
	of := map[string]int{}
	for release, refs := range releases {
		for _, r := range refs {
			of[r.Digest.String()] = release
		}
	}
	for name, body := range must(s.git.Files("main"))(s.t) {
		if !strings.HasSuffix(name, "images-digests.yaml") {
			continue
		}
		seen := map[int]bool{}
		for _, m := range digestLine.FindAllStringSubmatch(body, -1) {
			seen[of[m[1]]] = true
			if !held[m[1]] {
				s.t.Errorf("%s names %s, which no tag of the registry names", name, m[1])
			}
		}
		if len(seen) > 1 {
			s.t.Errorf("%s mixes two releases", name)
		}
	}
}

// uploads counts the upload sessions that lie in the local registry.
func (s *site) uploads() int {
	n := 0
	filepath.WalkDir(filepath.Join(s.dir, "local"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && filepath.Base(filepath.Dir(path)) == "_uploads" {
			n++
		}
		return nil
	})
	return n
}

// Killed at any moment, the next cycle ends in the same state as an undisturbed one, and in between no tag
// names content that is not whole and no override is wrong.
func TestKill_NextCycleEndsAsIfUndisturbed(t *testing.T) {
	base, releases := crashSite(t)
	undisturbed := base.clone(t)
	began := time.Now()
	if err := undisturbed.process().Run(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	want := undisturbed.end()
	undisturbed.whole()
	undisturbed.consistent(releases)
	if tags := len(slices.DeleteFunc(slices.Collect(maps.Keys(want)), func(k string) bool { return !strings.HasPrefix(k, "tag ") })); tags != 20+20+20+20 {
		t.Fatalf("undisturbed: %d tags, want release 1 and 2 at snapshot, 20 more, and 20 at staging", tags)
	}
	undisturbed.close()
	seed := uint64(time.Now().UnixNano())
	t.Logf("undisturbed sync: %s; seed %d", took, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var killed atomic.Int64
	point := func(moment time.Duration) func(*testing.T) {
		return func(t *testing.T) {
			t.Parallel() // each has a world of its own
			s := base.clone(t)
			cmd := s.process()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case <-time.After(moment):
				cmd.Process.Kill()
				<-ended
				killed.Add(1)
			case <-ended:
			}
			s.whole()
			s.consistent(releases)
			s.sync()
			s.whole()
			s.consistent(releases)
			got := s.end()
			for key, value := range want {
				if got[key] != value {
					t.Errorf("%s:\n got %q\nwant %q", key, got[key], value)
				}
			}
			for key := range got {
				if _, ok := want[key]; !ok {
					t.Errorf("%s is not there in an undisturbed sync", key)
				}
			}
			if open := must(journal{s.line.state}.Open())(t); len(open) > 0 {
				t.Errorf("%d journaled uploads are neither done nor cancelled", len(open))
			}
			if n := s.uploads(); n > workers {
				t.Errorf("%d upload sessions are left, want at most one for each of %d workers", n, workers)
			}
		}
	}
	t.Run("killed", func(t *testing.T) { // ends when all of them have
		for i := range killPoints {
			moment := time.Duration(random.Int64N(int64(took)))
			t.Run(fmt.Sprintf("%02d-%s", i, moment.Round(time.Millisecond)), point(moment))
		}
	})
	if n := killed.Load(); n < killPoints/2 {
		t.Errorf("only %d of %d syncs were still running when they were to be killed", n, killPoints)
	}
}
