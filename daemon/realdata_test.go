package daemon

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sources"
	"github.com/poundlock/poundlock/sync/render"
)

// realKinds are the folders of files that people really use and of which we read a kind.
var realKinds = []string{"element", "palette", "containerd", "k3s", "kyverno", "openshift", "registries-conf", "imageswap"}

// realFiles says what becomes of every one of them. As a source: how many images it names, all of them (the tests of
// the kinds compare each), or code and line of what is refused. By lint: code and line of each problem, none for a file
// that its consumer reads as people mean it. What says how programs read other files is compared line by line.
var realFiles = []struct {
	file     string
	source   string // YAML of the source that reads it, with %s for its path
	reads    string
	lint     string // the kind of what it is for
	told     string
	compared string // the test that holds our readers against it
}{
	{file: "element/default_images_digests-2.11.9.yml", source: "{kind: ess, file: %s}", reads: "9 images"},
	{file: "element/default_images_digests-2.17.1.yml", source: "{kind: ess, file: %s}", reads: "9 images"},
	{file: "element/default_images_digests-2.21.1.yml", source: "{kind: ess, file: %s}", reads: "6 images"},
	{file: "element/images_digests-ems-docs-2310-extract.yml", source: "{kind: ess, file: %s}", reads: "6 images"},
	{file: "element/ess-helm-0.1.0-image-values.json", source: "{kind: esshelm, file: %s}", reads: "4 images"},
	{file: "element/ess-helm-0.11.2-image-values.json", source: "{kind: esshelm, file: %s}", reads: "10 images"},
	{file: "palette/image-swap-values-harbor.yaml", source: "{kind: palette, values: %s}", reads: "2 images", lint: "palette", told: "RND096:3 RND096:4"},
	{file: "containerd/certs.d-containerd-docs-local-mirror/docker.io/hosts.toml", lint: "containerd"},
	{file: "containerd/expected/certs.d-containerd-docs-local-mirror.tsv", compared: "TestHosts_RealFilesAsContainerdReadThem"},
	{file: "containerd/certs.d-hugh-yw/docker.io/hosts.toml", lint: "containerd", told: "RND026:1"},
	{file: "containerd/expected/certs.d-hugh-yw.tsv", compared: "TestHosts_RealFilesAsContainerdReadThem"},
	{file: "containerd/certs.d-m-nik/docker.io/hosts.toml", lint: "containerd", told: "RND026:1"},
	{file: "containerd/expected/certs.d-m-nik.tsv", compared: "TestHosts_RealFilesAsContainerdReadThem"},
	{file: "containerd/certs.d-pschulten/docker.io/hosts.toml", lint: "containerd"},
	{file: "containerd/expected/certs.d-pschulten.tsv", compared: "TestHosts_RealFilesAsContainerdReadThem"},
	{file: "containerd/config-v2-mirrors-containerd-docs.toml", lint: "containerd-config"},
	{file: "k3s/registries-lloydoliver-rke2-airgap.yaml", lint: "k3s"},
	{file: "kyverno/replace-image-registry.yaml", lint: "kyverno", told: "RND067:30 RND067:48 RND068:16"},
	{file: "openshift/0000_10_config-operator_01_imagedigestmirrorsets.crd.yaml", compared: "TestOpenShift_TheSchemasTakeWhatIsRendered"},
	{file: "openshift/0000_10_config-operator_01_imagetagmirrorsets.crd.yaml", compared: "TestOpenShift_TheSchemasTakeWhatIsRendered"},
	{file: "openshift/idms-oc-mirror-docs.yaml", lint: "openshift"},
	{file: "registries-conf/invalid-prefix.conf", lint: "registries-conf", told: "RND024:3"},
	{file: "registries-conf/expected/invalid-prefix.tsv", compared: "TestRegistriesConf_RealFilesAsTheRealLibraryReadThem"},
	{file: "registries-conf/invalid-value-mirror.conf", lint: "registries-conf", told: "RND054:6"},
	{file: "registries-conf/expected/invalid-value-mirror.tsv", compared: "TestRegistriesConf_RealFilesAsTheRealLibraryReadThem"},
	{file: "registries-conf/mirrors.conf", lint: "registries-conf"},
	{file: "registries-conf/expected/mirrors.tsv", compared: "TestRegistriesConf_RealFilesAsTheRealLibraryReadThem"},
	{file: "registries-conf/missing-mirror-location.conf", lint: "registries-conf", told: "RND054:10"},
	{file: "registries-conf/expected/missing-mirror-location.tsv", compared: "TestRegistriesConf_RealFilesAsTheRealLibraryReadThem"},
	{file: "registries-conf/softlanguage-100-registry-mirror.conf", lint: "registries-conf"},
	{file: "registries-conf/expected/softlanguage-100-registry-mirror.tsv", compared: "TestRegistriesConf_RealFilesAsTheRealLibraryReadThem"},
	{file: "imageswap/maps/from-palette-harbor-no-default.conf", lint: "image-swap", told: "RND081:1"},
	{file: "imageswap/expected/from-palette-harbor-no-default.tsv", compared: "TestSwapMap_GivesWhatTheRealProgramGave"},
	{file: "imageswap/maps/from-palette-harbor-with-default.conf", lint: "image-swap"},
	{file: "imageswap/expected/from-palette-harbor-with-default.tsv", compared: "TestSwapMap_GivesWhatTheRealProgramGave"},
	{file: "imageswap/maps/map_file.conf", lint: "image-swap", told: "RND083:4 RND083:5 RND083:6 RND083:9 RND083:10 RND083:11 RND083:12 RND083:13 RND080:14 RND080:15 RND080:16"},
	{file: "imageswap/expected/map_file.tsv", compared: "TestSwapMap_GivesWhatTheRealProgramGave"},
	{file: "imageswap/maps/map_file_empty_default.conf", lint: "image-swap"},
	{file: "imageswap/expected/map_file_empty_default.tsv", compared: "TestSwapMap_GivesWhatTheRealProgramGave"},
	{file: "imageswap/maps/map_file_exact.conf", lint: "image-swap", told: "RND083:4 RND083:6 RND083:7 RND083:8 RND083:9 RND083:10"},
	{file: "imageswap/expected/map_file_exact.tsv", compared: "TestSwapMap_GivesWhatTheRealProgramGave"},
	{file: "imageswap/maps/map_file_library_image.conf", lint: "image-swap", told: "RND083:4 RND083:5 RND083:6 RND083:7 RND083:10 RND083:11"},
	{file: "imageswap/expected/map_file_library_image.tsv", compared: "TestSwapMap_GivesWhatTheRealProgramGave"},
	{file: "imageswap/maps/xujinheng-public-proxycache.conf", lint: "image-swap"},
	{file: "imageswap/expected/xujinheng-public-proxycache.tsv", compared: "TestSwapMap_GivesWhatTheRealProgramGave"},
	{file: "imageswap/admission/test-deploy01.json", source: "{kind: manifests, files: [%s]}", reads: "1 images"},
	{file: "imageswap/admission/test-deploy01-response.json", source: "{kind: manifests, files: [%s]}", reads: "SRC004:2"},
	{file: "imageswap/admission/test-deploy02.json", source: "{kind: manifests, files: [%s]}", reads: "1 images"},
	{file: "imageswap/admission/test-deploy02-response.json", source: "{kind: manifests, files: [%s]}", reads: "SRC004:2"},
	{file: "imageswap/admission/test-pod01.json", source: "{kind: manifests, files: [%s]}", reads: "1 images"},
	{file: "imageswap/admission/test-pod01-response.json", source: "{kind: manifests, files: [%s]}", reads: "SRC004:2"},
	{file: "imageswap/admission/test-pod02.json", source: "{kind: manifests, files: [%s]}", reads: "2 images"},
	{file: "imageswap/admission/test-pod02-response.json", source: "{kind: manifests, files: [%s]}", reads: "SRC004:2"},
	{file: "imageswap/admission/test-pod03.json", source: "{kind: manifests, files: [%s]}", reads: "2 images"},
	{file: "imageswap/admission/test-pod03-response.json", source: "{kind: manifests, files: [%s]}", reads: "SRC004:2"},
}

// Every real file of a kind that we read is read without loss or refused with its place, and a new one is not passed over.
func TestRealData_EveryFileIsReadOrRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "shared", "realdata")
	if _, err := os.Stat(root); err != nil {
		t.Skipf("the real files are not beside the repository: %v", err)
	}
	treated := map[string]bool{}
	for _, tt := range realFiles {
		treated[tt.file] = true
		t.Run(tt.file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(tt.file)))
			if err != nil {
				t.Fatal(err)
			}
			if tt.source != "" {
				if got := readReal(t, fmt.Sprintf(tt.source, "x/"+path.Base(tt.file)), path.Base(tt.file), data); got != tt.reads {
					t.Errorf("as a source: %s, want %s", got, tt.reads)
				}
			}
			if tt.compared != "" && !strings.Contains(readersTests(t), "\nfunc "+tt.compared+"(") {
				t.Errorf("there is no %s", tt.compared)
			}
			if tt.lint == "" {
				if of := render.KindOf(tt.file, data); tt.source == "" && len(of) > 0 {
					t.Errorf("it is taken for %v", of)
				}
				return
			}
			ps := render.Lint(tt.lint, tt.file, data)
			if got := placesOf(ps); got != tt.told {
				t.Errorf("lint: %q, want %q: %v", got, tt.told, ps.Err())
			}
			if !slices.Contains(render.KindOf(tt.file, data), tt.lint) {
				t.Errorf("its kind is not known: %v", render.KindOf(tt.file, data))
			}
		})
	}
	for _, kind := range realKinds {
		err := filepath.WalkDir(filepath.Join(root, kind), func(name string, d fs.DirEntry, err error) error {
			if rest, _ := filepath.Rel(root, name); err == nil && !d.IsDir() && !treated[filepath.ToSlash(rest)] {
				t.Errorf("nobody says what becomes of %s", filepath.ToSlash(rest))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// readersTests gives the tests of the package that reads what consumers read.
func readersTests(t *testing.T) string {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join("..", "sync", "render", "*_test.go"))
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

func readReal(t *testing.T, source, name string, data []byte) string {
	t.Helper()
	files := mirror.Files{"desired/real.yaml": []byte("version: 1\nsource: " + source + "\nlayout: path\n"), "desired/x/" + name: data}
	desired, ps := mirror.ParseDesired("", files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	set := desired.Sets[0]
	if ps := sources.Read(&set, files); len(ps) > 0 {
		return placesOf(ps)
	}
	return fmt.Sprintf("%d images", len(set.Entries))
}

func placesOf(ps mirror.Problems) string {
	var all []string
	for _, p := range ps {
		all = append(all, fmt.Sprintf("%s:%d", p.Code, p.Where.Line))
	}
	return strings.Join(all, " ")
}
