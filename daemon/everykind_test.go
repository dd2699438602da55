package daemon

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	dockerref "github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"
	ggcr "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rancher/wharfie/pkg/registries"
	"github.com/sirupsen/logrus"
	"go.yaml.in/yaml/v4"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/sops"
	"github.com/poundlock/poundlock/sync/render"
	"github.com/poundlock/poundlock/testenv"
)

// What every kind of override is asked with. docker, and containerd-config beside containerd, cannot stand with the
// others, so they have a consumer and a set of their own.
var (
	ofTools = map[string]string{
		"kustomize": "{}", "digests": "{}", "containerd": "{}", "k3s": "{}", "registries-conf": "{}", "talos": "{}", "openshift": "{}", "kyverno": "{}", "image-swap": "{}",
		"template": "{files: [{name: all.yaml, from: templates/all.tmpl}]}",
		"helm":     "{pullSecret: {name: helm, credential: pull}, pullSecrets: [secrets], images: {a.image: {entry: 'registry.k8s.io/pause:*', form: image}}}",
		"docker":   "{fallback: true, mirror: 'https://hub.example'}",
		"eck":      "{version: 9.3.0, image: 'registry.k8s.io/pause:*'}", "package-registry": "{image: 'registry.k8s.io/pause:*'}",
	}
	ofESS     = map[string]string{"element": "{namespace: ess, pullSecret: {name: registry, credential: pull}}", "palette": "{registryInfo: {credential: pull}}"}
	ofCharts  = map[string]string{"esshelm": "{pullSecret: {name: charts, credential: pull}}", "containerd-config": "{fallback: true}"}
	ofCluster = map[string]string{"containerd": "{}", "k3s": "{}", "registries-conf": "{}", "talos": "{form: machine}", "openshift": "{scope: repository}", "kyverno": "{}", "image-swap": "{}"}
	ofLegacy  = map[string]string{"containerd-config": "{fallback: true}"}
	ofHub     = map[string]string{"docker": ofTools["docker"]}
)

func asks(kinds map[string]string) string {
	var all []string
	for kind, options := range kinds {
		all = append(all, kind+": "+options)
	}
	slices.Sort(all)
	return "render: {" + strings.Join(all, ", ") + "}\n"
}

// everyKind is a site whose fleet asks for every kind of override, of sets and of consumers, at a local registry that
// consumers reach under the name that the overrides use.
func everyKind(t *testing.T) (s *site, images []mirror.Reference, cluster *sops.Identity) {
	t.Helper()
	s = newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy, "desired/templates/all.tmpl": "{{ range .Images }}{{ quote .Entry }}: {{ quote .Local.Ref }}\n{{ end }}"})
	more := ""
	for _, host := range []string{"registry.k8s.io", "gcr.io", "images.example:5000"} {
		lies := strings.ReplaceAll(host, ":", "_")
		more += fmt.Sprintf("  %s: {host: %q, endpoint: %q, prefix: %s, insecure: true}\n", strings.NewReplacer(".", "-", "_", "-").Replace(lies), host, s.upstream.URL(), lies)
	}
	for _, upstream := range []string{"docker.io/library/haproxy:2.8", "docker.io/library/redis:7.2", "docker.io/team/app.one:1.10", "docker.io/library/postgres:17",
		"ghcr.io/team/tool:v1.0.0-rc.1_x", "ghcr.io/a/b/c:1", "quay.io/org/exporter:1.2", "quay.io/org/by-digest:1", "registry.k8s.io/pause:3.10", "gcr.io/x/y:1", "images.example:5000/team/app:2"} {
		r := must(mirror.ParseReference(upstream))(t)
		lies := strings.ReplaceAll(r.Host, ":", "_") + "/" + r.Repository
		images = append(images, r.WithDigest(must(testenv.Push(t.Context(), s.upstream.Back(), lies, r.Tag, testenv.Image(upstream)))(t)))
	}
	images[7] = images[7].WithTag("") // by digest alone
	ess := []mirror.Reference{s.push("docker.io/ess/one:1.10", "one"), s.push("ghcr.io/ess/two:v2", "two")}
	synapse := s.push("ghcr.io/charts/synapse:v1", "synapse")
	s.commit("what everybody needs", map[string]string{
		"desired/tools.yaml":             "version: 1\nsource: {kind: list, file: tools.txt}\nlayout: path\npaths: {ghcr.io: gh}\n" + asks(ofTools),
		"desired/tools.txt":              list(images...),
		"desired/ess.yaml":               "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nlayout: path\n" + asks(ofESS),
		"desired/ess/images_digests.yml": manyDigests(ess),
		"stages/ess/staging.yaml":        fmt.Sprintf("version: 1\nentries:\n  app00/app00: %q\n  app01/app01: %q\n", ess[0], ess[1]),
		"desired/charts.yaml":            "version: 1\nsource: {kind: esshelm, chart: charts/c}\nlayout: path\n" + asks(ofCharts),
		"desired/charts/c/Chart.yaml":    "apiVersion: v2\nname: matrix-stack\nversion: 26.8.1\n",
		"desired/charts/c/values.yaml":   fmt.Sprintf("synapse:\n  image: {registry: %s, repository: %s, tag: %q, digest: %q}\n", synapse.Host, synapse.Repository, synapse.Tag, synapse.Digest),
		"desired/consumers/cluster.yaml": "version: 1\nruns: [{set: tools, stage: snapshot}, {set: ess, stage: staging}]\n" + asks(ofCluster),
		"desired/consumers/legacy.yaml":  "version: 1\nruns: [{set: tools, stage: snapshot}]\n" + asks(ofLegacy),
		"desired/consumers/hub.yaml":     "version: 1\nruns: [{set: tools, stage: snapshot}]\n" + asks(ofHub),
	})
	own, reader := must(age.GenerateX25519Identity())(t), must(age.GenerateX25519Identity())(t)
	for secret, text := range map[string]string{"pull": pullPassword, "identity": own.String(), "writer": "write-canary", "upstream": "upstream-canary"} {
		s.secret(secret, text)
	}
	s.upstream.RequireBasic("puller", "upstream-canary")
	auth := func(user, secret string) string {
		return fmt.Sprintf("auth: {username: %s, password: {file: %q}}, insecure: true}", user, s.path(secret))
	}
	s.config = strings.ReplaceAll(s.config+more, "insecure: true}", auth("puller", "upstream")) +
		fmt.Sprintf("secrets:\n  credentials: {pull: {username: reader, password: {file: %q}}}\n  age: {recipients: [%s], identity: {file: %q}}\n", s.path("pull"), reader.Recipient(), s.path("identity"))
	s.config = strings.Replace(s.config, auth("puller", "upstream"), auth("writer", "writer"), 1) // the first is the local registry
	s.config = strings.Replace(s.config, fmt.Sprintf("%q", localName), fmt.Sprintf("%q", s.local.Host()), 1)
	return s, append(images, ess...), must(sops.ParseIdentity(reader.String()))(t)
}

// Every kind of override of one fleet, as it is committed, leads its own consumer's parser to the local registry, where
// the content really is; nothing of it holds a secret, and a second run has nothing to say.
func TestEveryKind_LeadsToContentThatIsThere(t *testing.T) {
	t.Parallel()
	s, images, cluster := everyKind(t)
	for consumer, asked := range map[bool][]map[string]string{false: {ofTools, ofESS, ofCharts}, true: {ofCluster, ofLegacy, ofHub}} {
		for _, kind := range render.KindsFor(consumer) {
			if kind == "kibana" {
				continue // of a set of packages, and of no image
			}
			if !slices.ContainsFunc(asked, func(all map[string]string) bool { return all[kind] != "" }) {
				t.Errorf("kind %s is not asked for here (of a consumer: %v): add it above", kind, consumer)
			}
		}
	}
	for set, r := range s.sync() {
		for folder, why := range keptFolders(r.Plan) {
			if strings.HasPrefix(why, "refuse") {
				t.Errorf("%s: %s: %s", set, folder, why)
			}
		}
	}
	s.whole()
	files := must(s.git.Files("main"))(t)
	root := t.TempDir()
	for file, body := range files {
		if rest, ours := strings.CutPrefix(file, "rendered/demo/"); ours {
			target := filepath.Join(root, filepath.FromSlash(rest))
			if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(target, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	nodes := filepath.Join(root, "consumers", "cluster")
	t.Run("containerd", func(t *testing.T) { s.pulledByContainerd(t, nodes, images) })
	t.Run("registries-conf", func(t *testing.T) { s.pulledByPodman(t, nodes, images) })
	t.Run("k3s", func(t *testing.T) { s.pulledByK3s(t, filepath.Join(root, "tools", "snapshot"), images[:11]) })
	t.Run("kustomize", func(t *testing.T) {
		s.pulledByKustomize(t, files["rendered/demo/tools/snapshot/kustomize/kustomization.yaml"], images[:11])
	})
	t.Run("element", func(t *testing.T) { s.pulledByElement(t, files, images[11:]) })
	t.Run("all that is named", func(t *testing.T) { s.holdsAllThatIsNamed(t, files) })
	t.Run("secrets", func(t *testing.T) {
		sealed := 0
		for file, body := range files {
			if strings.HasPrefix(file, "rendered/") && strings.Contains(body, "\nsops:") {
				sealed++
				if _, err := sops.Decrypt([]byte(body), cluster); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
		}
		if sealed < 5 { // helm and esshelm at one stage, element and Palette at two
			t.Errorf("%d encrypted files, want one for each that was asked for", sealed)
		}
		s.noneInClear("git-pass-canary", "upstream-canary")
	})

	head := s.git.Head()
	s.reset()
	for _, w := range []Wake{{Why: "poll"}, {Why: "schedule", Resolve: true}} {
		s.now = s.now.Add(time.Hour)
		s.cycle(w)
	}
	if l, u := s.local.Proxy().Counts().Total(), s.upstream.Proxy().Counts().Total(); l+u > 0 {
		t.Errorf("nothing changed: %d requests to the local registry and %d upstream", l, u)
	}
	if s.sync(); s.local.Proxy().Counts().Writes() > 0 || s.git.Head() != head {
		t.Errorf("nothing changed: %d writes, and the last commit says\n%s", s.local.Proxy().Counts().Writes(), must(s.git.Log())(t)[0].Message)
	}
	rest(t, s, s.twin()) // nor has a daemon with another state, which encrypts nothing anew
}

// held fails the test where the local registry does not give the content under a name as an override has it.
func (s *site) held(t *testing.T, written string, want mirror.Digest) {
	t.Helper()
	ref, err := ggcr.ParseReference(written, ggcr.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if got := ref.Context().RegistryStr(); got != s.local.Host() {
		t.Errorf("%s lies at %s, not at the local registry", written, got)
		return
	}
	switch found, err := remote.Head(ref, remote.WithContext(t.Context())); {
	case err != nil:
		t.Errorf("%s: %v", written, err)
	case found.Digest.String() != want.String():
		t.Errorf("%s is %s, want %s", written, found.Digest, want)
	}
}

func (s *site) pulledByContainerd(t *testing.T, nodes string, images []mirror.Reference) {
	hosts := config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(filepath.Join(nodes, "certs.d"))})
	for _, image := range images {
		found := must(hosts(image.Host))(t)
		i := slices.IndexFunc(found, func(h docker.RegistryHost) bool { return s.has(h.Host+strings.TrimPrefix(h.Path, "/v2"), image) })
		if i < 0 || slices.ContainsFunc(found, func(h docker.RegistryHost) bool { return h.Host != s.local.Host() || h.Scheme != "http" }) {
			t.Errorf("%s is asked for at %+v", image, found)
			continue
		}
		s.held(t, found[i].Host+strings.TrimPrefix(found[i].Path, "/v2")+"/"+image.Repository+"@"+image.Digest.String(), image.Digest)
	}
}

// has tells whether an image lies below a place, as a node finds out by asking there.
func (s *site) has(place string, image mirror.Reference) bool {
	ref, err := ggcr.NewDigest(place+"/"+image.Repository+"@"+image.Digest.String(), ggcr.Insecure)
	if err != nil {
		return false
	}
	_, err = remote.Head(ref)
	return err == nil
}

func (s *site) pulledByPodman(t *testing.T, nodes string, images []mirror.Reference) {
	system := &types.SystemContext{SystemRegistriesConfPath: filepath.Join(nodes, "registries.conf.d", "poundlock.conf"), SystemRegistriesConfDirPath: filepath.Join(nodes, "none")}
	for _, image := range images {
		for _, written := range []string{image.AtDigest(image.Digest).String(), image.Name() + ":" + image.Tag} {
			if strings.HasSuffix(written, ":") {
				continue
			}
			named := must(dockerref.ParseNamed(written))(t)
			registry := must(sysregistriesv2.FindRegistry(system, named.Name()))(t)
			if registry == nil || !registry.Blocked {
				t.Errorf("%s: the upstream is not blocked: %+v", written, registry)
				continue
			}
			sources := must(registry.PullSourcesFromReference(named))(t)
			sources = sources[:len(sources)-1] // the upstream, which is blocked
			i := slices.IndexFunc(sources, func(source sysregistriesv2.PullSource) bool {
				return s.has(strings.TrimSuffix(source.Reference.Name(), "/"+image.Repository), image)
			})
			if i < 0 {
				t.Errorf("%s is asked for at %+v", written, sources)
				continue
			}
			s.held(t, sources[i].Reference.String(), image.Digest)
		}
	}
}

func (s *site) pulledByK3s(t *testing.T, nodes string, images []mirror.Reference) {
	logrus.SetOutput(io.Discard)
	private := must(registries.GetPrivateRegistries(filepath.Join(nodes, "registries.yaml")))(t)
	for _, image := range images {
		for _, written := range []string{image.AtDigest(image.Digest).String(), image.Name() + ":" + image.Tag} {
			if strings.HasSuffix(written, ":") {
				continue
			}
			s.reset()
			pulled, err := private.Image(must(ggcr.ParseReference(written))(t), remote.WithContext(t.Context()))
			if err != nil {
				t.Errorf("%s: %v", written, err)
				continue
			}
			if got := must(pulled.Digest())(t); got.String() != image.Digest.String() || s.local.Proxy().Counts().Total() == 0 {
				t.Errorf("%s came as %s with %d requests to the local registry", written, got, s.local.Proxy().Counts().Total())
			}
		}
	}
}

func (s *site) pulledByKustomize(t *testing.T, component string, images []mirror.Reference) {
	fs := filesys.MakeFsInMemory()
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n"
	for i, image := range images {
		pod += fmt.Sprintf("  - {name: n%d, image: %q}\n", i, image)
	}
	for file, text := range map[string]string{"app/pod.yaml": pod, "app/kustomization.yaml": "resources: [pod.yaml]\ncomponents: [../component]\n", "component/kustomization.yaml": component} {
		if err := fs.WriteFile(file, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	text := must(must(krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, "app"))(t).AsYaml())(t)
	var built struct {
		Spec struct {
			Containers []struct{ Name, Image string }
		}
	}
	if err := yaml.Unmarshal(text, &built); err != nil || len(built.Spec.Containers) != len(images) {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, c := range built.Spec.Containers {
		var i int
		if _, err := fmt.Sscanf(c.Name, "n%d", &i); err != nil {
			t.Fatal(err)
		}
		s.held(t, c.Image, images[i].Digest)
	}
}

func (s *site) pulledByElement(t *testing.T, files map[string]string, images []mirror.Reference) {
	for _, stage := range []string{"snapshot", "staging"} {
		var outer struct{ Data map[string]string }
		var inner map[string]map[string]struct {
			Server string `yaml:"image_repository_server"`
			Path   string `yaml:"image_repository_path"`
			Tag    string `yaml:"image_tag"`
			Digest string `yaml:"image_digest"`
		}
		err := yaml.Unmarshal([]byte(files["rendered/demo/ess/"+stage+"/images-digests.yaml"]), &outer)
		if err == nil {
			err = yaml.Unmarshal([]byte(outer.Data["images_digests"]), &inner)
		}
		if err != nil || len(inner) != len(images) {
			t.Fatalf("%s: %v, %+v", stage, err, inner)
		}
		for i, image := range images {
			app := fmt.Sprintf("app%02d", i)
			s.held(t, inner[app][app].Server+"/"+inner[app][app].Path+"@"+inner[app][app].Digest, image.Digest)
			s.held(t, inner[app][app].Server+"/"+inner[app][app].Path+":"+inner[app][app].Tag, image.Digest)
		}
	}
}

// holdsAllThatIsNamed looks through all files, of kinds whose consumers have no parser here, too: what names content of
// the local registry names what it holds, and what names a place there names one below which something lies.
func (s *site) holdsAllThatIsNamed(t *testing.T, files map[string]string) {
	host := regexp.QuoteMeta(s.local.Host())
	content := regexp.MustCompile(host + `/[a-z0-9._/-]+(?::[\w.-]+)?@(sha256:[0-9a-f]{64})`)
	place := regexp.MustCompile(host + `/(?:v2/)?(mirror/[a-z0-9._/-]*[a-z0-9])`)
	tags := testenv.TagsOf(s.local.Back())
	named := map[string]bool{} // folders whose files name the local registry
	for file, text := range files {
		if !strings.HasPrefix(file, "rendered/") || strings.HasPrefix(file, "rendered/demo/record/") {
			continue
		}
		for _, match := range content.FindAllStringSubmatch(text, -1) {
			s.held(t, match[0], must(mirror.ParseDigest(match[1]))(t))
		}
		for _, match := range place.FindAllStringSubmatch(text, -1) {
			named[path.Base(file)] = true
			lies, below := false, strings.TrimSuffix(match[1], "/library") // image-swap wants that line for Docker Hub in any case
			for tag := range tags {
				repository, _, _ := strings.Cut(tag, ":")
				lies = lies || repository == below || strings.HasPrefix(repository, below+"/")
			}
			if !lies {
				t.Errorf("%s names %s, and nothing lies there", file, match[0])
			}
		}
	}
	for _, file := range []string{"hosts.toml", "containerd-registry.toml", "registries.yaml", "poundlock.conf", "talos-registries.yaml", "image-digest-mirrors.yaml", "image-tag-mirrors.yaml",
		"kyverno-images.yaml", "imageswap-maps.yaml", "kustomization.yaml", "helm-values.yaml", "digests.txt", "images.json", "all.yaml", "image-swap-values.yaml"} {
		if !named[file] {
			t.Errorf("no %s names a place of the local registry", file)
		}
	}
}
