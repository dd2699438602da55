package epr

import (
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// An index lies where others may be able to write: what it says of a package counts only where the artifact says the same.
func TestFace_GivesOnlyWhatTheArtifactNames(t *testing.T) {
	paths := []string{"/epr/a/a-1.0.0.zip", "/epr/a/a-1.0.0.zip.sig", "/package/a/1.0.0/docs/README.md"}
	tests := map[string]func(i, other *Item){
		"the zip of another package": func(i, other *Item) { i.Layers.Zip = other.Layers.Zip },
		"another signature":          func(i, other *Item) { i.Layers.Signature = other.Layers.Signature },
		"no signature":               func(i, _ *Item) { i.Layers.Signature = mirror.Descriptor{} },
		"a size without end":         func(i, _ *Item) { i.Layers.Zip.Size = math.MaxInt64 - 5 },
		"another artifact":           func(i, other *Item) { i.Local, i.Layers = other.Local, other.Layers },
		"an artifact that is gone":   func(i, _ *Item) { i.Local.Digest = mirror.DigestOf([]byte("gone")) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			at := newPantry()
			i, other := at.put(t, simple(t, "a-1.0.0"), []byte("signed")), at.put(t, simple(t, "b-2.0.0"), []byte("signed too"))
			change(&i, &other)
			h := at.serve([]Item{i, other})
			for _, path := range paths {
				if w := get(h, path); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "sign") {
					t.Errorf("%s: %d %q", path, w.Code, w.Body.String())
				}
			}
			if w := get(h, "/epr/b/b-2.0.0.zip"); w.Code != http.StatusOK {
				t.Errorf("the other package: %d", w.Code)
			}
		})
	}
	at := newPantry()
	i, other := at.put(t, simple(t, "a-1.0.0"), nil), at.put(t, simple(t, "b-2.0.0"), nil)
	i.Local = other.Local
	if w := get(at.serve([]Item{i, other}), "/package/a/1.0.0/"); w.Code != http.StatusInternalServerError {
		t.Errorf("the document of another package: %d %q", w.Code, w.Body.String())
	}
	h := at.serve([]Item{other})
	get(h, "/epr/b/b-2.0.0.zip")
	before := at.asked
	get(h, "/epr/b/b-2.0.0.zip")
	if again := at.asked - before; again != 1 {
		t.Errorf("the second zip cost %d requests, want that of its bytes alone", again)
	}
}
