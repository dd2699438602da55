package daemon

import (
	"net/http"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/attest"
	"github.com/poundlock/poundlock/testenv"
)

// pushIndex puts an image for two platforms upstream that the vendor signed, and gives it with its manifests.
func (s *attesting) pushIndex(ref, seed string) (image mirror.Reference, children []mirror.Reference) {
	s.t.Helper()
	r := must(mirror.ParseReference(ref))(s.t)
	index := testenv.Index(seed)
	image = r.WithDigest(must(testenv.Push(s.t.Context(), s.upstream.Back(), r.Name(), r.Tag, index))(s.t))
	if err := s.vendor.SignLegacy(s.t.Context(), s.upstream.Back()+"/"+r.Name(), image.Digest, testenv.Claiming(r.Name())); err != nil {
		s.t.Fatal(err)
	}
	for _, m := range must(index.IndexManifest())(s.t).Manifests {
		children = append(children, r.WithDigest(must(mirror.ParseDigest(m.Digest.String()))(s.t)))
	}
	return image, children
}

// signedBySite checks that this site's signature lies beside each manifest in both forms, or beside none.
func (s *attesting) signedBySite(want int, all ...mirror.Reference) {
	s.t.Helper()
	for _, m := range all {
		if bundles, legacy := s.marks(m)["signature"], s.legacy(m, s.signs.PublicPEM()); bundles != want || legacy != want {
			s.t.Errorf("%s has %d bundles and %d legacy signatures of this site, want %d", m, bundles, legacy, want)
		}
	}
}

// With platforms: each this site signs every manifest of an index before the tag moves; switched on later, it signs
// what stands.
func TestPlatforms_EachManifestOfAnIndexIsSigned(t *testing.T) {
	t.Parallel()
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		image, children := s.pushIndex("docker.io/library/app:1", "app")
		s.stand(image)
		s.rise()
		s.signedBySite(1, image)
		s.signedBySite(0, children...)
		if len(children) < 2 {
			t.Fatalf("an index of %d manifests", len(children))
		}
		s.close()
		s.config = strings.Replace(s.config, "sign: {key:", "sign: {platforms: each, key:", 1)
		s.open()
		s.sync()
		s.signedBySite(1, append(children, image)...)
		for _, w := range []Wake{{Why: "poll"}, {Why: "schedule", Resolve: true}} {
			s.proxy.Reset()
			if s.cycle(w); s.proxy.Counts().Total() != 0 {
				t.Errorf("%s with nothing to do asks %v", w.Why, s.proxy.Counts().Paths)
			}
		}

		// A manifest that cannot be signed keeps the tag where it is.
		next, children := s.pushIndex("docker.io/library/next:1", "next")
		s.commit("next", map[string]string{"desired/web.txt": list(image, next)})
		s.sync()
		s.promote("web", "snapshot", "staging")
		s.sync()
		s.promote("web", "staging", "production")
		s.proxy.Break(testenv.Always(func(r *http.Request) bool {
			return testenv.KindOf(r) == testenv.ManifestPut && strings.Contains(r.URL.Path, strings.Replace(children[1].Digest.String(), ":", "-", 1))
		}, testenv.Fault{Status: http.StatusForbidden}))
		r := s.sync()["web"]
		if got := kinds(r.Plan, mirror.Failed)["production/"+entryOf(r.Plan, next)]; got != mirror.LocalFailed {
			t.Errorf("got %q: %v", got, details(r.Plan))
		}
		s.proxy.Break(nil)
		s.now = s.now.Add(lastRetry)
		if r := s.poll()["web"]; r.Plan.Count(mirror.Unchanged) != 6 {
			t.Errorf("it is not tried again: %v", details(r.Plan))
		}
		s.signedBySite(1, append(children, next)...)
	})
}

// A signature that was taken away, or written over, is found missing by the next audit and made anew.
func TestAudit_MakesALostSignatureAnew(t *testing.T) {
	t.Parallel()
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		one, two := s.pushSigned("docker.io/library/one:1", "one"), s.pushSigned("docker.io/library/two:1", "two")
		s.stand(one, two)
		s.rise()
		tag := func(image mirror.Reference) mirror.Reference {
			return s.at(image).AtDigest(mirror.Digest{}).WithTag(strings.Replace(image.Digest.String(), ":", "-", 1) + ".sig")
		}
		gone := must(s.line.registry.Resolve(t.Context(), tag(one)))(t)
		if err := s.line.registry.Delete(t.Context(), s.at(one).AtDigest(gone.Digest)); err != nil {
			t.Fatal(err)
		}
		_ = s.line.registry.Delete(t.Context(), tag(one)) // in a registry that keeps tags of what is deleted
		theirs := must(s.line.registry.Tagged(t.Context(), mirror.Reference{Host: "docker.io", Repository: "library/two", Tag: tag(two).Tag}))(t)
		if _, err := s.line.registry.Put(t.Context(), tag(two), theirs); err != nil {
			t.Fatal(err)
		}
		if s.legacy(one, s.signs.PublicPEM())+s.legacy(two, s.signs.PublicPEM()) != 0 {
			t.Fatal("the signatures are still there")
		}
		s.poll()
		if s.legacy(one, s.signs.PublicPEM()) != 0 {
			t.Error("a look at Git asked for signatures")
		}
		s.cycle(Wake{Why: "audit", Audit: true})
		for _, image := range []mirror.Reference{one, two} {
			if n := s.legacy(image, s.signs.PublicPEM()); n != 1 {
				t.Errorf("%s has %d signatures of this site, want 1", image, n)
			}
			if !s.line.state.Attached(s.at(image), s.signs.Identity(), attest.SignatureMark) {
				t.Errorf("the signature of %s is not known", image)
			}
		}
		s.proxy.Reset()
		s.cycle(Wake{Why: "audit", Audit: true})
		if asked := s.requests(func(path string) bool { return strings.Contains(path, "sha256-") }); len(asked) != 2 || len(s.writes()) != 0 {
			t.Errorf("the next audit asks %v and writes %v, want one HEAD for each signature", asked, s.writes())
		}
	})
}
