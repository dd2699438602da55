package render

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// archived packs files into a chart's archive: name, body, name, body.
func archived(t *testing.T, files ...string) []byte {
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

func TestChartAt_ReadsValuesAndSchemaOfAllForms(t *testing.T) {
	const values, sub = "web: {image: {tag: '1'}}\n", "image: {tag: '2'}\n"
	const schema, subSchema = `{"properties": {"web": {"properties": {"image": {"type": "object"}}}}}`, `{"properties": {"image": {"type": "object"}}}`
	const subChart = "apiVersion: v2\nname: sub\nversion: 1.0.0\n"
	folder := mirror.Files{"desired/c/Chart.yaml": []byte(essChart), "desired/c/values.yaml": []byte(values), "desired/c/values.schema.json": []byte(schema),
		"desired/c/templates/x.yaml": []byte("{{ fail \"no\" }}"), "desired/c/charts/sub/Chart.yaml": []byte(subChart), "desired/c/charts/sub/values.yaml": []byte(sub), "desired/c/charts/sub/values.schema.json": []byte(subSchema)}
	packed := mirror.Files{"desired/c.tgz": archived(t, "m/Chart.yaml", essChart, "m/values.yaml", values, "m/values.schema.json", schema, "m/templates/x.yaml", "{{",
		"m/charts/sub/Chart.yaml", subChart, "m/charts/sub/values.yaml", sub, "m/charts/sub/values.schema.json", subSchema)}
	beside := mirror.Files{"desired/c/v.yaml": []byte(values), "desired/c/values.schema.json": []byte(schema)}
	extract := mirror.Files{"desired/c/v.json": []byte(`{"web.image": {"tag": "1"}}`), "desired/c/values.schema.json": []byte(schema)}
	for _, tt := range []struct {
		name  string
		files mirror.Files
		sub   bool
	}{{"c", folder, true}, {"c.tgz", packed, true}, {"c/v.yaml", beside, false}, {"c/v.json", extract, false}} {
		c, err := chartAt(tt.files, tt.name)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := lookup(c.defaults, []string{"web", "image", "tag"}); got != "1" {
			t.Errorf("%s: the default is %v", tt.name, got)
		}
		if got := refusedBy(c, []byte("web: {image: {tag: '3'}}")); len(got) > 0 {
			t.Errorf("%s: refused: %v", tt.name, got)
		}
		if got := refusedBy(c, []byte("web: {image: '3'}")); len(got) != 1 || !strings.Contains(got[0], "/web/image") {
			t.Errorf("%s: got %v", tt.name, got)
		}
		if got := refusedBy(c, []byte("sub: {image: '3'}")); tt.sub != (len(got) == 1 && got[0] == "/sub/image (type)") {
			t.Errorf("%s: the subchart says %v", tt.name, got)
		}
	}
}

func TestChartAt_RefusesWhatItMustNotRead(t *testing.T) {
	huge := strings.Repeat("x", 4<<20)
	var bomb []string
	for i := range 17 {
		bomb = append(bomb, "m/"+strings.Repeat("x", i+1), huge)
	}
	schema := func(text string) mirror.Files {
		return mirror.Files{"desired/c/values.yaml": []byte("a: b\n"), "desired/c/values.schema.json": []byte(text)}
	}
	for _, tt := range []struct {
		chart string
		files mirror.Files
		want  string
	}{
		{"../secrets", mirror.Files{"secrets/values.yaml": []byte("a: b\n")}, "outside desired/"},
		{"none", mirror.Files{}, "there is no chart"},
		{"c.tgz", mirror.Files{"desired/c.tgz": []byte("x")}, "unpack"},
		{"c.tgz", mirror.Files{"desired/c.tgz": archived(t, bomb...)}, "more than 64 MiB"},
		{"c.tgz", mirror.Files{"desired/c.tgz": archived(t, "m/../../values.yaml", "a: b\n")}, "no path inside"},
		{"c/values.yaml", mirror.Files{"desired/c/values.yaml": []byte("a: [\n")}, "read the values"},
		{"c/values.yaml", schema("{"), "values.schema.json"},
		{"c/values.yaml", schema(`{"properties": {"a": {"$ref": "file:///etc/passwd"}}}`), `"file:///etc/passwd"`},
		{"c/values.yaml", schema(`{"allOf": [{"$ref": "other.json#/a"}]}`), `other.json"`},
		{"c/values.yaml", schema(`{"$dynamicRef": "http://h/x"}`), `"http://h/x"`},
		{"c/values.yaml", schema(`{"$schema": "http://h/x"}`), `"http://h/x"`},
	} {
		if _, err := chartAt(tt.files, tt.chart); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.chart, err, tt.want)
		}
	}
	if _, err := chartAt(schema(`{"$schema": "http://json-schema.org/draft-07/schema#", "$defs": {"a": {}}, "properties": {"a": {"$ref": "#/$defs/a"}, "$ref": {"type": "string"}}}`), "c/values.yaml"); err != nil {
		t.Errorf("a schema that names only itself: %v", err)
	}
}

// No change gives the same bytes whatever the order is, and one image changes lines of its own only.
func TestValues_OneImageChangesOneHunk(t *testing.T) {
	for _, kind := range []string{"element", "esshelm", "helm"} {
		var desired strings.Builder
		desired.WriteString("version: 1\nsource: {kind: list, file: x}\nrender:\n  " + kind + ":\n")
		entries := map[string]string{}
		switch kind {
		case "helm":
			desired.WriteString("    images:\n")
		default:
			desired.WriteString("    namespace: ess\n")
		}
		for i := range 60 {
			name := "a" + strings.Repeat("b", i) + "/c"
			entries[name] = "upstream.example/" + name + ":v1"
			if kind == "helm" {
				desired.WriteString("      a" + strings.Repeat("b", i) + ".image: {entry: " + name + ", form: registry+repository+tag+digest}\n")
			}
		}
		files := mirror.Files{"desired/ess.yaml": []byte(desired.String())}
		set, rec := essRelease(t, files, entries)
		first := Files(local, set, rec, mirror.Plan{}, files).Files
		if len(first) == 0 {
			t.Fatalf("%s: nothing is rendered", kind)
		}
		for range 100 { // maps have another order each time
			for name, body := range Files(local, set, rec.Clone(), mirror.Plan{}, files).Files {
				if !bytes.Equal(body, first[name]) {
					t.Fatalf("%s: %s has other bytes", kind, name)
				}
			}
		}
		line := rec.Stages["snapshot"]["abbb/c"]
		line.Image = line.Image.WithTag("v2").WithDigest(mirror.DigestOf([]byte("v2")))
		rec.Stages["snapshot"].Put("abbb/c", line)
		for i := range set.Entries {
			if set.Entries[i].Name == "abbb/c" {
				set.Entries[i].Image = line.Image
			}
		}
		for name, body := range Files(local, set, rec, mirror.Plan{}, files).Files {
			before, after := strings.Split(string(first[name]), "\n"), strings.Split(string(body), "\n")
			if len(before) != len(after) {
				t.Fatalf("%s: %s has other lines", kind, name)
			}
			var changed []int
			for i := range before {
				if before[i] != after[i] {
					changed = append(changed, i)
				}
			}
			if len(changed) > 0 && slices.Max(changed)-slices.Min(changed) > 4 {
				t.Errorf("%s: %s changes in the lines %v", kind, name, changed)
			}
		}
	}
}
