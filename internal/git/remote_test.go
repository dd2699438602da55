package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

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
	t.Run("refused by the transport", func(t *testing.T) {
		o := options(t, g)
		o.HTTP = refusing{}
		if _, err := open(t, o).Remote(t.Context()); err == nil || isTemporary(err) || !strings.Contains(err.Error(), "not listed") {
			t.Errorf("%v, want a lasting refusal", err)
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

// refusing is a transport whose own rules let nothing out.
type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, refusal{} }

type refusal struct{}

func (refusal) Error() string { return "the host is not listed" }
func (refusal) Refused() bool { return true }
