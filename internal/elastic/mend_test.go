package elastic

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestBuild_SaysWhatVersionToWrite(t *testing.T) {
	for version, want := range map[string]string{"1.0": "write version: 1.0.0", "2": "write version: 2.0.0", `"1.2"`: "write version: 1.2.0", "v1.0.0": "three numbers"} {
		_, _, ps := Build(folderOf(mirror.Files{"manifest.yml": []byte("name: acme\nversion: " + version + "\n")}), "desired/packages/acme")
		if len(ps) != 1 || ps[0].Code != "PKG007" || ps[0].Where.Line != 2 || !strings.Contains(ps[0].Fix, want) {
			t.Errorf("%s: %+v", version, ps)
		}
	}
}
