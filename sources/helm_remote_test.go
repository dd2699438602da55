package sources

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

// shop has charts in a registry and in an HTTP repository.
type shop struct {
	Upstream
	pushed map[string]mirror.Artifact // by repository and tag
	files  map[string][]byte          // by address
	got    []string
}

func (s *shop) Tags(_ context.Context, r mirror.Reference) (tags []string, err error) {
	s.got = append(s.got, "tags")
	for name := range s.pushed {
		if tag, ok := strings.CutPrefix(name, r.Name()+":"); ok {
			tags = append(tags, tag)
		}
	}
	if tags == nil {
		return nil, mirror.ErrNotFound
	}
	return tags, nil
}

func (s *shop) Resolve(_ context.Context, r mirror.Reference) (mirror.Descriptor, error) {
	s.got = append(s.got, "head")
	a, ok := s.pushed[r.String()]
	if !ok {
		return mirror.Descriptor{}, mirror.ErrNotFound
	}
	return a.Manifest.Descriptor, nil
}

func (s *shop) Manifest(_ context.Context, r mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	return s.pushed[r.String()].Manifest, nil
}

func (s *shop) Blob(_ context.Context, r mirror.Reference, d mirror.Digest, _ int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s.pushed[r.String()].Blobs[d])), nil
}

func (s *shop) Get(_ context.Context, url string, limit int64) ([]byte, error) {
	s.got = append(s.got, url)
	data, ok := s.files[url]
	switch {
	case !ok:
		return nil, mirror.ErrNotFound
	case int64(len(data)) > limit:
		return nil, mirror.ErrTooLarge
	}
	return data, nil
}

// chartAt makes the archive of a chart web of a version, which deploys the image app of the same version.
func chartAt(t *testing.T, version string) []byte {
	t.Helper()
	return archiveOf(t, packedFile{"web/Chart.yaml", "apiVersion: v2\nname: web\nversion: " + version + "\n", 0},
		packedFile{"web/templates/pod.yaml", pod("example.org/{{ .Values.app }}:{{ .Chart.AppVersion | default .Chart.Version | replace \"+\" \"-\" }}"), 0},
		packedFile{"web/values.yaml", "app: app\n", 0})
}

func newShop(t *testing.T, versions ...string) *shop {
	t.Helper()
	s := &shop{pushed: map[string]mirror.Artifact{}, files: map[string][]byte{}}
	index := "apiVersion: v1\nentries:\n  web:\n"
	for i, version := range versions {
		data := chartAt(t, version)
		rendered, ps := renderChart(must(charts.Unpack(data))(t), release{Release: charts.Release{Name: "r", KubeVersion: "1.34.0"}}, func(string, int) mirror.Position { return mirror.Position{} })
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		made := must(chartArtifact("registry.example.org/charts", rendered.Rendered, data))(t)
		s.pushed[made.Image.WithDigest(mirror.Digest{}).String()] = made
		url := fmt.Sprintf("web-%d.tgz", i)
		if i%2 == 0 {
			url = "https://charts.example.org/stable/files/" + url
		}
		index += fmt.Sprintf("  - {version: %q, digest: %s, urls: [%q]}\n", version, mirror.DigestOf(data).Hex, url)
		s.files["https://charts.example.org/stable/web-"+fmt.Sprint(i)+".tgz"] = data
		s.files["https://charts.example.org/stable/files/web-"+fmt.Sprint(i)+".tgz"] = data
	}
	s.files["https://charts.example.org/stable/index.yaml"] = []byte(index)
	return s
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (s *shop) asked(t *testing.T, source string) (Listing, error) {
	t.Helper()
	files := mirror.Files{"desired/web.yaml": []byte("version: 1\nsource: {kind: helm, " + source + "}\n"), "desired/web/values.yaml": []byte("app: mine\n")}
	desired, ps := mirror.ParseDesired("", files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	set := desired.Sets[0]
	if err := Read(&set, files).Err(); err != nil {
		t.Fatal(err)
	}
	if !set.Asked || !set.Atomic || len(set.Entries) > 0 {
		t.Errorf("asked %v, atomic %v, entries %v", set.Asked, set.Atomic, set.Entries)
	}
	return Ask(t.Context(), set, files, s, nil, time.Time{})
}

const (
	fromRegistry   = `chart: "oci://registry.example.org/charts/web", `
	fromRepository = `chart: web, repository: "https://charts.example.org/stable/", `
)

func TestHelm_AsksForTheNewestVersionThatIsWanted(t *testing.T) {
	tests := []struct{ version, want string }{
		{`"1.2.0"`, "1.2.0"}, {`"~1.2"`, "1.2.3+site"}, {`">=1"`, "2.0.0"}, {`">=2.1.0-0"`, "2.1.0-rc.1"}, {`"*"`, "2.0.0"}, {`"2.1.0-rc.1"`, "2.1.0-rc.1"}, {`">=1 <1.2"`, "1.1.9"},
	}
	s := newShop(t, "1.2.0", "1.10.0-alpha", "1.2.3+site", "2.0.0", "2.1.0-rc.1", "1.1.9")
	for _, from := range []string{fromRegistry, fromRepository} {
		for _, tt := range tests {
			l, err := s.asked(t, from+"version: "+tt.version)
			if err != nil || len(l.Entries) != 2 {
				t.Fatalf("%s%s: %+v %v", from, tt.version, l, err)
			}
			chart, image := l.Entries[0], l.Entries[1]
			if chart.Name != "chart/web" || chart.Image.Tag != chartTag(tt.want) || !chart.Image.HasDigest() || image.Image.Tag != strings.ReplaceAll(tt.want, "+", "-") {
				t.Errorf("%s%s: got %s and %s", from, tt.version, chart.Image, image.Image)
			}
			if isOCI := from == fromRegistry; isOCI != (len(l.Made) == 0) || isOCI != (chart.Image.Host == "registry.example.org") {
				t.Errorf("%s: the chart is %s, made %d", from, chart.Image, len(l.Made))
			}
		}
	}
}

func TestHelm_AnExactVersionOfARegistryCostsNoListOfTags(t *testing.T) {
	s := newShop(t, "1.2.0")
	if _, err := s.asked(t, fromRegistry+`version: 1.2.0`); err != nil || slices.Contains(s.got, "tags") {
		t.Errorf("asked %v: %v", s.got, err)
	}
}

func TestHelm_ValuesChangeTheImagesAndTheOrigin(t *testing.T) {
	s := newShop(t, "1.2.0")
	for _, from := range []string{fromRegistry, fromRepository} {
		plain := must(s.asked(t, from+`version: 1.2.0`))(t)
		filed := must(s.asked(t, from+`version: 1.2.0, values: [web/values.yaml]`))(t)
		inline := must(s.asked(t, from+`version: 1.2.0, values: [web/values.yaml], inline: {app: own}`))(t)
		for i, l := range []Listing{plain, filed, inline} {
			if want := []string{"app", "mine", "own"}[i]; l.Entries[1].Name != "example.org/"+want {
				t.Errorf("got %v, want %s", l.Entries, want)
			}
		}
		if plain.Origin == filed.Origin || filed.Origin == inline.Origin {
			t.Error("other values have the same origin")
		}
	}
}

func TestHelm_ABadAnswerIsRefused(t *testing.T) {
	index := "https://charts.example.org/stable/index.yaml"
	entry := func(text string) func(*shop) {
		return func(s *shop) { s.files[index] = []byte("entries: {web: [" + text + "]}\n") }
	}
	data := chartAt(t, "1.2.0")
	tests := []struct {
		name, source string
		spoil        func(*shop)
		says         string
	}{
		{"no such version", fromRepository + `version: "9"`, nil, "none of the 1 versions"},
		{"no such version in a registry", fromRegistry + `version: ">9"`, nil, "none of the 1 versions"},
		{"no such chart", strings.Replace(fromRepository, "web", "wed", 1) + `version: "1.2.0"`, nil, "none of the 0 versions"},
		{"other bytes", fromRepository + `version: "1.2.0"`, entry(`{version: 1.2.0, urls: [web-0.tgz], digest: ` + strings.Repeat("0", 64) + `}`), "its index says"},
		{"no digest", fromRepository + `version: "1.2.0"`, entry(`{version: 1.2.0, urls: [web-0.tgz]}`), "its index says"},
		{"no address", fromRepository + `version: "1.2.0"`, entry(`{version: 1.2.0, digest: aa}`), "no address"},
		{"address of a file", fromRepository + `version: "1.2.0"`, entry(`{version: 1.2.0, urls: ["file:///etc/passwd"]}`), "no address that can be read"},
		{"no index", fromRepository + `version: "1.2.0"`, func(s *shop) { s.files[index] = []byte("\tno") }, "no index of charts"},
		{"gone", fromRepository + `version: "1.2.0"`, func(s *shop) { delete(s.files, index) }, "not found"},
		{"another chart", `chart: "oci://registry.example.org/charts/other", version: 1.2.0`, func(s *shop) {
			s.pushed["registry.example.org/charts/other:1.2.0"] = s.pushed["registry.example.org/charts/web:1.2.0"]
		}, "the chart is named web"},
		{"an image", fromRegistry + `version: 1.2.0`, func(s *shop) {
			a := s.pushed["registry.example.org/charts/web:1.2.0"]
			a.Manifest = mirror.NewManifest(ociManifestType, bytes.ReplaceAll(a.Manifest.Body, []byte("cncf.helm"), []byte("example")))
			s.pushed["registry.example.org/charts/web:1.2.0"] = a
		}, "no Helm chart"},
		{"other bytes in a registry", fromRegistry + `version: 1.2.0`, func(s *shop) {
			s.pushed["registry.example.org/charts/web:1.2.0"].Blobs[mirror.DigestOf(data)] = []byte("other")
		}, "does not match its digest"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t, "1.2.0")
			if tt.spoil != nil {
				tt.spoil(s)
			}
			if l, err := s.asked(t, tt.source); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %+v, %v; want an error that says %q", l, err, tt.says)
			}
		})
	}
}

// Some repositories keep only the index and have the charts in a registry.
func TestHelm_AnIndexMayNameARegistry(t *testing.T) {
	s := newShop(t, "1.2.0")
	s.files["https://charts.example.org/stable/index.yaml"] = []byte("entries: {web: [{version: 1.2.0, urls: [\"oci://registry.example.org/charts/web:1.2.0\"]}]}\n")
	l, err := s.asked(t, fromRepository+`version: "1.2.0"`)
	if err != nil || l.Entries[0].Image.Host != "registry.example.org" || len(l.Made) > 0 {
		t.Errorf("got %+v, %v", l, err)
	}
}
