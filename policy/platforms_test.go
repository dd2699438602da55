package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Who lists an index may call it a manifest: what hangs on it has to be signed all the same.
func TestPlatforms_AreThoseOfEveryIndexWhateverItIsCalled(t *testing.T) {
	const index, image = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"
	for name, called := range map[string][]string{"an index": {index}, "a manifest": {image}, "both": {image, index}, "twice": {index, index}} {
		s := &shelf{blobs: map[mirror.Digest][]byte{}}
		listing := func(entries ...string) mirror.Digest {
			return s.add([]byte(`{"schemaVersion":2,"mediaType":"` + index + `","manifests":[` + strings.Join(entries, ",") + `]}`))
		}
		entry := func(kind string, d mirror.Digest) string {
			return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":100}`, kind, d)
		}
		leaf := s.add([]byte(`{"schemaVersion":2,"layers":[]}`))
		inner := listing(entry(image, leaf))
		var entries []string
		for _, kind := range called {
			entries = append(entries, entry(kind, inner))
		}
		root := listing(entries...)
		x := &examination{content: s, limits: Limits{}.withDefaults(), question: question{source: judgee.AtDigest(mirror.Digest{})}, found: evidence{subjects: []subject{{digest: root}}}}
		x.platforms(t.Context())
		if want := []subject{{root, false}, {inner, true}, {leaf, true}}; !slices.Equal(x.found.subjects, want) || x.found.unlisted != "" || s.reads != 3 {
			t.Errorf("called %s: got %v, unlisted %q, %d reads", name, x.found.subjects, x.found.unlisted, s.reads)
		}
	}
}
