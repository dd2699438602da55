package sources

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// A mistake in the options of packages is told alone: the set stays one of packages, so no renderer that needs them says
// that there are none.
func TestEPR_RefusedStaysASetOfPackages(t *testing.T) {
	for name, tt := range map[string]struct{ options, want string }{
		"misspelt":    {"version: 3", `unknown key "version"`},
		"empty range": {`spec: {min: "3.10", max: "3.9"}`, "no package lies between"},
	} {
		t.Run(name, func(t *testing.T) {
			files := mirror.Files{"desired/elastic.yaml": []byte("version: 1\nsource: {kind: epr, url: https://epr.elastic.co, " + tt.options + "}\n")}
			desired, ps := mirror.ParseDesired("", files)
			if len(ps) > 0 {
				t.Fatal(ps)
			}
			set := desired.Sets[0]
			ps = Read(&set, files)
			if len(ps) != 1 || !strings.Contains(ps[0].What, tt.want) || !set.Packages {
				t.Errorf("problems %v, packages %v; want %q, of a set of packages", ps, set.Packages, tt.want)
			}
		})
	}
}
