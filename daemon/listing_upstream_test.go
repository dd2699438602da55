package daemon

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// What is no image is copied whole: any media type of manifest, config and layers, and what refers to it.
func TestListing_ArtifactsOfAnyMediaType(t *testing.T) {
	t.Parallel()
	s := listingSite(t, 0, "")
	var artifact v1.Image = mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), "application/vnd.example.policy.config.v1+json")
	for _, layer := range []string{"one", "two"} {
		artifact = must(mutate.AppendLayers(artifact, static.NewLayer([]byte(layer), types.MediaType("application/vnd.example."+layer+".v1.tar+zstd"))))(t)
	}
	artifact = mutate.Annotations(artifact, map[string]string{"org.example.kind": "policy"}).(v1.Image)
	d := must(testenv.Push(t.Context(), s.upstream.Back(), listedTool, "1.0.0", artifact))(t)
	if err := s.vendor.SignLegacy(t.Context(), s.upstream.Back()+"/"+listedTool, d, testenv.Claiming(listedTool)); err != nil {
		t.Fatal(err)
	}
	subject := mirror.Descriptor{MediaType: types.OCIManifestSchema1, Digest: d, Size: must(artifact.Size())(t)}
	referrer := must(testenv.Push(t.Context(), s.upstream.Back(), listedTool, "about", testenv.Referrer("sbom", "application/spdx+json", subject)))(t)
	s.sync()
	if got := s.tag("mirror/snapshot/"+listedTool, "1.0.0"); got != d {
		t.Fatalf("stands %v, want %v", got, d)
	}
	at := must(mirror.ParseReference(localName + "/mirror/snapshot/" + listedTool))(t)
	refers := must(s.line.registry.Referrers(t.Context(), at, d))(t)
	found := false
	for _, r := range refers {
		found = found || r.Digest == referrer
	}
	if !found {
		t.Errorf("what refers to it did not come along: %v", refers)
	}
	s.whole()
}

// A registry that tells of a push makes the source be asked, without a look at Git.
func TestListing_AWebhookAsks(t *testing.T) {
	t.Parallel()
	s := listingSite(t, 1, "")
	s.sync()
	s.version(1)
	s.upstream.Proxy().Reset()
	s.line.progress("tools").owe(Wake{Resolve: true})
	s.cycle(Wake{Why: "webhook", Sets: []string{"tools"}, Local: true})
	if n := s.upstream.Proxy().Counts().Of(testenv.TagList); n != 1 {
		t.Errorf("asked %d times", n)
	}
	s.sync()
	if got := s.snapshot(); got != "1.0.0 1.1.0" {
		t.Errorf("stands %q", got)
	}
}

func TestUpstream_GetsFilesAndShowsNoSecret(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/index.yaml":
			w.Write([]byte("0123456789"))
		case "/away":
			http.Redirect(w, r, "http://elsewhere.example/?key=get-canary", http.StatusFound)
		case "/down":
			w.WriteHeader(http.StatusBadGateway)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy})
	s.config += "  charts: {host: \"" + strings.TrimPrefix(server.URL, "http://") + "\", insecure: true}\n"
	up := s.open().upstream()
	if body, err := up.Get(t.Context(), server.URL+"/index.yaml", 10); err != nil || string(body) != "0123456789" {
		t.Errorf("got %q: %v", body, err)
	}
	for _, tt := range []struct {
		address string
		limit   int64
		is      error
		says    string
	}{
		{server.URL + "/index.yaml?key=get-canary", 9, mirror.ErrTooLarge, "/index.yaml"},
		{server.URL + "/none?key=get-canary", 9, mirror.ErrNotFound, "/none"},
		{server.URL + "/down?key=get-canary", 9, nil, "502"},
		{server.URL + "/away?key=get-canary", 9, nil, "/away"},
		{"http://127.0.0.1:1/?key=get-canary", 9, nil, "127.0.0.1"}, // in no configuration
		{"http://user:get-canary@charts.example/", 9, nil, "without a user"},
		{"file:///etc/get-canary", 9, nil, "want https"},
	} {
		_, err := up.Get(t.Context(), tt.address, tt.limit)
		if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "get-canary") {
			t.Errorf("%s: got %v", tt.address, err)
		}
	}
}
