package daemon

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// pullAsNode resolves a tag the way containerd on a node does: by the hosts.toml that the fleet repository
// holds for a stage, read by containerd's own parser, from the real registry. It gives the digest that the
// node would run.
func (s *site) pullAsNode(set, stage string, ref mirror.Reference) mirror.Digest {
	s.t.Helper()
	root := s.t.TempDir()
	toml := s.file("rendered/demo/" + set + "/" + stage + "/certs.d/" + ref.Host + "/hosts.toml")
	if toml == "" {
		s.t.Fatalf("no hosts.toml for %s at %s", ref.Host, stage)
	}
	// The site's name for the registry is no DNS name here; the node resolves it to this port.
	toml = strings.ReplaceAll(toml, localName, s.local.Host())
	if err := os.MkdirAll(filepath.Join(root, ref.Host), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, ref.Host, "hosts.toml"), []byte(toml), 0o644); err != nil {
		s.t.Fatal(err)
	}
	hosts, err := dockerconfig.ConfigureHosts(s.t.Context(), dockerconfig.HostOptions{HostDir: dockerconfig.HostDirFromRoot(root)})(ref.Host)
	if err != nil {
		s.t.Fatalf("containerd refuses hosts.toml: %v\n%s", err, toml)
	}
	for _, h := range hosts {
		if h.Host != s.local.Host() {
			s.t.Fatalf("a node would fall back to %s", h.Host)
		}
		if !h.Capabilities.Has(docker.HostCapabilityResolve) {
			continue
		}
		req := must(http.NewRequestWithContext(s.t.Context(), http.MethodGet, h.Scheme+"://"+h.Host+h.Path+"/"+ref.Repository+"/manifests/"+ref.Tag, nil))(s.t)
		req.Header.Set("Accept", "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json")
		resp := must(http.DefaultClient.Do(req))(s.t)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			return mirror.Digest{}
		}
		return mirror.DigestOf(body)
	}
	s.t.Fatalf("no host of hosts.toml resolves tags:\n%s", toml)
	return mirror.Digest{}
}

// promote commits the lines of the stage below as the stage file, as a person would.
func (s *site) promote(set, below, stage string) {
	s.t.Helper()
	from := "stages/" + set + "/" + below + ".yaml"
	if below == "snapshot" {
		from = "rendered/demo/" + set + "/" + below + ".yaml"
	}
	s.commit("promote "+set+" to "+stage, map[string]string{"stages/" + set + "/" + stage + ".yaml": s.file(from)})
}

func TestPathLayout_ProductionStaysUntilItsChangeIsMerged(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{
		"desired/policy.yaml": vendorPolicy,
		"desired/web.yaml":    "version: 1\nsource: {kind: list, images: [\"docker.io/library/haproxy:2.8-alpine\"]}\nlayout: path\nrender: {containerd: {}}\n"})
	old := s.pushSigned("docker.io/library/haproxy:2.8-alpine", "old")
	s.sync()
	s.promote("web", "snapshot", "staging")
	s.sync()
	s.promote("web", "staging", "production")
	s.sync()
	if got := s.pullAsNode("web", "production", old); got != old.Digest {
		t.Fatalf("production after its promotion: got %s, want %s", got, old.Digest)
	}

	renewed := s.pushSigned("docker.io/library/haproxy:2.8-alpine", "new")
	s.sync()
	for stage, want := range map[string]mirror.Digest{"snapshot": renewed.Digest, "staging": old.Digest, "production": old.Digest} {
		if got := s.pullAsNode("web", stage, old); got != want {
			t.Errorf("%s after the upstream tag moved: got %s, want %s", stage, got, want)
		}
	}
	s.promote("web", "snapshot", "staging")
	s.sync()
	if got := s.pullAsNode("web", "production", old); got != old.Digest {
		t.Errorf("production after staging moved: got %s, want %s", got, old.Digest)
	}
	s.promote("web", "staging", "production")
	s.sync()
	if got := s.pullAsNode("web", "production", old); got != renewed.Digest {
		t.Errorf("production after the merge: got %s, want %s", got, renewed.Digest)
	}

	// A plain revert of the stage file is a rollback.
	s.commit("Revert", map[string]string{"stages/web/production.yaml": "version: 1\nentries:\n  docker.io/library/haproxy:2.8-alpine: " + old.String() + "\n"})
	s.sync()
	if got := s.pullAsNode("web", "production", old); got != old.Digest {
		t.Errorf("production after the revert: got %s, want %s", got, old.Digest)
	}
	s.whole()
}

// With one entry of an ESS set refused, no production tag of the set moves and its override keeps its bytes,
// so that no image of the merged ConfigMap resolves to an upstream.
func TestAtomicSet_OneRefusalHoldsTheStageAndItsOverride(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{
		"desired/policy.yaml": "version: 1\nsigners: {vendor: {key: keys/vendor.pub}}\nrules:\n" +
			"  - {match: \"**\", stages: [snapshot, staging], require: {pinned: true}}\n  - {match: \"**\", stages: [production], require: {signers: [vendor], count: 1}}\n",
		"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nlayout: path\nrender: {element: {name: ess-images, namespace: ess}, containerd: {}}\n"})
	release := func(version string) (web, synapse mirror.Reference) {
		web = s.pushSigned("docker.io/vectorim/element-web:"+version, "web"+version)
		synapse = s.pushSigned("docker.io/matrixdotorg/synapse:"+version, "synapse"+version)
		return web, synapse
	}
	web1, synapse1 := release("v1")
	s.commit("release 1", map[string]string{"desired/ess/images_digests.yml": imagesDigests(web1, synapse1)})
	s.sync()
	s.promote("ess", "snapshot", "staging")
	s.sync()
	s.promote("ess", "staging", "production")
	s.sync()
	const override = "rendered/demo/ess/production/images-digests.yaml"
	before := s.file(override)
	if !strings.Contains(before, web1.Digest.String()) || !strings.Contains(before, synapse1.Digest.String()) {
		t.Fatalf("override of release 1:\n%s", before)
	}

	web2 := s.pushSigned("docker.io/vectorim/element-web:v2", "webv2")
	synapse2 := s.push("docker.io/matrixdotorg/synapse:v2", "synapsev2") // unsigned: staging takes it, production does not
	s.commit("release 2", map[string]string{"desired/ess/images_digests.yml": imagesDigests(web2, synapse2)})
	s.sync()
	s.promote("ess", "snapshot", "staging")
	s.sync()
	s.promote("ess", "staging", "production")
	r := s.sync()["ess"]
	if got := kinds(r.Plan, mirror.Refuse); got["production/synapse/synapse"] != mirror.NoSignature || got["production/element_web/element_web"] != mirror.Held {
		t.Errorf("refused at production: %v", got)
	}
	for repo, tag := range map[string]string{"vectorim/element-web": "v2", "matrixdotorg/synapse": "v2"} {
		if d := s.tag("mirror/production/docker.io/"+repo, tag); d != (mirror.Digest{}) {
			t.Errorf("production tag %s:%s names %s although the set is held", repo, tag, d)
		}
	}
	if after := s.file(override); after != before {
		t.Errorf("the override changed while the set is held:\n%s", after)
	}
	for line := range strings.Lines(s.file(override)) {
		if strings.Contains(line, "image_repository_server") && !strings.Contains(line, localName) {
			t.Errorf("an image resolves elsewhere: %s", line)
		}
	}

	// The vendor signs late: the promotion completes by itself.
	if err := s.vendor.SignLegacy(t.Context(), s.upstream.Back()+"/"+synapse2.Name(), synapse2.Digest, testenv.Claiming(synapse2.Name())); err != nil {
		t.Fatal(err)
	}
	s.sync()
	if after := s.file(override); !strings.Contains(after, web2.Digest.String()) || !strings.Contains(after, synapse2.Digest.String()) || strings.Contains(after, web1.Digest.String()) {
		t.Errorf("override after the late signature:\n%s", after)
	}
	s.whole()
}

func imagesDigests(web, synapse mirror.Reference) string {
	var b strings.Builder
	b.WriteString("images_digests:\n")
	for name, r := range map[string]mirror.Reference{"element_web": web, "synapse": synapse} {
		b.WriteString("  " + name + ":\n    " + name + ":\n      image_repository_server: " + r.Host + "\n      image_repository_path: " + r.Repository +
			"\n      image_tag: " + r.Tag + "\n      image_digest: " + r.Digest.String() + "\n")
	}
	return b.String()
}
