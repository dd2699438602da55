package daemon

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// tagsOf gives the tags of one local repository.
func (s *site) tagsOf(repository string) map[string]mirror.Digest {
	s.t.Helper()
	tags := map[string]mirror.Digest{}
	for tag, text := range testenv.TagsOf(s.local.Back()) {
		if name, ok := strings.CutPrefix(tag, repository+":"); ok && !strings.HasSuffix(name, ".sig") {
			tags[name] = must(mirror.ParseDigest(text))(s.t)
		}
	}
	return tags
}

// Under layout tag the vendor's tag is written once and stays, whatever moves upstream; each stage has a tag of
// its own, which moves only with its stage. vendorTags: follow and none say otherwise.
func TestTagLayout_VendorTagStaysAndStageTagsMove(t *testing.T) {
	t.Parallel()
	for _, vendor := range []string{"once", "follow", "none"} {
		t.Run(vendor, func(t *testing.T) {
			s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
				"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"" + webEntry + "\"]}\nvendorTags: " + vendor + "\ntag: \"{{.Set}}_{{.Stage}}\"\n"})
			first := s.pushSigned(webEntry, "first")
			const repository = "mirror/docker.io/library/web"
			want := func(when string, vendorTag mirror.Digest, stages map[string]mirror.Digest) {
				t.Helper()
				tags := map[string]mirror.Digest{}
				if vendor != "none" {
					tags["1"] = vendorTag
				}
				for stage, d := range stages {
					tags["web_"+stage] = d
				}
				if got := s.tagsOf(repository); !maps.Equal(got, tags) {
					t.Errorf("%s: got %v, want %v", when, got, tags)
				}
			}
			s.sync()
			want("first", first.Digest, map[string]mirror.Digest{"snapshot": first.Digest})
			s.promote("web", "snapshot", "staging")
			s.sync()
			want("promoted", first.Digest, map[string]mirror.Digest{"snapshot": first.Digest, "staging": first.Digest})

			next := s.pushSigned(webEntry, "next")
			s.sync()
			vendorTag := map[string]mirror.Digest{"once": first.Digest, "follow": next.Digest, "none": {}}[vendor]
			want("moved upstream", vendorTag, map[string]mirror.Digest{"snapshot": next.Digest, "staging": first.Digest})
			s.promote("web", "staging", "production")
			s.sync()
			want("the first to production", vendorTag, map[string]mirror.Digest{"snapshot": next.Digest, "staging": first.Digest, "production": first.Digest})
			s.promote("web", "snapshot", "staging")
			s.sync()
			want("the next to staging", vendorTag, map[string]mirror.Digest{"snapshot": next.Digest, "staging": next.Digest, "production": first.Digest})
			s.whole()
		})
	}
}

// A set that consumers read by tag through a mirror must be laid out by path: else they would see what was
// never promoted.
func TestTagLayout_CannotRenderMirrors(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy, "desired/web.txt": "docker.io/library/none:1\n",
		"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\nrender: {containerd: {}}\n"})
	if _, err := s.trySync(); err == nil || !strings.Contains(err.Error(), "layout") || !strings.Contains(err.Error(), "desired/web.yaml") {
		t.Errorf("got %v, want an error that names the file and the layout", err)
	}
}

// The site's own image stands in for the vendor's under the vendor's name in the override, as long as the
// vendor ships what it was made from; when that moves, nothing changes until a person confirms.
func TestReplace_WaitsWhenTheVendorMovesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	push := func(version string) (web, synapse mirror.Reference) {
		return s.push("docker.io/vectorim/element-web:"+version, "web"+version), s.push("docker.io/matrixdotorg/synapse:"+version, "synapse"+version)
	}
	web1, synapse1 := push("v1")
	own := s.push("quay.io/site/element-web:v1-site", "own")
	set := func(own, basedOn mirror.Reference) string {
		return fmt.Sprintf("version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nrender: {element: {name: ess-images, namespace: ess}}\nreplace:\n  element_web/element_web: {image: %q, basedOn: %q}\n", own, basedOn.Digest)
	}
	s.commit("release 1", map[string]string{"desired/ess.yaml": set(own, web1), "desired/ess/images_digests.yml": imagesDigests(web1, synapse1)})
	r := s.sync()["ess"]
	s.promote("ess", "snapshot", "staging")
	s.sync()
	override := func(stage string) string { return s.file("rendered/demo/ess/" + stage + "/images-digests.yaml") }
	for _, stage := range []string{"snapshot", "staging"} {
		if got := override(stage); !strings.Contains(got, own.Digest.String()) || !strings.Contains(got, "site/element-web") || !strings.Contains(got, synapse1.Digest.String()) || strings.Contains(got, web1.Digest.String()) {
			t.Fatalf("%s of release 1:\n%s\n%s", stage, got, details(r.Plan))
		}
	}
	if s.holds("mirror/docker.io/vectorim/element-web", web1.Digest) {
		t.Error("the vendor's image was copied although the site's own stands for it")
	}
	before := override("snapshot")

	web2, synapse2 := push("v2")
	s.commit("release 2", map[string]string{"desired/ess/images_digests.yml": imagesDigests(web2, synapse2)})
	own2 := s.push("quay.io/site/element-web:v2-site", "own2")
	r = s.sync()["ess"]
	if got := kinds(r.Plan, mirror.Refuse)["snapshot/element_web/element_web"]; got != mirror.BasedOnMoved {
		t.Errorf("got reason %q, want %q\n%s", got, mirror.BasedOnMoved, details(r.Plan))
	}
	s.promote("ess", "snapshot", "staging")
	s.sync()
	for _, stage := range []string{"snapshot", "staging"} {
		if got := override(stage); strings.Contains(got, synapse2.Digest.String()) != strings.Contains(got, own2.Digest.String()) || got != before {
			t.Errorf("%s mixes what was made for release 1 with release 2:\n%s", stage, got)
		}
	}

	s.commit("made for release 2", map[string]string{"desired/ess.yaml": set(own2, web2)})
	r = s.sync()["ess"]
	s.promote("ess", "snapshot", "staging")
	s.sync()
	for _, stage := range []string{"snapshot", "staging"} {
		if got := override(stage); !strings.Contains(got, own2.Digest.String()) || !strings.Contains(got, synapse2.Digest.String()) || strings.Contains(got, own.Digest.String()) {
			t.Errorf("%s of release 2:\n%s\n%s", stage, got, details(r.Plan))
		}
	}
	s.whole()
}

// A replacement that is asked for the first time for another release than the vendor ships is refused outright.
func TestReplace_ForAnotherReleaseIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	web, synapse := s.push("docker.io/vectorim/element-web:v1", "web"), s.push("docker.io/matrixdotorg/synapse:v1", "synapse")
	own := s.push("quay.io/site/element-web:v1-site", "own")
	s.commit("replace", map[string]string{"desired/ess/images_digests.yml": imagesDigests(web, synapse),
		"desired/ess.yaml": fmt.Sprintf("version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nreplace: {element_web/element_web: {image: %q, basedOn: %q}}\n", own, synapse.Digest)})
	r := s.sync()["ess"]
	if got := kinds(r.Plan, mirror.Refuse); !maps.Equal(got, map[string]mirror.ReasonCode{"snapshot/element_web/element_web": mirror.BasedOnMoved}) {
		t.Errorf("refused: %v\n%s", got, details(r.Plan))
	}
	if s.holds("mirror/quay.io/site/element-web", own.Digest) || s.holds("mirror/docker.io/vectorim/element-web", web.Digest) {
		t.Error("an image of the refused entry was copied")
	}
}

// Above the first stage the entries of an ESS set move together under layout tag too: one that cannot come
// holds all tags and the override of its stage.
func TestAtomicSet_HoldsUnderLayoutTag(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{
		"desired/policy.yaml": "version: 1\nsigners: {vendor: {key: keys/vendor.pub}}\nrules:\n" +
			"  - {match: \"**\", stages: [snapshot], require: {pinned: true}}\n  - {match: \"**\", stages: [staging, production], require: {signers: [vendor], count: 1}}\n",
		"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nrender: {element: {name: ess-images, namespace: ess}}\n"})
	web1, synapse1 := s.pushSigned("docker.io/vectorim/element-web:v1", "web1"), s.pushSigned("docker.io/matrixdotorg/synapse:v1", "synapse1")
	s.commit("release 1", map[string]string{"desired/ess/images_digests.yml": imagesDigests(web1, synapse1)})
	s.sync()
	s.promote("ess", "snapshot", "staging")
	s.sync()
	staging := func() map[string]string {
		all := s.end()
		maps.DeleteFunc(all, func(name, _ string) bool { return !strings.Contains(name, "staging") })
		return all
	}
	before := staging()
	if len(before) < 3 {
		t.Fatalf("staging of release 1: %v", before)
	}
	web2, synapse2 := s.pushSigned("docker.io/vectorim/element-web:v2", "web2"), s.push("docker.io/matrixdotorg/synapse:v2", "synapse2")
	s.commit("release 2", map[string]string{"desired/ess/images_digests.yml": imagesDigests(web2, synapse2)})
	s.sync()
	s.promote("ess", "snapshot", "staging")
	r := s.sync()["ess"]
	if after := staging(); !maps.Equal(after, before) {
		t.Errorf("staging moved although one of its set is not admitted:\n got %v\nwant %v\n%s", after, before, details(r.Plan))
	}
	want := map[string]mirror.ReasonCode{"staging/synapse/synapse": mirror.NoSignature, "staging/element_web/element_web": mirror.Held}
	if got := kinds(r.Plan, mirror.Refuse); !maps.Equal(got, want) {
		t.Errorf("refused: %v, want %v", got, want)
	}
	if err := s.vendor.SignLegacy(t.Context(), s.upstream.Back()+"/"+synapse2.Name(), synapse2.Digest, testenv.Claiming(synapse2.Name())); err != nil {
		t.Fatal(err)
	}
	r = s.sync()["ess"]
	for repository, image := range map[string]mirror.Reference{"vectorim/element-web": web2, "matrixdotorg/synapse": synapse2} {
		found := false
		for tag, d := range s.tagsOf("mirror/docker.io/" + repository) {
			found = found || strings.HasSuffix(tag, "-staging") && d == image.Digest
		}
		if !found {
			t.Errorf("after the late signature no staging tag of %s names %s\n%s", repository, image.Digest, details(r.Plan))
		}
	}
	s.whole()
}
