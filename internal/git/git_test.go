package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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

func TestRemote_SaysWhetherARetryHelps(t *testing.T) {
	g := fleet(t)
	g.User, g.Password = "robot", secret
	write(t, g, map[string]string{"desired/a.yaml": "a"})
	all := func(*http.Request) bool { return true }
	cases := []struct {
		name      string
		fault     testenv.Fault
		password  string
		url       string
		is        error
		temporary bool
	}{
		{name: "wrong password", password: "wrong-" + secret, is: ErrUnauthorized},
		{name: "no credential", is: ErrUnauthorized},
		{name: "forbidden", password: secret, fault: testenv.Fault{Status: 403}, is: ErrUnauthorized},
		{name: "no such repository", password: secret, url: "/other.git", is: mirror.ErrNotFound},
		{name: "too many requests", password: secret, fault: testenv.Fault{Status: 429}, temporary: true},
		{name: "server error", password: secret, fault: testenv.Fault{Status: 503}, temporary: true},
		{name: "reset", password: secret, fault: testenv.Fault{Reset: true}, temporary: true},
		{name: "truncated", password: secret, fault: testenv.Fault{Truncate: true, After: 60}, temporary: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g.Proxy().Break(testenv.Always(all, c.fault))
			o := options(t, g)
			o.Auth = Auth{Username: "robot"}
			if c.password != "" {
				o.Auth.Password = password(c.password)
			}
			if c.url != "" {
				o.URL = strings.Replace(o.URL, "/fleet.git", c.url, 1)
			}
			r := open(t, o)
			for what, call := range map[string]func(context.Context) (string, error){"Remote": r.Remote, "Fetch": r.Fetch} {
				_, err := call(t.Context())
				if err == nil || isTemporary(err) != c.temporary || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("%s: %v; temporary %v, want %v", what, err, isTemporary(err), c.temporary)
				}
				if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
					t.Errorf("%s: the error holds the password: %v", what, err)
				}
			}
		})
	}
	t.Run("token", func(t *testing.T) {
		g.Proxy().Break(nil)
		g.User = "x-access-token"
		o := options(t, g)
		o.Auth = Auth{Token: password(secret)}
		if _, err := open(t, o).Remote(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("unreachable", func(t *testing.T) {
		o := options(t, g)
		g.Close()
		if _, err := open(t, o).Fetch(t.Context()); !isTemporary(err) {
			t.Errorf("%v, want a temporary error", err)
		}
	})
}

func TestFetch_EndsWithItsDeadline(t *testing.T) {
	g := fleet(t)
	write(t, g, map[string]string{"desired/a.yaml": "a"})
	never := make(chan struct{})
	defer close(never)
	for _, part := range []string{"info/refs", "git-upload-pack"} {
		g.Proxy().Break(testenv.Always(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, part) }, testenv.Fault{Until: never}))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := open(t, options(t, g)).Fetch(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !isTemporary(err) {
			t.Errorf("held at %s: %v, want an expired deadline", part, err)
		}
	}
}

func TestOpen_RefusesAddressesItMustNotUse(t *testing.T) {
	for _, url := range []string{
		"https://robot:" + secret + "@git.example/fleet.git",
		"https://" + secret + "@git.example/fleet.git",
		"ssh://git:" + secret + "@git.example/fleet.git",
		"git:" + secret + "@git.example:fleet.git",
		"https://git.example/fleet.git?private_token=" + secret,
		"https://git.example/fleet.git#" + secret,
		"https://robot:" + secret + "%zz@git.example/fleet.git",
		"ext::sh -c " + secret,
		"git://git.example/" + secret,
		"file://host/" + secret, "file://relative", "relative/" + secret, "", "https:///x", "-u" + secret,
	} {
		_, err := Open(t.Context(), Options{URL: url, Branch: "main", Dir: t.TempDir(), HTTP: http.DefaultTransport})
		if err == nil {
			t.Errorf("%s was accepted", url)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the error holds the secret: %v", err)
		}
	}
	for _, branch := range []string{"", "../../config", "a..b", "-x", "a b", "x.lock"} {
		if _, err := Open(t.Context(), Options{URL: "/x", Branch: branch, Dir: t.TempDir()}); err == nil {
			t.Errorf("branch %q was accepted", branch)
		}
	}
	for _, path := range []string{"../x", "a/../b", ".git", "a//b"} {
		if _, err := Open(t.Context(), Options{URL: "/x", Branch: "main", Path: path, Dir: t.TempDir()}); err == nil {
			t.Errorf("path %q was accepted", path)
		}
	}
}

func TestFetch_FollowsNoRedirectToAnotherHost(t *testing.T) {
	g := fleet(t)
	want := write(t, g, map[string]string{"desired/a.yaml": "a"})
	var mu sync.Mutex
	asked := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
	}))
	defer elsewhere.Close()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/moved"); ok {
			http.Redirect(w, r, "/fleet.git"+rest+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			return
		}
		if rest, ok := strings.CutPrefix(r.URL.Path, "/away"); ok {
			http.Redirect(w, r, elsewhere.URL+"/fleet.git"+rest+"?"+r.URL.RawQuery, http.StatusFound)
			return
		}
		if u, p, _ := r.BasicAuth(); u != "robot" || p != secret {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		res, err := http.Post(g.URL()+strings.TrimPrefix(r.URL.Path, "/fleet.git"), r.Header.Get("Content-Type"), r.Body)
		if r.Method == http.MethodGet {
			res, err = http.Get(g.URL() + "/info/refs?" + r.URL.RawQuery)
		}
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		_, _ = io.Copy(w, res.Body)
	}))
	defer front.Close()
	o := options(t, g)
	o.Auth = Auth{Username: "robot", Password: password(secret)}
	o.URL = front.URL + "/moved"
	if got := fetch(t, open(t, o)); got != want { // a forge that corrects the path
		t.Errorf("head = %s, want %s", got, want)
	}
	o.Dir, o.URL = t.TempDir(), front.URL+"/away"
	_, err := open(t, o).Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is not followed") || isTemporary(err) {
		t.Errorf("%v, want a lasting refusal", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if asked != 0 {
		t.Errorf("the other host got %d requests", asked)
	}
}

func TestFetch_IgnoresEvilRefNames(t *testing.T) {
	g := fleet(t)
	want := write(t, g, map[string]string{"desired/a.yaml": "a"})
	evil := []string{"refs/heads/../../config", "refs/heads/main.lock", "../escape", "refs/heads/a\\b", "refs/heads/-x", "refs/heads/main/../main"}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			res, err := http.Post(g.URL()+"/git-upload-pack", r.Header.Get("Content-Type"), r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			_, _ = io.Copy(w, res.Body)
			return
		}
		line := func(s string) { fmt.Fprintf(w, "%04x%s", len(s)+4, s) }
		line("# service=git-upload-pack\n")
		io.WriteString(w, "0000")
		line(want + " refs/heads/main\x00ofs-delta\n")
		for _, name := range evil {
			line(strings.Repeat("ab", 20) + " " + name + "\n")
		}
		io.WriteString(w, "0000")
	}))
	defer front.Close()
	o := options(t, g)
	o.URL = front.URL + "/fleet.git"
	r := open(t, o)
	if got := fetch(t, r); got != want {
		t.Fatalf("head = %s, want %s", got, want)
	}
	refs, err := r.store.IterReferences()
	if err != nil {
		t.Fatal(err)
	}
	for {
		ref, err := refs.Next()
		if err != nil {
			break
		}
		if name := ref.Name().String(); name != "refs/heads/main" && name != "HEAD" {
			t.Errorf("ref %s was written", name)
		}
	}
}
