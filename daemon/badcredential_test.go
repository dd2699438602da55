package daemon

import (
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// auth adds to what the configuration says of a registry, by its key there.
func (s *site) auth(key, auth string) {
	s.t.Helper()
	before := s.config
	for line := range strings.Lines(before) {
		if strings.HasPrefix(line, "  "+key+": {") {
			s.config = strings.Replace(before, line, strings.TrimSuffix(line, "}\n")+", auth: "+auth+"}\n", 1)
		}
	}
	if s.config == before {
		s.t.Fatalf("the configuration has no registry %s", key)
	}
}

// withSecond adds a second upstream, other.example, with an image in a set of its own.
func (s *site) withSecond() mirror.Reference {
	s.t.Helper()
	second := must(testenv.NewRegistry(filepath.Join(s.dir, "second")))(s.t)
	s.t.Cleanup(second.Close)
	s.config += "  second: {host: other.example, endpoint: \"" + second.URL() + "\", prefix: other.example, insecure: true}\n"
	ref := must(mirror.ParseReference("other.example/apps/free:1"))(s.t)
	return ref.WithDigest(must(testenv.Push(s.t.Context(), second.Back(), ref.Name(), ref.Tag, testenv.Image("free")))(s.t))
}

const basicAuth = "{username: poundlock, password: {env: POUNDLOCK_TEST_REGISTRY_PASSWORD}}"

// A credential that is wrong, missing or cannot be read is said at the place where it is, without its text;
// what does not need it goes on.
func TestBadCredential_IsNamedAndNeverShown(t *testing.T) {
	for _, tt := range []struct {
		name, side, auth, password string
		says                       []string
	}{
		{"upstream, wrong password", "upstream", basicAuth, "wrong-canary", []string{"401 Unauthorized", "docker.io/library/locked"}},
		{"upstream, wrong password for tokens", "tokens", basicAuth, "wrong-canary", []string{"401 Unauthorized", "docker.io/library/locked"}},
		{"upstream, no credential", "upstream", "{}", "", []string{"401 Unauthorized", "docker.io/library/locked"}},
		{"local, wrong password", "local", basicAuth, "wrong-canary", []string{"ask local registry: ", "401 Unauthorized", localName}},
		{"local, no credential", "local", "{}", "", []string{"ask local registry: ", "401 Unauthorized"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
			free, locked := s.withSecond(), s.push("docker.io/library/locked:1", "locked")
			s.commit("both", map[string]string{"desired/web.yaml": webSet, "desired/web.txt": list(free, locked)})
			t.Setenv("POUNDLOCK_TEST_REGISTRY_PASSWORD", tt.password)
			key := "docker-io"
			switch tt.side {
			case "upstream":
				s.upstream.RequireBasic("poundlock", "right-canary")
			case "tokens":
				s.upstream.RequireToken(testenv.NewTokens("poundlock", "right-canary"), "")
			case "local":
				s.local.RequireBasic("poundlock", "right-canary")
				key = "local"
			}
			s.auth(key, tt.auth)
			logged, before := s.listen(), s.outside()
			reports, err := s.trySync()
			text := details(reports["web"].Plan)
			if err != nil {
				text += err.Error()
			}
			for _, want := range tt.says {
				if !strings.Contains(text, want) {
					t.Errorf("want %q said:\n%s", want, text)
				}
			}
			discreet(t, "what people see", text, logged.String())
			if tt.side == "local" {
				if err == nil {
					t.Error("a local registry that lets nobody in is no error")
				}
				s.unchanged(before)
				return
			}
			if err != nil {
				t.Errorf("one entry stops the set: %v", err)
			}
			if got := kinds(reports["web"].Plan, mirror.Failed)["snapshot/docker.io/library/locked:1"]; got != mirror.UpstreamFailed {
				t.Errorf("locked: got %q, want %q\n%s", got, mirror.UpstreamFailed, text)
			}
			if got := s.tag("mirror/snapshot/other.example/apps/free", "1"); got != free.Digest {
				t.Errorf("free names %s, want %s\n%s", got, free.Digest, text)
			}
			if got := s.tag("mirror/snapshot/docker.io/library/locked", "1"); got != (mirror.Digest{}) {
				t.Errorf("locked names %s", got)
			}

			// Once the secret is right, the next look is enough: it is read at each use.
			t.Setenv("POUNDLOCK_TEST_REGISTRY_PASSWORD", "right-canary")
			t.Setenv("POUNDLOCK_TEST_ABSENT", "right-canary")
			if tt.auth != "{}" {
				r := s.sync()["web"]
				if got := s.tag("mirror/snapshot/docker.io/library/locked", "1"); got != locked.Digest {
					t.Errorf("with the right password locked names %s\n%s", got, details(r.Plan))
				}
			}
		})
	}
}

// stranger is another host than the registry's, which writes down what arrives and answers as told.
type stranger struct {
	*testenv.Server
	mu       sync.Mutex
	arrived  []string
	withAuth []string
}

func newStranger(t *testing.T, next http.Handler) *stranger {
	t.Helper()
	s := &stranger{}
	s.Server = must(testenv.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.arrived = append(s.arrived, r.Method+" "+r.URL.Path)
		for name, values := range r.Header {
			if strings.Contains(strings.ToLower(name), "auth") || strings.Contains(name, "Cookie") || strings.Contains(strings.Join(values, " "), "canary") {
				s.withAuth = append(s.withAuth, r.Method+" "+r.URL.Path+" "+name)
			}
		}
		if strings.Contains(r.URL.String(), "canary") {
			s.withAuth = append(s.withAuth, r.URL.String())
		}
		s.mu.Unlock()
		next.ServeHTTP(w, r)
	})))(t)
	t.Cleanup(s.Close)
	return s
}

func (s *stranger) seen() (arrived, withAuth []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived, s.withAuth
}

// closedUntilNamed syncs while the foreign host is not named: nothing is sent there, the refusal says which line of
// the configuration would allow it, and other upstreams go on. It then opens the daemon with that line.
func (s *site) closedUntilNamed(foreign *stranger, free mirror.Reference, word string) {
	s.t.Helper()
	s.t.Setenv("POUNDLOCK_TEST_REGISTRY_PASSWORD", "right-canary")
	unnamed := s.config
	s.auth("docker-io", basicAuth)
	logged := s.listen()
	reports, err := s.trySync()
	if err != nil {
		s.t.Errorf("one set stops another: %v", err)
	}
	if arrived, _ := foreign.seen(); len(arrived) > 0 {
		s.t.Errorf("the foreign host was asked: %v", arrived)
	}
	kind, code, detail := badReason(reports["web"].Plan)
	if kind != mirror.Failed || code != mirror.UpstreamFailed {
		s.t.Errorf("got %s %s, want failed %s: %s", kind, code, mirror.UpstreamFailed, detail)
	}
	for _, want := range []string{foreign.Host(), "auth." + word + ": [" + foreign.Host() + "]"} {
		if !strings.Contains(detail, want) {
			s.t.Errorf("the reason does not name %s: %s", want, detail)
		}
	}
	discreet(s.t, "what people see", details(reports["web"].Plan), logged.String())
	if got := s.tag("mirror/snapshot/docker.io/library/bad", "1"); got != (mirror.Digest{}) {
		s.t.Errorf("bad names %s", got)
	}
	if got := s.tag("mirror/snapshot/other.example/apps/free", "1"); got != free.Digest {
		s.t.Errorf("the set of another upstream: free names %s", got)
	}
	s.close()
	s.config = unnamed
	s.auth("docker-io", strings.TrimSuffix(basicAuth, "}")+", "+word+": [\""+foreign.Host()+"\"]}")
	s.open()
}

// The upstream names a token server on another host. Nothing at all is sent there, and the error says which
// line of the configuration would allow it; with that line, the credential opens the door.
func TestForeignRealm_GetsNothingUntilItIsNamed(t *testing.T) {
	s, bad, _ := two(t, pinnedPolicy)
	free := s.withSecond()
	s.commit("free", map[string]string{"desired/free.yaml": "version: 1\nsource: {kind: list, images: [\"" + free.String() + "\"]}\nlayout: path\n"})
	tokens := testenv.NewTokens("poundlock", "right-canary")
	foreign := newStranger(t, tokens)
	s.upstream.RequireToken(tokens, foreign.URL()+"/token")
	s.closedUntilNamed(foreign, free, "realms")
	r := s.sync()["web"]
	if got := s.tag("mirror/snapshot/docker.io/library/bad", "1"); got != bad.Digest {
		t.Errorf("with the realm named: bad names %s\n%s", got, details(r.Plan))
	}
	if arrived, _ := foreign.seen(); len(arrived) == 0 {
		t.Error("the named realm was not asked")
	}
}

// The upstream redirects blobs to another host. It is not followed until the configuration names the host,
// and then without the credential.
func TestForeignRedirect_NeverGetsTheCredential(t *testing.T) {
	s, bad, _ := two(t, pinnedPolicy)
	free := s.withSecond()
	s.commit("free", map[string]string{"desired/free.yaml": "version: 1\nsource: {kind: list, images: [\"" + free.String() + "\"]}\nlayout: path\n"})
	back := must(url.Parse("http://" + s.upstream.Back()))(t)
	foreign := newStranger(t, httputil.NewSingleHostReverseProxy(back))
	front := newStranger(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "poundlock" || password != "right-canary" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if testenv.KindOf(r) == testenv.BlobGet {
			http.Redirect(w, r, foreign.URL()+r.URL.Path+"?signature=of-the-cdn", http.StatusTemporaryRedirect)
			return
		}
		httputil.NewSingleHostReverseProxy(back).ServeHTTP(w, r)
	}))
	s.config = strings.ReplaceAll(s.config, s.upstream.URL(), front.URL())
	s.closedUntilNamed(foreign, free, "redirects")
	r := s.sync()["web"]
	if got := s.tag("mirror/snapshot/docker.io/library/bad", "1"); got != bad.Digest {
		t.Errorf("with the host named: bad names %s\n%s", got, details(r.Plan))
	}
	if arrived, withAuth := foreign.seen(); len(arrived) == 0 || len(withAuth) > 0 {
		t.Errorf("the named host was asked %d times, %d times with a credential: %v", len(arrived), len(withAuth), withAuth)
	}
}

// A local registry that sends the bytes of an upload to another host is not obeyed.
func TestForeignUpload_GetsNoByte(t *testing.T) {
	s, _, _ := two(t, pinnedPolicy)
	back := must(url.Parse("http://" + s.local.Back()))(t)
	foreign := newStranger(t, http.NotFoundHandler())
	front := newStranger(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if testenv.KindOf(r) == testenv.UploadPost {
			w.Header().Set("Location", foreign.URL()+r.URL.Path+"session")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		httputil.NewSingleHostReverseProxy(back).ServeHTTP(w, r)
	}))
	s.config = strings.ReplaceAll(s.config, s.local.URL(), front.URL())
	s.auth("local", basicAuth)
	t.Setenv("POUNDLOCK_TEST_REGISTRY_PASSWORD", "right-canary")
	before := s.outside().tags
	r := s.sync()["web"]
	if kind, code, detail := badReason(r.Plan); kind != mirror.Failed || code != mirror.LocalFailed || !strings.Contains(detail, foreign.Host()) {
		t.Errorf("got %s %s, want failed %s that names %s: %s", kind, code, mirror.LocalFailed, foreign.Host(), detail)
	}
	if arrived, _ := foreign.seen(); len(arrived) > 0 {
		t.Errorf("the other host was asked: %v", arrived)
	}
	if now := s.outside().tags; !maps.Equal(now, before) {
		t.Errorf("tags: %v", now)
	}
}
