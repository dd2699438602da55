package render

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"
	dockerregistry "github.com/docker/docker/registry"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rancher/wharfie/pkg/registries"
	"github.com/sirupsen/logrus"

	"github.com/poundlock/poundlock/internal/mirror"
)

// eachNode runs a test for a kind of nodes, for a set of sixty images and for a consumer that runs two sets.
func eachNode(t *testing.T, ask string, test func(t *testing.T, f sixtyFleet, files mirror.Files)) {
	t.Run("set", func(t *testing.T) {
		f := sixty(t, mirror.LayoutPath, ask)
		test(t, f, f.rendered(t))
	})
	t.Run("consumer", func(t *testing.T) {
		f := sixtyConsumer(t, ask)
		test(t, f, f.rendered(t))
	})
}

// containerd's own reader leads every one of sixty images to the local registry alone, at a path where it lies.
func TestContainerd_SixtyImagesByItsOwnReader(t *testing.T) {
	eachNode(t, "containerd: {}", func(t *testing.T, f sixtyFleet, files mirror.Files) {
		hosts := config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(filepath.Join(write(t, files), "certs.d"))})
		for upstream, lies := range f.lies() {
			found, err := hosts(upstream.Host)
			if err != nil {
				t.Fatal(err)
			}
			asked := false
			for _, h := range found {
				if h.Host != sixtyLocal.Host || h.Scheme != "https" || h.Capabilities != docker.HostCapabilityPull|docker.HostCapabilityResolve {
					t.Errorf("%s leads to %s://%s with %v", upstream, h.Scheme, h.Host, h.Capabilities)
				}
				asked = asked || h.Host+strings.TrimPrefix(h.Path, "/v2")+"/"+upstream.Repository == lies.Name()
			}
			if !asked {
				t.Errorf("%s is never asked for at %s: %+v", upstream, lies.Name(), found)
			}
		}
	})
}

// What CRI-O and Podman make of the file, by their own library: every image comes from the local registry, by tag and by
// digest, and the upstream is blocked.
func TestRegistriesConf_SixtyImagesByTheRealLibrary(t *testing.T) {
	eachNode(t, "registries-conf: {}", func(t *testing.T, f sixtyFleet, files mirror.Files) {
		root := write(t, files)
		system := &types.SystemContext{SystemRegistriesConfPath: filepath.Join(root, filepath.FromSlash(registriesConfFile)), SystemRegistriesConfDirPath: filepath.Join(root, "none")}
		for upstream, lies := range f.lies() {
			for _, asked := range []mirror.Reference{upstream.WithDigest(mirror.Digest{}), upstream.AtDigest(upstream.Digest)} {
				if asked.Tag == "" && !asked.HasDigest() {
					continue
				}
				named, err := reference.ParseNamed(asked.String())
				if err != nil {
					t.Fatal(err)
				}
				registry, err := sysregistriesv2.FindRegistry(system, named.Name())
				if err != nil || registry == nil {
					t.Fatalf("%s: %v, %+v", asked, err, registry)
				}
				sources, err := registry.PullSourcesFromReference(named)
				if err != nil || !registry.Blocked {
					t.Fatalf("%s: blocked %v, %v", asked, registry.Blocked, err)
				}
				found := false
				for _, source := range sources[:len(sources)-1] { // the last is the upstream, which is blocked
					if reference.Domain(source.Reference) != sixtyLocal.Host {
						t.Errorf("%s leads to %s", asked, source.Reference)
					}
					found = found || source.Reference.Name() == lies.Name() && strings.HasSuffix(source.Reference.String(), strings.TrimPrefix(asked.String(), asked.Name()))
				}
				if !found {
					t.Errorf("%s is not asked for at %s: %v", asked, lies.Name(), sources)
				}
			}
		}
	})
}

// wharfie is what k3s and RKE2 pull with: every image is asked for at the local registry first, where it lies.
func TestK3s_SixtyImagesByWharfie(t *testing.T) {
	logrus.SetOutput(io.Discard)
	t.Cleanup(func() { logrus.SetOutput(os.Stderr) })
	var asked []string
	broken := func() {}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before, _, manifest := strings.Cut(r.URL.Path, "/manifests/"); manifest {
			asked = append(asked, before)
			broken() // nobody else is asked after us
		}
		if r.URL.Path != "/v2/" { // which wharfie asks for first, and registries answer nowhere else
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	f := sixty(t, mirror.LayoutPath, "k3s: {}")
	near := sixtyLocal
	near.Host, near.Insecure = strings.TrimPrefix(server.URL, "http://"), true
	r := Files(near, f.sets[0], f.records["main"], mirror.Plan{}, f.files)
	if len(r.Kept) > 0 {
		t.Fatalf("kept: %+v", r.Kept)
	}
	root := write(t, r.Files)
	private, err := registries.GetPrivateRegistries(filepath.Join(root, filepath.FromSlash(Dir(near, f.sets[0], "production")), k3sFile))
	if err != nil {
		t.Fatal(err)
	}
	for upstream := range f.lies() {
		for _, spelling := range []string{upstream.WithDigest(mirror.Digest{}).String(), upstream.AtDigest(upstream.Digest).String()} {
			ref, err := name.ParseReference(spelling)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			asked, broken = nil, cancel
			_, err = private.Image(ref, remote.WithContext(ctx))
			cancel()
			want := "/v2/" + near.Repository(f.sets[0], "production", upstream).Repository
			if err == nil || len(asked) != 1 || asked[0] != want {
				t.Errorf("%s is asked for at %v, want %s", spelling, asked, want)
			}
		}
	}
}

// The engine's own check accepts the mirror, and the patch leaves the rest of a daemon.json alone.
func TestDocker_ItsOwnCheckAcceptsTheMirror(t *testing.T) {
	f := sixty(t, mirror.LayoutPath, sixtyAsk("docker"))
	body := f.rendered(t)[dockerFile]
	doc, ps := mirror.ParseDocument(dockerFile, body)
	var mirrors []string
	if ps = append(ps, doc.Key("registry-mirrors").Decode(&mirrors)...); len(ps) > 0 || len(mirrors) != 1 {
		t.Fatalf("%s: %v", body, ps)
	}
	for _, text := range mirrors {
		if _, err := dockerregistry.ValidateMirror(text); err != nil {
			t.Error(err)
		}
	}
	if keys := fmt.Sprint(doc.Keys()); keys != "[registry-mirrors]" {
		t.Errorf("the patch touches %s", keys)
	}
}

// Whatever the engine's own check refuses is told by lint.
func TestDocker_LintTellsWhatTheEngineRefuses(t *testing.T) {
	for _, text := range []string{"hub.example", "hub.example:5000", "ftp://hub.example", "https://u:p@hub.example", "https://hub.example?a=b", "https://hub.example#x", "https://hub.example", "http://hub.example:5000/"} {
		_, err := dockerregistry.ValidateMirror(text)
		if ps := lintDocker(dockerFile, fmt.Appendf(nil, "{\"registry-mirrors\": [%q]}", text)); (err != nil) != (len(ps) > 0) {
			t.Errorf("%s: the engine says %v, lint %v", text, err, ps)
		}
	}
}
