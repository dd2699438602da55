package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// masking is a transport that knows a secret.
type masking struct{ http.RoundTripper }

func (masking) Mask(text string) string { return strings.ReplaceAll(text, "canary", "***") }

func TestClient_ShowsNoSecretThatARegistrySendsBack(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"message": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"errors":[{"code":"canary","message":"you said \u0063anary, can\u200bary"}]}`)
		},
		"digest": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Docker-Content-Digest", "sha256:canary")
			w.Header().Set("OCI-Subject", "canary")
			w.WriteHeader(http.StatusOK)
			fmt.Fprint(w, `{"mediaType":"canary"}`)
		},
		"location": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://canary.example/")
			w.WriteHeader(http.StatusAccepted)
		},
		"status line": func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				fmt.Fprint(conn, "HTTP/1.1 canary\r\n\r\n")
				conn.Close()
			}
		},
	} {
		s := serve(t, answer)
		c := s.client()
		c = New(&http.Client{Transport: masking{c.http.Transport}}, c.endpoints)
		m := mirror.NewManifest("application/vnd.oci.image.manifest.v1+json", []byte(`{"mediaType":"application/vnd.oci.image.manifest.v1+json"}`))
		_, resolve := c.Resolve(t.Context(), ref("team/app:1"))
		_, get := c.Manifest(t.Context(), ref("team/app"), mirror.DigestOf(nil))
		_, put := c.Put(t.Context(), ref("team/app:1"), m)
		_, begin := c.Begin(t.Context(), ref("team/app"))
		_, list := c.Tags(t.Context(), ref("team/app"))
		_, probe := c.Probe(t.Context(), ref("team/app:1"))
		for op, err := range map[string]error{"resolve": resolve, "get": get, "put": put, "begin": begin, "tags": list, "probe": probe, "delete": c.Delete(t.Context(), ref("team/app:1"))} {
			var e *Error
			if err != nil && strings.Contains(err.Error(), "canary") || errors.As(err, &e) && strings.Contains(e.Code+e.Message, "canary") {
				t.Errorf("%s, %s: %v", name, op, err)
			}
		}
	}
}

func TestProbe_TellsWhatIsLeftOfARateLimit(t *testing.T) {
	for left, want := range map[string]Rate{
		"94;w=21600": {Known: true, Limit: 100, Remaining: 94, Window: 6 * time.Hour},
		"0":          {Known: true, Limit: 100, Remaining: 0, Window: 6 * time.Hour},
		"":           {}, "many": {}, "-1;w=1": {},
	} {
		c := always(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodHead {
				t.Errorf("a %s may count as a pull", r.Method)
			}
			w.Header().Set("RateLimit-Limit", "100;w=21600")
			w.Header().Set("RateLimit-Remaining", left)
		})
		if got, err := c.Probe(t.Context(), ref("team/app:1")); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", left, got, err, want)
		}
	}
}

func TestDelete_TakesTagAndManifestAway(t *testing.T) {
	c := real(t, t.TempDir()).client()
	d := push(t, c, ref("team/app"), "x")
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"%s","size":%d},"layers":[]}`, d.Digest, d.Size)
	m := mirror.NewManifest("application/vnd.oci.image.manifest.v1+json", []byte(body))
	if _, err := c.Put(t.Context(), ref("team/app:1"), m); err != nil {
		t.Fatal(err)
	}
	for _, what := range []mirror.Reference{ref("team/app:1"), ref("team/app").AtDigest(m.Descriptor.Digest)} {
		if err := c.Delete(t.Context(), what); err != nil {
			t.Errorf("delete %s: %v", what, err)
		}
		if _, err := c.Resolve(t.Context(), what); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("%s is still there: %v", what, err)
		}
	}
}
