package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry/embedded"
)

const host = "local.example"

// server is a registry that writes down what it is asked.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string // method and path
	busy  int      // requests that are being answered
}

func serve(t *testing.T, h http.Handler) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+r.URL.Path)
		s.busy++
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.busy--
		}()
		h.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// settled waits until the server has answered n requests and is at none.
func (s *server) settled(t *testing.T, n int) {
	t.Helper()
	deadline, tick := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		s.mu.Lock()
		done := len(s.asked) >= n && s.busy == 0
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the server does not come to rest after %v", s.requests())
		}
	}
}

func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// client asks the server under the name host.
func (s *server) client() *Client {
	return New(s.Client(), map[string]Endpoint{host: {URL: s.URL}})
}

// real opens the embedded registry on dir.
func real(t *testing.T, dir string) *server {
	t.Helper()
	r, err := embedded.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return serve(t, r)
}

// withReferrers is go-containerregistry's registry, which has the referrers API.
func withReferrers(t *testing.T) *server {
	return serve(t, ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0))))
}

// always answers everything in one way.
func always(t *testing.T, answer http.HandlerFunc) *Client { return serve(t, answer).client() }

func ref(s string) mirror.Reference {
	r, err := mirror.ParseReference(host + "/" + s)
	if err != nil {
		panic(err)
	}
	return r
}

func blobOf(content string) mirror.Descriptor {
	return mirror.Descriptor{MediaType: "application/octet-stream", Digest: mirror.DigestOf([]byte(content)), Size: int64(len(content))}
}

func push(t *testing.T, c *Client, to mirror.Reference, content string) mirror.Descriptor {
	t.Helper()
	d := blobOf(content)
	session, err := c.Begin(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Upload(t.Context(), session, d, 0, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return d
}

const imageType = "application/vnd.oci.image.manifest.v1+json"
const indexType = "application/vnd.oci.image.index.v1+json"

// image is a manifest with one blob as config, and optionally a subject.
func image(config mirror.Descriptor, subject *mirror.Descriptor) mirror.Manifest {
	more := ""
	if subject != nil {
		more = fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":%d}`, subject.MediaType, subject.Digest, subject.Size)
	}
	return mirror.NewManifest(imageType, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[]%s}`,
		imageType, config.Digest, config.Size, more))
}

func put(t *testing.T, c *Client, to mirror.Reference, m mirror.Manifest) bool {
	t.Helper()
	accepted, err := c.Put(t.Context(), to, m)
	if err != nil {
		t.Fatal(err)
	}
	return accepted
}

func TestClient_ManifestComesBackAsItWent(t *testing.T) {
	s := real(t, t.TempDir())
	c := s.client()
	m := image(push(t, c, ref("team/app"), "{}"), nil)
	if put(t, c, ref("team/app:v1"), m) {
		t.Error("a manifest without a subject was accepted as referrer")
	}
	before := len(s.requests())
	d, err := c.Resolve(t.Context(), ref("team/app:v1"))
	if err != nil || d.Digest != m.Descriptor.Digest || d.Size != m.Descriptor.Size || d.MediaType != imageType {
		t.Fatalf("resolve: got %+v, %v", d, err)
	}
	if asked := s.requests()[before:]; len(asked) != 1 || !strings.HasPrefix(asked[0], "HEAD ") {
		t.Errorf("resolve asked %v, want one HEAD", asked)
	}
	if _, err := c.Resolve(t.Context(), ref("team/app").AtDigest(d.Digest)); err != nil {
		t.Errorf("head by digest: %v", err)
	}
	got, err := c.Manifest(t.Context(), ref("team/app"), d.Digest)
	if err != nil || !bytes.Equal(got.Body, m.Body) || got.Descriptor.MediaType != imageType {
		t.Errorf("get: %+v, %v", got.Descriptor, err)
	}
	tags, err := c.Tags(t.Context(), ref("team/app"))
	if err != nil || !slices.Equal(tags, []string{"v1"}) {
		t.Errorf("tags: %v, %v", tags, err)
	}
}

func TestClient_AbsenceIsErrNotFound(t *testing.T) {
	c := real(t, t.TempDir()).client()
	none := mirror.DigestOf([]byte("none"))
	_, head := c.Resolve(t.Context(), ref("team/app:v1"))
	_, get := c.Manifest(t.Context(), ref("team/app"), none)
	_, blob := c.Blob(t.Context(), ref("team/app"), none, 0)
	_, tags := c.Tags(t.Context(), ref("team/app"))
	_, offset := c.Offset(t.Context(), c.endpoints[host].URL+"/v2/team/app/blobs/uploads/7c9e6679-7425-40de-944b-e07fc1f90ae7")
	for name, err := range map[string]error{"head": head, "get": get, "blob": blob, "tags": tags, "offset": offset} {
		if !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("%s: got %v, want not found", name, err)
		}
	}
	if has, err := c.HasBlob(t.Context(), ref("team/app"), none); has || err != nil {
		t.Errorf("has blob: %v, %v", has, err)
	}
}

func TestClient_UsesEndpointAndPrefix(t *testing.T) {
	s := real(t, t.TempDir())
	push(t, s.client(), ref("cache/docker.io/team/app"), "hello")
	c := New(s.Client(), map[string]Endpoint{"docker.io": {URL: s.URL, Prefix: "/cache/docker.io/"}})
	r, _ := mirror.ParseReference("docker.io/team/app")
	if has, err := c.HasBlob(t.Context(), r, blobOf("hello").Digest); !has || err != nil {
		t.Errorf("got %v, %v", has, err)
	}
	for name, want := range map[string]string{"docker.io": "https://registry-1.docker.io", "index.docker.io": "https://registry-1.docker.io", "ghcr.io": "https://ghcr.io"} {
		if got := DefaultEndpoint(name).URL; got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	for _, bad := range []string{"", "registry.example", "ftp://x", "https://me:pw@x"} {
		_, err := New(s.Client(), map[string]Endpoint{host: {URL: bad}}).Tags(t.Context(), ref("a/b"))
		if err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("endpoint %q: %v", bad, err)
		}
	}
}

func TestClient_RefusesNamesThatChangeTheURL(t *testing.T) {
	s := serve(t, http.NotFoundHandler())
	for _, r := range []mirror.Reference{
		{Host: host, Repository: "../../admin", Tag: "v1"},
		{Host: host, Repository: "a?x=1", Tag: "v1"},
		{Host: host, Repository: "", Tag: "v1"},
		{Host: host, Repository: "a//b", Tag: "v1"},
		{Host: host, Repository: "a", Tag: "../tags/list"},
		{Host: host, Repository: "a", Tag: ".."},
		{Host: host, Repository: "a"},
	} {
		if _, err := s.client().Resolve(t.Context(), r); err == nil || errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("%+v: got %v", r, err)
		}
	}
	if n := len(s.requests()); n != 0 {
		t.Errorf("%d requests went out", n)
	}
}

func TestClient_ResolvesWithoutDigestHeader(t *testing.T) {
	m := image(blobOf("{}"), nil)
	c := always(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", imageType)
		w.Write(m.Body)
	})
	d, err := c.Resolve(t.Context(), ref("team/app:v1"))
	if err != nil || d.Digest != m.Descriptor.Digest {
		t.Errorf("got %v, %v", d, err)
	}
}

func TestKeychain_ReadsTheDockerConfiguration(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("HOME", t.TempDir())
	write(t, dir+"/config.json", `{"auths":{"reg.example:5000":{"auth":"bWU6cHc="},"https://index.docker.io/v1/":{"auth":"bWU6aHVi"},"tok.example":{"identitytoken":"long"}}}`)
	for name, want := range map[string][3]string{
		"reg.example:5000":  {"me", "pw", ""},
		"docker.io":         {"me", "hub", ""},
		"tok.example":       {"<token>", "long", ""},
		"reg.example":       {},
		"anonymous.example": {},
	} {
		u, p, tok, err := Keychain(name)(t.Context())
		if got := [3]string{u, p, tok}; err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, want)
		}
	}
	if _, _, _, err := Keychain("not a host")(t.Context()); err == nil {
		t.Error("a malformed host was asked for")
	}
	write(t, dir+"/config.json", `{`)
	if _, _, _, err := Keychain("reg.example")(context.Background()); err == nil {
		t.Error("a broken configuration reads as anonymous")
	}
}
