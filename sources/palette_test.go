package sources

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/poundlock/poundlock/internal/mirror"
)

func paletteSet(t *testing.T, files mirror.Files) mirror.Set {
	t.Helper()
	desired, ps := mirror.ParseDesired("", files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	set := desired.Sets[0]
	if err := Read(&set, files).Err(); err != nil {
		t.Fatal(err)
	}
	return set
}

// The mapping of the values becomes the path table of the set; what the set says itself goes before it, and reading it
// again changes nothing.
func TestPalette_TheMappingIsThePathTable(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/palette/values.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := mirror.Files{}
	for _, f := range archive.Files {
		files[f.Name] = f.Data
	}
	set := paletteSet(t, files)
	want := map[string]string{"docker.io": "docker.io", "gcr.io": "gcr.io", "k8s.gcr.io": "gcr.io", "registry.k8s.io": "k8s.io", "quay.io": "q", "us-east1-docker.pkg.dev": ""}
	if !maps.Equal(set.Paths, want) {
		t.Errorf("got %v, want %v", set.Paths, want)
	}
	if err := Read(&set, files).Err(); err != nil || !maps.Equal(set.Paths, want) {
		t.Errorf("the second time: %v, %v", set.Paths, err)
	}
	local := mirror.Local{Host: "harbor.example.org", Prefix: "airgap-images"}
	image := mirror.Reference{Host: "us-east1-docker.pkg.dev", Repository: "acme/agent"}
	if got := local.Repository(set, "production", image).Name(); got != "harbor.example.org/airgap-images/production/acme/agent" {
		t.Errorf("the bare base: content lies at %s", got)
	}
}

// Values as people publish them are read without loss: every pair can be made again from the path table.
func TestPalette_RealValues(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "shared", "realdata", "palette", "image-swap-values-harbor.yaml"))
	if err != nil {
		t.Skip("no values beside the repository: the made-up ones have to do")
	}
	set := paletteSet(t, mirror.Files{"desired/p/v.yaml": data, "desired/p.yaml": []byte("version: 1\nsource: {kind: palette, values: p/v.yaml}\nlayout: path\n")})
	if len(set.Entries) != 2 || !set.Atomic || set.Follow {
		t.Errorf("got %s", show(set))
	}
	_, text, _ := strings.Cut(string(data), "mirrorRegistries: \"")
	text, _, _ = strings.Cut(text, "\"")
	pairs := strings.Split(text, ",")
	for _, pair := range pairs {
		host, target, _ := strings.Cut(pair, "::")
		if got := path.Join("harbor.example.org/airgap-images", set.Paths[host]); got != target {
			t.Errorf("%s: got %s, want %s", host, got, target)
		}
	}
	if len(pairs) != 7 || len(set.Paths) != 7 {
		t.Errorf("%d pairs, %d paths", len(pairs), len(set.Paths))
	}
}
