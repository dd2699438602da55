package sources

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// packed gives a chart's archive with these files, in the order given: name, body, name, body.
func packed(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	archive := tar.NewWriter(zipped)
	for i := 0; i < len(files); i += 2 {
		if err := archive.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestESSHelm_AChartThatIsPacked(t *testing.T) {
	const values = "synapse:\n  image:\n    registry: oci.element.io\n    repository: synapse\n    tag: v1.140.0\n"
	huge := strings.Repeat("x", 4<<20)
	tests := []struct {
		name    string
		archive []byte
		want    string // the entry, or a part of the problem
	}{
		{"a chart", packed(t, "matrix-stack/Chart.yaml", "name: matrix-stack\n", "matrix-stack/charts/sub/values.yaml", "a: b\n", "matrix-stack/values.yaml", values),
			"synapse: oci.element.io/synapse:v1.140.0 (desired/ess/c.tgz/values.yaml:2:3)"},
		{"without values", packed(t, "matrix-stack/Chart.yaml", "name: matrix-stack\n"), "SRC035 there is no values.yaml in it"},
		{"cut off", packed(t, "matrix-stack/values.yaml", values)[:60], "SRC035 unpack"},
		{"a bomb", packed(t, "c/1", huge, "c/2", huge, "c/3", huge, "c/4", huge, "c/5", huge, "c/6", huge, "c/7", huge, "c/8", huge, "c/values.yaml", values), "SRC035 more than 32 MiB"},
		{"values that are too large", packed(t, "c/values.yaml", huge+"#"), "DOC007"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := mirror.Files{"desired/ess.yaml": []byte("version: 1\nsource: {kind: esshelm, chart: ess/c.tgz}\n"), "desired/ess/c.tgz": tt.archive}
			desired, _ := mirror.ParseDesired("", files)
			set := desired.Sets[0]
			got := ""
			if ps := Read(&set, files); len(ps) > 0 {
				got = ps[0].Code + " " + ps[0].What
			} else {
				got = show(set)
			}
			for _, want := range strings.SplitN(tt.want, " ", 2) {
				if !strings.Contains(got, want) {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			}
		})
	}
}

// The image values of the chart's releases are read without loss.
func TestESSHelm_RealValues(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("..", "..", "shared", "realdata", "element", "ess-helm-*-image-values.json"))
	if err != nil || len(names) == 0 {
		t.Skip("no vendor files beside the repository: the made-up fixtures have to do")
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var blocks map[string]struct{ Registry, Repository, Tag, Digest string }
			if err := json.Unmarshal(data, &blocks); err != nil {
				t.Fatal(err)
			}
			files := mirror.Files{"desired/ess.yaml": []byte("version: 1\nsource: {kind: esshelm, file: ess/v.json}\n"), "desired/ess/v.json": data}
			desired, _ := mirror.ParseDesired("", files)
			set := desired.Sets[0]
			if err := Read(&set, files).Err(); err != nil {
				t.Fatal(err)
			}
			if len(set.Entries) != len(blocks) {
				t.Errorf("got %d entries, want %d", len(set.Entries), len(blocks))
			}
			for _, e := range set.Entries {
				b := blocks[strings.ReplaceAll(e.Name, "/", ".")+".image"]
				want, err := mirror.ParseReference(b.Registry + "/" + b.Repository + ":" + b.Tag)
				if err != nil || e.Image != want {
					t.Errorf("%s: got %s, want %s (%v)", e.Name, e.Image, want, err)
				}
			}
		})
	}
}
