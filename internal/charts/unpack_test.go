package charts

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// packed makes an archive: name, body, name, body.
func packed(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A packed chart that Helm would find is unpacked by us, whatever it lies in: Helm's own way has other limits and takes links.
func TestFind_UnpacksEveryChartInside(t *testing.T) {
	const own = "apiVersion: v2\nname: a\nversion: 1.0.0\n"
	leaf := packed(t, "leaf/Chart.yaml", own)
	middle := packed(t, "middle/Chart.yaml", own, "middle/charts/leaf.tgz", string(leaf), "middle/charts/open/Chart.yaml", own, "middle/charts/open/charts/leaf.tgz", string(leaf))
	files := mirror.Files{"desired/web/Chart.yaml": []byte(own), "desired/web/charts/middle.tgz": middle, "desired/web/charts/open/Chart.yaml": []byte(own),
		"desired/web/charts/open/charts/leaf.tgz": leaf, "desired/web/charts/_off.tgz": []byte("x"), "desired/web/files/x.tgz": []byte("x")}
	want := []string{"Chart.yaml", "charts/_off.tgz", "charts/middle/Chart.yaml", "charts/middle/charts/leaf/Chart.yaml", "charts/middle/charts/open/Chart.yaml",
		"charts/middle/charts/open/charts/leaf/Chart.yaml", "charts/open/Chart.yaml", "charts/open/charts/leaf/Chart.yaml", "files/x.tgz"}
	if got, err := Find(files, "web"); err != nil || !slices.Equal(got.Names(), want) {
		t.Errorf("got %q, %v", got.Names(), err)
	}
	files["desired/web/charts/middle/Chart.yaml"] = []byte(own)
	if _, err := Find(files, "web"); err == nil || !strings.Contains(err.Error(), "lies beside a chart of that name") {
		t.Errorf("one chart packed and unpacked: %v", err)
	}
	bomb := packed(t, "a/f", strings.Repeat("x", MaxBytes+1))
	files = mirror.Files{"desired/web/Chart.yaml": []byte(own), "desired/web/charts/open/charts/bomb.tgz": bomb}
	if _, err := Find(files, "web"); err == nil || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Errorf("a bomb deep inside: %v", err)
	}
}

func TestCheck_SaysWhereAndNeverWhat(t *testing.T) {
	f := Files{"Chart.yaml": []byte("apiVersion: v2\nname: web\nversion: 1.0.0\n"), "charts/in/Chart.yaml": []byte("apiVersion: v2\nname: in\nversion: 1.0.0\n"),
		SchemaFile:                []byte(`{"required": ["host"], "properties": {"password": {"pattern": "^[a-z]+$"}, "mode": {"enum": ["a"]}, "in": {"type": "object"}}}`),
		"charts/in/" + SchemaFile: []byte(`{"properties": {"n": {"type": "integer"}}, "additionalProperties": false}`)}
	faults, err := Check(f, Values{"password": "canary-1", "mode": "canary-2", "in": Values{"n": "canary-3", "more": "canary-4"}})
	var said []string
	for _, fault := range faults {
		said = append(said, fault.String())
	}
	want := []string{"/host (required)", "/mode (enum)", "/password (pattern)", "/in/more (additionalProperties)", "/in/n (type)"}
	if err != nil || !slices.Equal(said, want) {
		t.Errorf("got %q, %v", said, err)
	}
	for _, schema := range []string{`{"$ref": "other.json"}`, `{"$ref": "file:///etc/passwd"}`, `{"$schema": "http://127.0.0.1:1/x"}`, `{`} {
		f[SchemaFile] = []byte(schema)
		if _, err := Check(f, Values{}); err == nil || !strings.Contains(err.Error(), SchemaFile) {
			t.Errorf("%s: %v", schema, err)
		}
	}
}
