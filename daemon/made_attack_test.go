package daemon

import (
	"fmt"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// A chart may be known below a name that a registry has, too: what other sets want of that name comes from the registry.
func TestMade_NothingIsPutInThePlaceOfWhatARegistryHas(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": "version: 1\nsigners: {vendor: {key: keys/vendor.pub}}\n" +
		"rules: [{match: ghcr.io/team/web, require: {signers: [vendor], count: 1}}, {match: \"quay.io/**\", require: {pinned: true}}]\n"})
	app, tagged, pinned := s.push("quay.io/team/app:1", "app"), s.pushSigned("ghcr.io/team/web:1.0.0", "real"), s.pushSigned("ghcr.io/team/web:2.0.0", "other")
	files := chartOf("1.0.0", app)
	files["desired/web.yaml"] = fmt.Sprintf("version: 1\nsource: {kind: helm, chart: charts/web, chartsAt: ghcr.io/team, inline: {image: %q}}\n", app)
	// What an upstream lists is known only when it was asked, so that nobody could refuse the place of the chart before.
	files["desired/victim.yaml"] = "version: 1\nsource: {kind: oci, repositories: [ghcr.io/team/web], tags: {semver: \">=0\"}}\n"
	s.commit("a chart with the name of an image", files)
	reports := s.sync()
	record := must(s.line.record(s.line.fleet.Load(), must(setNamed(s, "victim"))(t)))(t)
	for entry, line := range record.At("snapshot") {
		if line.Image.Digest != tagged.Digest && line.Image.Digest != pinned.Digest {
			t.Errorf("%s is %s, which is no image of the registry (%s, %s)", entry, line.Image, tagged.Digest, pinned.Digest)
		}
	}
	if n := len(record.At("snapshot")); n != 1 { // the other one has the tag that the chart has, which is told as a collision
		t.Errorf("%d of 1 images stand: %+v", n, reports["victim"].Plan.Actions)
	}
}

func setNamed(s *site, name string) (mirror.Set, error) {
	for _, set := range s.line.fleet.Load().desired.Sets {
		if set.Name == name {
			return set, nil
		}
	}
	return mirror.Set{}, fmt.Errorf("no set %s", name)
}
