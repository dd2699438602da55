package sources

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

// packedFile is one file of an archive; a kind of 0 is a plain file.
type packedFile struct {
	name, text string
	kind       byte
}

func archiveOf(t *testing.T, files ...packedFile) []byte {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Size: int64(len(f.text)), Mode: 0o644, Typeflag: tar.TypeReg}
		if f.kind != 0 {
			header.Typeflag, header.Linkname, header.Size, f.text = f.kind, f.text, 0, ""
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)); err != nil {
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

const chartYAML = "apiVersion: v2\nname: web\nversion: 1.2.3\n"

func pod(image string) string {
	return "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: \"" + image + "\"}]}\n"
}

// readChart reads a set of kind helm of an archive that lies in desired/.
func readChart(t *testing.T, data []byte, more string) (mirror.Set, mirror.Problems) {
	t.Helper()
	files := mirror.Files{"desired/web.yaml": []byte("version: 1\nsource: {kind: helm, chart: web/web.tgz" + more + "}\n"), "desired/web/web.tgz": data}
	desired, ps := mirror.ParseDesired("", files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	set := desired.Sets[0]
	return set, Read(&set, files)
}

func TestChart_AnArchiveIsReadWithTheChartsInside(t *testing.T) {
	inner := archiveOf(t, packedFile{"leaf/Chart.yaml", "apiVersion: v2\nname: leaf\nversion: 0.1.0\n", 0}, packedFile{"leaf/templates/pod.yaml", pod("example.org/leaf:1"), 0})
	middle := archiveOf(t, packedFile{"middle/Chart.yaml", "apiVersion: v2\nname: middle\nversion: 0.1.0\n", 0}, packedFile{"middle/charts/leaf-0.1.0.tgz", string(inner), 0})
	data := archiveOf(t, packedFile{"web/", "", tar.TypeDir}, packedFile{"web/Chart.yaml", chartYAML, 0}, packedFile{"web/templates/pod.yaml", pod("example.org/web:1"), 0},
		packedFile{"web/charts/middle-0.1.0.tgz", string(middle), 0})
	files := mirror.Files{"desired/web.yaml": []byte("version: 1\nsource: {kind: helm, chart: web/web.tgz, chartsAt: charts.example.org/team}\n"), "desired/web/web.tgz": data}
	desired, _ := mirror.ParseDesired("", files)
	set := desired.Sets[0]
	if err := Read(&set, files).Err(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range set.Entries {
		names = append(names, e.Name)
	}
	if want := []string{"chart/web", "example.org/leaf", "example.org/web"}; !slices.Equal(names, want) {
		t.Errorf("entries %v, want %v", names, want)
	}
	made := set.Made[0]
	if made.Image.Name() != "charts.example.org/team/web" || made.Image.Tag != "1.2.3" || made.Image != set.Entries[0].Image || !set.Entries[0].Pinned() {
		t.Errorf("the chart is %s", made.Image)
	}
	if !bytes.Equal(made.Blobs[mirror.DigestOf(data)], data) {
		t.Error("an archive is not mirrored as it is")
	}
}

func TestChart_ABadArchiveIsRefused(t *testing.T) {
	nested := archiveOf(t, packedFile{"a/Chart.yaml", "x", 0})
	for range charts.MaxDepth + 1 {
		nested = archiveOf(t, packedFile{"a/charts/a.tgz", string(nested), 0})
	}
	huge := strings.Repeat("\x00", charts.MaxBytes/4)
	var many []packedFile
	for i := range charts.MaxFiles + 1 {
		many = append(many, packedFile{fmt.Sprint("web/f", i), "", 0})
	}
	bomb := archiveOf(t, packedFile{"a/f", huge, 0}, packedFile{"a/g", huge, 0})
	tests := []struct {
		name string
		data []byte
		says string
	}{
		{"no archive", []byte("hello"), "unpack"},
		{"cut off", archiveOf(t, packedFile{"web/Chart.yaml", chartYAML, 0})[:40], "unpack"},
		{"symlink", archiveOf(t, packedFile{"web/Chart.yaml", chartYAML, 0}, packedFile{"web/values.yaml", "/etc/passwd", tar.TypeSymlink}), "no plain file"},
		{"hard link", archiveOf(t, packedFile{"web/values.yaml", "web/Chart.yaml", tar.TypeLink}), "no plain file"},
		{"device", archiveOf(t, packedFile{"web/null", "", tar.TypeChar}), "no plain file"},
		{"leads outside", archiveOf(t, packedFile{"web/../../x", "x", 0}), "no path inside"},
		{"absolute", archiveOf(t, packedFile{"/web/x", "x", 0}), "folder of the chart"},
		{"no folder", archiveOf(t, packedFile{"Chart.yaml", chartYAML, 0}), "folder of the chart"},
		{"backslash", archiveOf(t, packedFile{"web/..\\x", "x", 0}), "no path inside"},
		{"twice", archiveOf(t, packedFile{"web/Chart.yaml", chartYAML, 0}, packedFile{"web/Chart.yaml", chartYAML, 0}), "twice"},
		{"bomb", archiveOf(t, packedFile{"web/a", huge, 0}, packedFile{"web/b", huge, 0}, packedFile{"web/c", huge, 0}, packedFile{"web/d", huge, 0}), "MiB"},
		{"bomb in charts inside", archiveOf(t, packedFile{"web/charts/a.tgz", string(bomb), 0}, packedFile{"web/charts/b.tgz", string(bomb), 0}), "MiB"},
		{"charts in charts without end", nested, "deep"},
		{"many files", archiveOf(t, many...), "more than 10000 files"},
		{"no Chart.yaml", archiveOf(t, packedFile{"web/values.yaml", "a: 1", 0}), "Chart.yaml file is missing"},
		{"no version", archiveOf(t, packedFile{"web/Chart.yaml", "apiVersion: v2\nname: web\n", 0}), "version"},
		{"library", archiveOf(t, packedFile{"web/Chart.yaml", chartYAML + "type: library\n", 0}), "library"},
		{"odd name", archiveOf(t, packedFile{"web/Chart.yaml", "apiVersion: v2\nname: Web Site\nversion: 1.2.3\n", 0}), "name or version"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, ps := readChart(t, tt.data, "")
			if len(ps) != 1 || ps[0].Code != "SRC065" || !strings.Contains(ps[0].What, tt.says) || ps[0].Where.File != "desired/web/web.tgz" {
				t.Errorf("got %v, want SRC065 that says %q", ps, tt.says)
			}
		})
	}
}

// The digest of a chart is what people promote: it depends on the files alone.
func TestChart_IsPackedTheSameEachTime(t *testing.T) {
	files := charts.Files{"Chart.yaml": []byte(chartYAML), "values.yaml": []byte("a: 1\n"), "templates/pod.yaml": []byte(pod("nginx:1"))}
	first, err := packChart("web", files)
	if err != nil {
		t.Fatal(err)
	}
	if want := "sha256:82d9a89cd9b011a6cab8b2999a45e91e0c8a879b7000af1dc0d6b970ca2a315f"; mirror.DigestOf(first).String() != want {
		t.Errorf("the archive of these files was %s in every release and is %s: nobody promoted that", want, mirror.DigestOf(first))
	}
	names := slices.Collect(maps.Keys(files))
	for range 100 {
		rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		shuffled := charts.Files{}
		for _, name := range names {
			shuffled[name] = files[name]
		}
		if again, err := packChart("web", shuffled); err != nil || !bytes.Equal(again, first) {
			t.Fatalf("packed otherwise: %v", err)
		}
	}
	c, err := loader.LoadArchive(bytes.NewReader(first))
	if err != nil || c.Name() != "web" || len(c.Templates) != 1 {
		t.Errorf("Helm does not load it: %v", err)
	}
}

func TestChart_EntriesDoNotDependOnTheOrderOfFiles(t *testing.T) {
	var files []packedFile
	files = append(files, packedFile{"web/Chart.yaml", chartYAML, 0})
	for i := range 60 {
		files = append(files, packedFile{fmt.Sprintf("web/templates/p%d.yaml", i), pod(fmt.Sprintf("example.org/app%d:%d", i%20, i%7)), 0})
	}
	var first []mirror.Entry
	for range 100 {
		rand.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		unpacked, err := charts.Unpack(archiveOf(t, files...))
		if err != nil {
			t.Fatal(err)
		}
		rendered, ps := renderChart(unpacked, release{Release: charts.Release{Name: "r", Namespace: "n", KubeVersion: "1.34.0"}}, func(file string, _ int) mirror.Position { return mirror.Position{File: file} })
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		entries, ps := entriesOf(rendered.found)
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = entries
		} else if !slices.Equal(first, entries) {
			t.Fatal("the order of files is told in the entries")
		}
	}
	if len(first) != 60 {
		t.Errorf("%d entries", len(first))
	}
}

func TestChart_TellsNoValueInAnError(t *testing.T) {
	schema := `{"properties": {"password": {"type": "string", "pattern": "^[a-z]+$"}}}`
	data := archiveOf(t, packedFile{"web/Chart.yaml", chartYAML, 0}, packedFile{"web/values.schema.json", schema, 0})
	_, ps := readChart(t, data, `, inline: {password: "canary-123"}`)
	if len(ps) != 1 || ps[0].Code != "SRC066" || strings.Contains(ps.Error(), "canary") || !strings.Contains(ps[0].What, "/password") {
		t.Errorf("got %v", ps)
	}
}
