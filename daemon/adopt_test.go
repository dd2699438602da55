package daemon

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// pushLocal puts the same image into the local registry before the daemon comes; an empty tag only its content.
func (s *site) pushLocal(repository, tag, seed string, layers ...testenv.Layer) mirror.Digest {
	s.t.Helper()
	return must(testenv.Push(s.t.Context(), s.local.Back(), repository, tag, testenv.Image(seed, layers...)))(s.t)
}

// furnished is a site of five pinned images whose content lies in the local registry already, where the set
// will want it, under the tags that tag gives.
func furnished(t *testing.T, options string, tag func(s *site, i int, image mirror.Reference) []string) (s *site, images []mirror.Reference) {
	t.Helper()
	s = newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	for i := range 5 {
		layers := []testenv.Layer{{Seed: "shared", Size: 50_000}, {Seed: fmt.Sprint("own", i), Size: 10_000}}
		image := s.push(fmt.Sprintf("docker.io/apps/app%d:1", i), fmt.Sprint("app", i), layers...)
		images = append(images, image)
		repository := "mirror/docker.io/" + image.Repository
		if strings.Contains(options, "layout: path") {
			repository = "mirror/snapshot/docker.io/" + image.Repository
		}
		for _, tag := range tag(s, i, image) {
			s.pushLocal(repository, tag, fmt.Sprint("app", i), layers...)
		}
	}
	s.commit("apps", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n" + options, "desired/web.txt": list(images...)})
	return s, images
}

func stageTagOf(image mirror.Reference) string {
	return fmt.Sprintf("web-docker.io.apps.%s.1-snapshot", strings.TrimPrefix(image.Repository, "apps/"))
}

// What lies in the local registry already is adopted by its digest: no blob byte crosses, and tags that were
// there stay where they are.
func TestAdopt_ContentThatIsThereCrossesNoByte(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		options string
		tags    func(s *site, i int, image mirror.Reference) []string
	}{
		"content alone":         {"", func(*site, int, mirror.Reference) []string { return []string{""} }},
		"under the vendor's":    {"", func(*site, int, mirror.Reference) []string { return []string{"1"} }},
		"under our tags":        {"", func(_ *site, _ int, image mirror.Reference) []string { return []string{"1", stageTagOf(image)} }},
		"under others":          {"", func(_ *site, i int, _ mirror.Reference) []string { return []string{fmt.Sprint("legacy-", i), "latest"} }},
		"path, content alone":   {"layout: path\n", func(*site, int, mirror.Reference) []string { return []string{""} }},
		"path, under our tags":  {"layout: path\n", func(*site, int, mirror.Reference) []string { return []string{"1", "latest"} }},
		"path, adopt, our tags": {"layout: path\nadopt: true\n", func(*site, int, mirror.Reference) []string { return []string{"1"} }},
	} {
		t.Run(name, func(t *testing.T) {
			s, images := furnished(t, tt.options, tt.tags)
			before := testenv.TagsOf(s.local.Back())
			s.upstream.Proxy().Reset()
			r := s.sync()["web"]
			local, upstream := s.local.Proxy().Counts(), s.upstream.Proxy().Counts()
			if local.BlobReceived != 0 || upstream.Of(testenv.BlobGet) != 0 || upstream.BlobSent != 0 || r.Bytes != 0 {
				t.Errorf("%d blob bytes received, %d blobs and %d bytes read upstream, %d reported; want none", local.BlobReceived, upstream.Of(testenv.BlobGet), upstream.BlobSent, r.Bytes)
			}
			after := testenv.TagsOf(s.local.Back())
			for tag, d := range before {
				if after[tag] != d {
					t.Errorf("%s was moved from %s to %s", tag, d, after[tag])
				}
			}
			if n := r.Plan.Count(mirror.Unchanged); n != len(images) {
				t.Errorf("%d of %d stand\n%s", n, len(images), details(r.Plan))
			}
			if strings.HasPrefix(name, "path, under") || strings.HasPrefix(name, "under our") {
				if n := local.Writes(); n != 0 {
					t.Errorf("%d writes although all stands: %v", n, local.Paths)
				}
			}
			s.whole()
		})
	}
}

// A tag that was there before us and names something else is not moved, until the set says adopt.
func TestAdopt_ForeignTagStaysUntilTheSetAdopts(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"tag", "path"} {
		t.Run(layout, func(t *testing.T) {
			s, images := furnished(t, "layout: "+layout+"\n", func(*site, int, mirror.Reference) []string { return []string{""} })
			repository, tag := "mirror/docker.io/apps/app0", stageTagOf(images[0])
			if layout == "path" {
				repository, tag = "mirror/snapshot/docker.io/apps/app0", "1"
			}
			foreign := s.pushLocal(repository, tag, "foreign")
			r := s.sync()["web"]
			if got := kinds(r.Plan, mirror.Refuse); !maps.Equal(got, map[string]mirror.ReasonCode{"snapshot/docker.io/apps/app0:1": mirror.ForeignTag}) {
				t.Errorf("refused: %v\n%s", got, details(r.Plan))
			}
			if got := s.tag(repository, tag); got != foreign {
				t.Errorf("the foreign tag names %s, want %s as before", got, foreign)
			}
			if n := r.Plan.Count(mirror.Unchanged); n != len(images)-1 {
				t.Errorf("%d of the others stand, want %d\n%s", n, len(images)-1, details(r.Plan))
			}
			if n := s.local.Proxy().Counts().BlobReceived; n != 0 {
				t.Errorf("%d blob bytes crossed", n)
			}
			s.commit("adopt", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\nlayout: " + layout + "\nadopt: true\n"})
			r = s.sync()["web"]
			if got := s.tag(repository, tag); got != images[0].Digest {
				t.Errorf("adopted: the tag names %s, want %s\n%s", got, images[0].Digest, details(r.Plan))
			}
			if n := s.local.Proxy().Counts().BlobReceived; n != 0 {
				t.Errorf("adopted: %d blob bytes crossed", n)
			}
			s.whole()
		})
	}
}

// A vendor's tag of ours is never in the way of others, nor theirs in ours: a foreign vendor tag stays and the
// stage tag is written.
func TestAdopt_ForeignVendorTagStays(t *testing.T) {
	t.Parallel()
	s, images := furnished(t, "", func(*site, int, mirror.Reference) []string { return []string{""} })
	foreign := s.pushLocal("mirror/docker.io/apps/app0", "1", "foreign")
	r := s.sync()["web"]
	if got := s.tag("mirror/docker.io/apps/app0", "1"); got != foreign {
		t.Errorf("the foreign tag names %s, want %s", got, foreign)
	}
	if got := s.tag("mirror/docker.io/apps/app0", stageTagOf(images[0])); got != images[0].Digest {
		t.Errorf("the stage tag names %s, want %s\n%s", got, images[0].Digest, details(r.Plan))
	}
}

// A tag of ours that a stranger moved or deleted is put back by the next audit, and the plan says why.
func TestDrift_IsPutBackByTheNextAudit(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"tag", "path"} {
		for _, stage := range []string{"snapshot", "staging", "production"} {
			t.Run(layout+" "+stage, func(t *testing.T) {
				s, first := chain(t, layout)
				before := s.end()
				repository, tag := "mirror/docker.io/library/web", "web-docker.io.library.web.1-"+stage
				if layout == "path" {
					repository, tag = "mirror/"+stage+"/docker.io/library/web", "1"
				}
				stranger := s.pushLocal(repository, tag, "stranger")
				if _, err := s.line.cycle(t.Context(), Wake{Why: "poll"}); err != nil {
					t.Fatal(err)
				}
				if got := s.tag(repository, tag); got != stranger {
					t.Fatalf("before the audit it names %s, want %s", got, stranger)
				}
				plans := must(s.line.Plan(t.Context(), Wake{Audit: true}))(t)
				if got := kinds(plans[0], mirror.Tag); !maps.Equal(got, map[string]mirror.ReasonCode{stage + "/" + webEntry: mirror.Drift}) {
					t.Errorf("to be tagged: %v\n%s", got, details(plans[0]))
				}
				s.local.Proxy().Reset()
				reports := must(s.line.cycle(t.Context(), Wake{Why: "audit", Audit: true}))(t)
				if got := s.tag(repository, tag); got != first.Digest {
					t.Errorf("after the audit it names %s, want %s\n%s", got, first.Digest, details(reports[0].Plan))
				}
				if c := s.local.Proxy().Counts(); c.BlobReceived != 0 || c.Of(testenv.ManifestPut) != 1 {
					t.Errorf("%d blob bytes, %d tags written; want none and one", c.BlobReceived, c.Of(testenv.ManifestPut))
				}
				if after := s.end(); !maps.Equal(after, before) {
					t.Errorf("the end differs:\n got %v\nwant %v", after, before)
				}
			})
		}
	}
}
