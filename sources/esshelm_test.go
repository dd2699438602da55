package sources

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

func TestESSHelm_AChartThatIsPacked(t *testing.T) {
	const values = "synapse:\n  image:\n    registry: oci.element.io\n    repository: synapse\n    tag: v1.140.0\n"
	huge := strings.Repeat("x", mirror.MaxDocument)
	file := func(name, body string) packedFile { return packedFile{name, body, 0} }
	tests := []struct {
		name    string
		archive []byte
		want    string // the entry, or a part of the problem
	}{
		{"a chart", archiveOf(t, file("matrix-stack/Chart.yaml", "name: matrix-stack\n"), file("matrix-stack/charts/sub/values.yaml", "a: b\n"), file("matrix-stack/values.yaml", values)),
			"synapse: oci.element.io/synapse:v1.140.0 (desired/ess/c.tgz/values.yaml:2:3)"},
		{"without values", archiveOf(t, file("matrix-stack/Chart.yaml", "name: matrix-stack\n")), "SRC035 there is no values.yaml in it"},
		{"cut off", archiveOf(t, file("matrix-stack/values.yaml", values))[:60], "SRC035 unpack"},
		{"a bomb", archiveOf(t, file("c/values.yaml", values), file("c/bomb", strings.Repeat("x", charts.MaxBytes+1))), "SRC035 MiB"},
		{"values that are too large", archiveOf(t, file("c/values.yaml", huge+"#")), "DOC007"},
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
