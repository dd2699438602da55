package daemon

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// serverPolicy admits packages that their maker signed, and the server's image by a digest that people reviewed.
const serverPolicy = "version: 1\nsigners: {elastic: {pgp: keys/elastic.asc}}\n" +
	"rules: [{match: \"epr.elastic.co/**\", require: {signers: [elastic]}}, {match: \"docker.io/**\", require: {pinned: true}}]\n"

const distributionSet = "stages: [snapshot, production]\nrender: {package-registry: {}}\ndistribution: {base: docker.io/elastic/package-registry, groups: 4}\n"

// distributionSite is a site whose packages go into images of a server that another set brings.
func distributionSite(t *testing.T) *packageSite {
	t.Helper()
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.0.0"}, testenv.EPRPackage{Name: "nginx", Version: "1.1.0"}, testenv.EPRPackage{Name: "redis", Version: "2.0.0"})
	base := must(mirror.ParseReference("docker.io/elastic/package-registry:v1.39.0"))(t)
	base.Digest = must(testenv.Push(t.Context(), s.upstream.Back(), base.Name(), base.Tag, testenv.Index("server")))(t)
	s.commit("a server", map[string]string{
		"desired/policy.yaml":           serverPolicy,
		"desired/elastic.yaml":          packageSet("versions: all", distributionSet),
		"desired/server.yaml":           fmt.Sprintf("version: 1\nsource: {kind: list, images: [%q]}\nstages: [snapshot, production]\n", base),
		"stages/server/production.yaml": fmt.Sprintf("version: 1\nentries:\n  %s: %q\n", base.WithDigest(mirror.Digest{}), base),
	})
	return s
}

// image reads the distribution image that the folder of a stage names.
func (s *packageSite) image(stage string) mirror.Reference {
	s.t.Helper()
	for line := range strings.Lines(s.file("rendered/demo/elastic/" + stage + "/package-registry.yaml")) {
		if _, image, ok := strings.Cut(line, "image: "); ok {
			return must(mirror.ParseReference(strings.Trim(strings.TrimSpace(image), `"`)))(s.t)
		}
	}
	return mirror.Reference{}
}

// packagesIn lists the files with packages in every platform of an image, and its layers.
func (s *packageSite) packagesIn(image mirror.Reference) (files []string, layers []mirror.Digest) {
	s.t.Helper()
	r := s.line.registry
	root := must(r.Manifest(s.t.Context(), image, image.Digest))(s.t)
	for i, child := range must(root.Parts())(s.t).Manifests {
		m := must(r.Manifest(s.t.Context(), image, child.Digest))(s.t)
		var have []string
		parts := must(m.Parts())(s.t)
		layers = nil
		for _, l := range parts.Layers {
			layers = append(layers, l.Digest)
			if l.MediaType != "application/vnd.oci.image.layer.v1.tar" {
				continue
			}
			have = append(have, filesIn(s.t, must(r.Blob(s.t.Context(), image, l.Digest, 0))(s.t))...)
		}
		slices.Sort(have)
		if i > 0 && !slices.Equal(have, files) {
			s.t.Errorf("platforms differ: %v and %v", files, have)
		}
		files = have
	}
	return files, layers
}

func filesIn(t *testing.T, layer io.ReadCloser) (names []string) {
	t.Helper()
	defer layer.Close()
	for r := tar.NewReader(layer); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutPrefix(h.Name, "packages/package-storage/"); ok && name != "" {
			names = append(names, name)
		}
	}
}

func TestDistribution_CarriesThePackagesOfEachStage(t *testing.T) {
	s := distributionSite(t)
	s.sync()
	first := s.image("snapshot")
	if !first.HasDigest() || first.Repository != "mirror/poundlock/distribution/elastic" || first.Tag != "snapshot" {
		t.Fatalf("got image %s:\n%s", first, s.file("rendered/demo/elastic/snapshot/package-registry.yaml"))
	}
	files, layers := s.packagesIn(first)
	if got := strings.Join(files, " "); got != "nginx-1.0.0.zip nginx-1.0.0.zip.sig nginx-1.1.0.zip nginx-1.1.0.zip.sig redis-2.0.0.zip redis-2.0.0.zip.sig" {
		t.Errorf("it carries %s", got)
	}
	if s.image("production").HasDigest() {
		t.Error("production has no package and got an image")
	}

	head := s.git.Head()
	s.sync()
	if s.git.Head() != head || s.image("snapshot") != first {
		t.Error("nothing changed, and something was committed")
	}

	// One package more leaves the other group's layer, and the same layers are found again without a state.
	s.epr.Put(testenv.EPRPackage{Name: "nginx", Version: "1.2.0"})
	s.sync()
	second := s.image("snapshot")
	files, after := s.packagesIn(second)
	if second.Digest == first.Digest || !slices.Contains(files, "nginx-1.2.0.zip") {
		t.Fatalf("the new package is not in %s: %v", second, files)
	}
	same := 0
	for _, l := range after {
		if slices.Contains(layers, l) {
			same++
		}
	}
	if same != len(layers)-1 {
		t.Errorf("%d of %d layers stayed, want all but one", same, len(layers))
	}

	// Promoted together with the server: production carries what stands there.
	record := must(s.line.state.Record("elastic"))(t)
	s.commit("promote nginx", map[string]string{"stages/elastic/production.yaml": fmt.Sprintf("version: 1\nentries:\n  nginx-1.1.0: %q\n", record.At("snapshot")["nginx-1.1.0"].Image)})
	s.sync()
	if files, _ := s.packagesIn(s.image("production")); strings.Join(files, " ") != "nginx-1.1.0.zip nginx-1.1.0.zip.sig" {
		t.Errorf("production carries %v", files)
	}
	if s.image("snapshot") != second {
		t.Error("a promotion changed the image of the stage below")
	}

	// The state may be lost: the same packages give the same image.
	s.close()
	if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	s.sync()
	if s.image("snapshot") != second {
		t.Errorf("another image without the state: %s, want %s", s.image("snapshot"), second)
	}

	// What somebody else lets its tags name is never believed, with the state or without it.
	in := must(s.line.ingredientsOf(s.line.fleet.Load(), must2(s.line.fleet.Load().desired.Set("elastic"))(t), must(s.line.state.Record("elastic"))(t), "snapshot"))(t)
	for _, lost := range []bool{false, true} {
		for _, tag := range []string{"content-" + in.recipe, "snapshot"} {
			foreign := must(testenv.Push(t.Context(), s.local.Back(), second.Repository, tag, testenv.Index("foreign "+tag)))(t)
			if foreign == second.Digest {
				t.Fatal("the test pushes the image itself")
			}
		}
		s.close()
		if lost {
			if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
				t.Fatal(err)
			}
		}
		s.sync()
		if s.image("snapshot") != second {
			t.Errorf("state lost %v: rendered is %s, want %s", lost, s.image("snapshot"), second)
		}
		for _, tag := range []string{"content-" + in.recipe, "snapshot"} {
			if now := must(s.line.registry.Resolve(t.Context(), second.WithDigest(mirror.Digest{}).WithTag(tag)))(t); now.Digest != second.Digest {
				t.Errorf("state lost %v: the tag %s names %s", lost, tag, now.Digest)
			}
		}
	}

	// A rendered file that names another image is not as it should be.
	file := "rendered/demo/elastic/snapshot/package-registry.yaml"
	written := s.file(file)
	other := strings.ReplaceAll(written, second.Digest.String(), mirror.DigestOf([]byte("another")).String())
	s.commit("another image", map[string]string{file: other})
	folders, _, err := s.line.Rendered(t.Context(), RenderOptions{Of: "elastic", Stage: "snapshot"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(folders, func(r Rendering) bool {
		return slices.ContainsFunc(r.Files, func(f RenderedFile) bool { return f.Path == file && f.State == FileDiffers && f.Text == written })
	}) {
		t.Errorf("the file with another image is as it should be: %+v", folders)
	}
	s.sync()

	// Without a server at the stage nothing is made anew, and the reason is told.
	s.commit("no server", map[string]string{"desired/elastic.yaml": packageSet("versions: all", strings.Replace(distributionSet, "elastic/package-registry,", "elastic/other,", 1))})
	_, err = s.trySync()
	if p := new(mirror.Problem); !errors.As(err, p) || p.Code != "RND150" || !strings.Contains(p.What, "does not stand") {
		t.Errorf("got %v", err)
	}
	if s.image("snapshot") != second {
		t.Error("the folder did not keep its file")
	}
}

func TestExport_KeepsFoldersLikeTheStages(t *testing.T) {
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.0.0"}, testenv.EPRPackage{Name: "redis", Version: "2.0.0"})
	dir := t.TempDir()
	s.config += fmt.Sprintf("packages: {export: [{set: elastic, dir: %q}]}\n", dir)
	s.commit("two stages", map[string]string{"desired/elastic.yaml": packageSet("versions: all", "stages: [snapshot, production]\n")})
	s.sync()
	if got := treeOf(t, dir); got != "snapshot/nginx-1.0.0.zip snapshot/nginx-1.0.0.zip.sig snapshot/redis-2.0.0.zip snapshot/redis-2.0.0.zip.sig" {
		t.Fatalf("got %s", got)
	}
	record := must(s.line.state.Record("elastic"))(t)
	s.commit("promote", map[string]string{"stages/elastic/production.yaml": fmt.Sprintf("version: 1\nentries:\n  nginx-1.0.0: %q\n", record.At("snapshot")["nginx-1.0.0"].Image)})
	s.sync()
	const after = "production/nginx-1.0.0.zip production/nginx-1.0.0.zip.sig snapshot/redis-2.0.0.zip snapshot/redis-2.0.0.zip.sig"
	if got := treeOf(t, dir); got != after {
		t.Fatalf("got %s", got)
	}
	once := t.TempDir()
	if _, err := s.line.ExportOnce(t.Context(), "elastic", "snapshot", once); err != nil {
		t.Fatal(err)
	}
	if got := treeOf(t, once); got != "snapshot/nginx-1.0.0.zip snapshot/nginx-1.0.0.zip.sig snapshot/redis-2.0.0.zip snapshot/redis-2.0.0.zip.sig" {
		t.Errorf("once: %s", got)
	}
	if _, err := s.line.ExportOnce(t.Context(), "elastic", "prod", once); err == nil {
		t.Error("a stage that is none was exported")
	}
	s.servedAlike(dir)
}

// servedAlike starts Elastic's own server on exported folders and compares what it serves with what we do.
func (s *packageSite) servedAlike(dir string) {
	t := s.t
	t.Helper()
	if _, ok := testenv.Tool("package-registry"); !ok {
		t.Skip("no package-registry of Elastic is built: sh testenv/interop.sh")
	}
	theirs := must(testenv.NewPackageRegistry(t.Context(), testenv.PackageRegistryOptions{Paths: []string{filepath.Join(dir, "production"), filepath.Join(dir, "snapshot")}}))(t)
	defer theirs.Close()
	set, _ := s.line.fleet.Load().desired.Set("elastic")
	var items []epr.Item
	for _, one := range channelAt(s.line.local, set, must(s.line.state.Record("elastic"))(t), "snapshot", set.Stages).all {
		items = append(items, must(s.line.itemOf(t.Context(), one))(t))
	}
	channel := epr.NewChannel(items)
	ours := httptest.NewServer(epr.Handler(func() *epr.Channel { return channel }, s.line.registry))
	defer ours.Close()
	const query = "/search?all=true&prerelease=true"
	if got, want := body(t, ours.URL+query), body(t, theirs.URL()+query); got != want || !strings.Contains(want, "redis") {
		t.Errorf("we serve\n%s\nElastic's server serves\n%s", got, want)
	}
	const file = "/epr/nginx/nginx-1.0.0.zip"
	if body(t, ours.URL+file) != body(t, theirs.URL()+file) {
		t.Error("the zips differ")
	}
}

func body(t *testing.T, url string) string {
	t.Helper()
	answer := must(http.Get(url))(t)
	defer answer.Body.Close()
	return string(must(io.ReadAll(answer.Body))(t))
}

func treeOf(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(d.Name(), ".poundlock") {
			rel, _ := filepath.Rel(dir, p)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}
