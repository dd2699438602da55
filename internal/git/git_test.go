package git

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

const secret = "s3cret-canary"

// at is the time of every commit of the tests.
var at = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// servers are all that a promise about pushing must hold for: our own and Git's.
var servers = map[string]func(string) (*testenv.Git, error){"ours": testenv.NewGit, "git http-backend": testenv.NewGitBackend}

func onEachServer(t *testing.T, test func(t *testing.T, g *testenv.Git)) {
	t.Helper()
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath("git"); err != nil && name != "ours" {
				t.Skip("there is no git binary")
			}
			test(t, serve(t, start))
		})
	}
}

func serve(t *testing.T, start func(string) (*testenv.Git, error)) *testenv.Git {
	t.Helper()
	g, err := start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func fleet(t *testing.T) *testenv.Git { t.Helper(); return serve(t, testenv.NewGit) }

func write(t *testing.T, g *testenv.Git, files map[string]string) string {
	t.Helper()
	id, err := g.Commit(t.Context(), "by a person", files)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func options(t *testing.T, g *testenv.Git) Options {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return Options{URL: g.URL(), Branch: "main", Dir: t.TempDir(), HTTP: transport,
		Author: Author{"Poundlock", "poundlock@site.example"}}
}

func open(t *testing.T, o Options) *Repo {
	t.Helper()
	r, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func fetch(t *testing.T, r *Repo) string {
	t.Helper()
	head, err := r.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func password(s string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return s, nil }
}

func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func TestRemote_IsOneRequest(t *testing.T) {
	g := fleet(t)
	want := write(t, g, map[string]string{"desired/web.yaml": "a"})
	r := open(t, options(t, g))
	fetch(t, r)
	g.Proxy().Reset()
	got, err := r.Remote(t.Context())
	if err != nil || got != want {
		t.Fatalf("Remote() = %q, %v, want %q", got, err, want)
	}
	if paths := g.Proxy().Counts().Paths; !slices.Equal(paths, []string{"GET /fleet.git/info/refs?service=git-upload-pack"}) {
		t.Errorf("requests: %q, want one listing", paths)
	}
}

func TestFetch_BringsOnlyWhatIsNew(t *testing.T) {
	onEachServer(t, func(t *testing.T, g *testenv.Git) {
		noise := strings.Builder{}
		for i := range 4000 {
			fmt.Fprintf(&noise, "%x ", i*i*7919)
		}
		first := write(t, g, map[string]string{"desired/a.yaml": "a", "docs/big.txt": noise.String()})
		r := open(t, options(t, g))
		if got := fetch(t, r); got != first {
			t.Fatalf("head = %s, want %s", got, first)
		}
		second := write(t, g, map[string]string{"desired/a.yaml": "b"})
		g.Proxy().Reset()
		if got := fetch(t, r); got != second {
			t.Fatalf("head = %s, want %s", got, second)
		}
		if sent := g.Proxy().Counts().Sent; sent > 3000 {
			t.Errorf("the second fetch moved %d bytes", sent)
		}
		g.Proxy().Reset()
		fetch(t, r)
		if n := g.Requests(); n != 1 {
			t.Errorf("a fetch of nothing made %d requests, want 1", n)
		}
		files, err := r.Files(second, "desired")
		if err != nil || string(files["desired/a.yaml"]) != "b" || len(files) != 1 {
			t.Errorf("Files = %q, %v", files, err)
		}
		files, err = r.Files(first)
		if err != nil || string(files["desired/a.yaml"]) != "a" || len(files) != 2 {
			t.Errorf("Files of the first commit: %d files, %v", len(files), err)
		}
	})
}

func TestFetch_FollowsAForcePush(t *testing.T) {
	g := fleet(t)
	base := write(t, g, map[string]string{"desired/a.yaml": "a"})
	lost := write(t, g, map[string]string{"desired/a.yaml": "b"})
	r := open(t, options(t, g))
	fetch(t, r)
	if err := g.Point("main", base); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, r); got != base {
		t.Fatalf("after a reset the head is %s, want %s", got, base)
	}
	other := write(t, g, map[string]string{"desired/a.yaml": "c"})
	if got := fetch(t, r); got != other {
		t.Fatalf("head = %s, want %s", got, other)
	}
	for _, c := range []struct {
		old, new string
		want     bool
	}{{base, other, true}, {lost, other, false}, {other, other, true}, {other, base, false}, {strings.Repeat("12", 20), other, false}} {
		if got, err := r.Ancestor(t.Context(), c.old, c.new); err != nil || got != c.want {
			t.Errorf("Ancestor(%.7s, %.7s) = %v, %v, want %v", c.old, c.new, got, err, c.want)
		}
	}
	// An unrelated history takes the place of all.
	tree, err := g.PutTree()
	if err != nil {
		t.Fatal(err)
	}
	orphan, err := g.PutCommit("new start", tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Point("main", orphan); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, r); got != orphan {
		t.Fatalf("head = %s, want %s", got, orphan)
	}
	if err := g.Point("main", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Fetch(t.Context()); !errors.Is(err, mirror.ErrNotFound) || isTemporary(err) {
		t.Errorf("a deleted branch gives %v, want a lasting ErrNotFound", err)
	}
	if _, err := r.Files(other, "desired"); err != nil {
		t.Errorf("what was fetched is no longer readable: %v", err)
	}
}

func TestInputs_ChangeWithDesiredAndStagesAlone(t *testing.T) {
	g := fleet(t)
	o := options(t, g)
	o.Path = "/fleet/eu/"
	r := open(t, o)
	inputs := func(files map[string]string) string {
		t.Helper()
		write(t, g, files)
		s, err := r.Inputs(fetch(t, r))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	empty := inputs(map[string]string{"README": "x"})
	desired := inputs(map[string]string{"fleet/eu/desired/a.yaml": "a"})
	same := inputs(map[string]string{"fleet/eu/rendered/x": "x", "desired/a.yaml": "not ours"})
	stages := inputs(map[string]string{"fleet/eu/stages/a/production.yaml": "a"})
	back := inputs(map[string]string{"fleet/eu/stages/a/production.yaml": ""})
	if empty == desired || desired != same || same == stages || back != desired {
		t.Errorf("inputs:\n%s\n%s\n%s\n%s\n%s", empty, desired, same, stages, back)
	}
}

func TestRepo_MayBeUsedByManyAtOnce(t *testing.T) {
	g := fleet(t)
	head := write(t, g, map[string]string{"desired/a.yaml": "a"})
	r := open(t, options(t, g))
	fetch(t, r)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 10 {
				if _, err := r.Files(head, "desired"); err != nil {
					t.Error(err)
				}
				if _, err := r.Inputs(head); err != nil {
					t.Error(err)
				}
				if _, err := r.Fetch(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := r.Commit(t.Context(), head, change(map[string]string{"rendered/x": fmt.Sprint(i)}, "rendered")); err != nil && !errors.Is(err, ErrRejected) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
