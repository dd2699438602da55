package epr

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// realFile gives a file of Elastic's own that lies beside the repository in the workshop; without it the test is skipped.
func realFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "realdata", "epr", name))
	if err != nil {
		t.Skipf("no real files here: %v", err)
	}
	return data
}

// TestChannel_AnswersAsRealBodies makes a channel of what Elastic's registry told of all versions, and asks it what that
// registry was asked for the other bodies.
func TestChannel_AnswersAsRealBodies(t *testing.T) {
	var items []Item
	for _, file := range []string{"search/search-all.json", "search/search-package-prerelease.json"} {
		var all []json.RawMessage
		if err := json.Unmarshal(realFile(t, file), &all); err != nil {
			t.Fatal(err)
		}
		for _, one := range all {
			i := Item{Search: one}
			if err := json.Unmarshal(one, &i.Package); err != nil {
				t.Fatal(err)
			}
			if err := i.read(); err != nil {
				t.Fatal(err)
			}
			items = append(items, i)
		}
	}
	h := newPantry().serve(items)
	for path, file := range map[string]string{
		"/search":                          "search/search.json",
		"/search?all=true":                 "search/search-all.json",
		"/search?prerelease=true":          "search/search-package-prerelease.json",
		"/search?kibana.version=7.2.1":     "search/search-kibana721.json",
		"/search?package=example":          "search/search-package-example.json",
		"/search?package=example&all=true": "search/search-package-example-all.json",
		"/categories":                      "search/categories.json",
		"/search?prerelease=foo":           "errors/search-package-prerelease-error.txt",
		"/search?spec.max=2.10.1":          "errors/search-spec-max-error.txt",
		"/epr/example/example-a.b.c.zip":   "errors/artifact-package-invalid-version.txt",
		"/epr/none/none-1.0.0.zip":         "errors/artifact-package-version-not-found.txt",
		"/epr/none/none-1.0.0.zip.sig":     "errors/missing-signature.txt",
	} {
		want := bytes.TrimSpace(realFile(t, file))
		if have := bytes.TrimSpace(get(h, path).Body.Bytes()); !bytes.Equal(have, want) {
			t.Errorf("%s, %s: %s", path, file, firstDifference(string(have), string(want)))
		}
	}
}

func TestNewItem_TellsOfARealPackageWhatElasticsRegistryTells(t *testing.T) {
	at := newPantry()
	i := at.put(t, realFile(t, "zips/example-1.0.1.zip"), realFile(t, "zips/example-1.0.1.zip.sig"))
	have := get(at.serve([]Item{i}), "/package/example/1.0.1/")
	want := bytes.TrimSpace(realFile(t, "package/package-zip.json"))
	if body := bytes.TrimSpace(have.Body.Bytes()); have.Code != http.StatusOK || !bytes.Equal(body, want) {
		t.Errorf("%d, %s", have.Code, firstDifference(string(body), string(want)))
	}
}

// TestNewItem_ReadsRealManifests holds what a manifest alone decides against what Elastic's registry told of the package.
func TestNewItem_ReadsRealManifests(t *testing.T) {
	var told []base
	if err := json.Unmarshal(realFile(t, "search/search-all.json"), &told); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"example-0.0.2", "example-1.0.0", "example-1.0.1", "good_content-0.1.0", "multiversion-1.0.3", "reference-1.0.0", "sql_input-0.2.0"} {
		p, err := mirror.ParsePackage(id)
		if err != nil {
			t.Fatal(err)
		}
		manifest := string(realFile(t, "manifests/"+id+".manifest.yml"))
		item, err := NewItem(elastic.Facts{Format: 1, Package: p, Documents: map[string]string{"manifest.yml": manifest},
			Files: []elastic.File{{Path: "manifest.yml"}, {Path: "docs/README.md"}}}, mirror.Reference{}, elastic.Layers{})
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		var have base
		if err := json.Unmarshal(item.Search, &have); err != nil {
			t.Fatal(err)
		}
		for _, want := range told {
			if want.Name != text(p.Name) || want.Version != text(p.Version) {
				continue
			}
			want.DataStreams, want.SignaturePath, want.Deprecated = nil, "", nil // of other files and versions
			a, _ := encode(have, false)
			b, _ := encode(want, false)
			if string(a) != string(b) {
				t.Errorf("%s: %s", id, firstDifference(string(a), string(b)))
			}
		}
	}
}
