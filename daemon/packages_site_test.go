package daemon

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// packageSite is a site with an upstream package registry, and a set elastic of all that this has.
type packageSite struct {
	*site
	epr *testenv.EPR
}

// makerPolicy admits what the maker of the packages signed.
const makerPolicy = "version: 1\nsigners: {elastic: {pgp: keys/elastic.asc}}\nrules: [{match: \"**\", require: {signers: [elastic]}}]\n"

// newPackageSite starts a site with packages upstream. It is asked as epr.elastic.co.
func newPackageSite(t *testing.T, packages ...testenv.EPRPackage) *packageSite {
	t.Helper()
	return newPackageSiteWith(t, testenv.EPROptions{}, packages...)
}

// newPackageSiteWith starts a site with an upstream that is not as Elastic's.
func newPackageSiteWith(t *testing.T, o testenv.EPROptions, packages ...testenv.EPRPackage) *packageSite {
	t.Helper()
	epr := must(testenv.NewEPR(o, packages...))(t)
	t.Cleanup(epr.Close)
	s := &packageSite{newSite(t, map[string]string{
		"desired/policy.yaml":      makerPolicy,
		"desired/keys/elastic.asc": epr.Key.Public(),
		"desired/elastic.yaml":     packageSet("versions: all, prereleases: true", ""),
	}), epr}
	s.config += fmt.Sprintf("  epr: {host: epr.elastic.co, endpoint: %q, insecure: true}\n", epr.URL())
	return s
}

// packageSet writes a set of packages; options are those of the source beside url, and more is what follows it.
func packageSet(options, more string) string {
	return fmt.Sprintf("version: 1\nsource: {kind: epr, url: \"https://epr.elastic.co\", %s}\n%s", options, more)
}

// stands gives the packages that the record has at a stage, by name, in one line; a stage file where it is one above the first.
func (s *packageSite) stands(stage string) string {
	s.t.Helper()
	files := mirror.Files{}
	for name, body := range must(s.git.Files("main"))(s.t) {
		files[name] = []byte(body)
	}
	from := "rendered/demo/record/elastic/" + stage
	if stage == "snapshot" {
		from = "rendered/demo/elastic/snapshot"
	}
	var names []string
	for _, part := range files.Document(from) {
		for line := range strings.Lines(string(files[part])) {
			name, image, ok := strings.Cut(strings.TrimSpace(line), ": ")
			if ok && strings.Contains(image, "@sha256:") {
				names = append(names, strings.Trim(name, `"`))
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
