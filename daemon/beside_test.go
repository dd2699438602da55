package daemon

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// twoAtProduction wants the vendor's signature everywhere and another one besides at production.
const twoAtProduction = `version: 1
signers: {vendor: {key: keys/vendor.pub}, other: {key: keys/other.pub}}
rules:
  - {match: "**", stages: [snapshot, staging], require: {signers: [vendor]}}
  - {match: "**", stages: [production], require: {signers: [vendor, other], count: 2}, reference: any}
`

// What lies beside an image here and does not count, such as this site's own signature, hides nothing that is made
// upstream later. Meanwhile the upstream is asked with backoff alone.
func TestLateSignature_IsFoundAlthoughOthersSignedHere(t *testing.T) {
	t.Parallel()
	for name, beside := range map[string]func(t *testing.T, s *attesting, image mirror.Reference){
		"this site": func(*testing.T, *attesting, mirror.Reference) {},
		"a stranger": func(t *testing.T, s *attesting, image mirror.Reference) {
			s.config = s.plain
			stranger := must(testenv.NewSigner("p256"))(t)
			if err := stranger.SignLegacy(t.Context(), s.upstream.Back()+"/"+image.Name(), image.Digest, testenv.Claiming(image.Name())); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
				other := must(testenv.NewSigner("p256"))(t)
				s.sign("site.key", "snapshot")
				s.commit("two", map[string]string{"desired/policy.yaml": twoAtProduction, "desired/keys/other.pub": other.PublicPEM()})
				image := s.pushSigned("docker.io/library/app:1", "app")
				beside(t, s, image)
				s.stand(image)
				s.promote("web", "snapshot", "staging")
				s.sync()
				s.promote("web", "staging", "production")
				s.upstream.Proxy().Reset()
				r := s.poll()["web"]
				code := kinds(r.Plan, mirror.Refuse)["production/"+entryOf(r.Plan, image)]
				asked := s.upstream.Proxy().Counts().Total()
				if name == "this site" && code != mirror.NoSignature || name == "a stranger" && code != mirror.BadSignature || asked == 0 {
					t.Fatalf("refused as %q after %d upstream requests: %v", code, asked, details(r.Plan))
				}
				for range 2 {
					s.reset()
					s.proxy.Reset()
					if s.poll(); s.proxy.Counts().Total()+s.upstream.Proxy().Counts().Total() != 0 {
						t.Errorf("an idle cycle asks: %v %v", s.proxy.Counts().Paths, s.upstream.Proxy().Counts().Paths)
					}
				}
				if err := other.SignLegacy(t.Context(), s.upstream.Back()+"/"+image.Name(), image.Digest, testenv.Claiming(image.Name())); err != nil {
					t.Fatal(err)
				}
				if name == "a stranger" { // what is refused for what is there waits for the next look at upstreams
					r = s.sync()["web"]
				} else {
					s.now = s.now.Add(lastRetry)
					r = must(s.line.Sync(t.Context(), Wake{Why: "retry", Local: true}))(t)[0]
				}
				if r.Plan.Count(mirror.Unchanged) != 3 || s.legacy(image, []byte(other.PublicPEM())) != 1 {
					t.Errorf("signed late, and not picked up: %v", details(r.Plan))
				}
			})
		})
	}
}

// The second look reads what may have changed: the tag of the signatures, the list of referrers and the signature that
// is new. A look that finds nothing new costs two requests.
func TestLateSignature_CostsTwoRequestsALook(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy, "desired/web.yaml": webList, "desired/web.txt": "docker.io/none/none:1\n"})
	image := s.push("docker.io/library/app:1", "app")
	s.commit("it", map[string]string{"desired/web.txt": list(image)})
	if r := s.sync()["web"]; r.Plan.Count(mirror.Refuse) != 1 {
		t.Fatalf("not refused: %v", details(r.Plan))
	}
	look := func() (Report, testenv.Counts) {
		t.Helper()
		s.now = s.now.Add(lastRetry)
		s.reset()
		all := must(s.line.Sync(t.Context(), Wake{Why: "retry", Local: true}))(t)
		return all[0], s.upstream.Proxy().Counts()
	}
	tag := strings.Replace(image.Digest.String(), ":", "-", 1)
	for range 2 {
		r, counts := look()
		paths := slices.Clone(counts.Paths)
		slices.Sort(paths)
		// The fallback tag is the list of referrers of a registry without their API.
		want := []string{"/manifests/" + tag, "/manifests/" + tag + ".sig"}
		if api := slices.DeleteFunc(paths, func(p string) bool { return strings.Contains(p, "/referrers/") }); len(api) != len(want) ||
			counts.Total() > 3 || counts.Of(testenv.ManifestGet) != 2 || r.Plan.Count(mirror.Refuse) != 1 ||
			!slices.EqualFunc(api, want, func(path, end string) bool {
				return strings.HasPrefix(path, http.MethodGet) && strings.HasSuffix(path, end)
			}) {
			t.Errorf("%d requests: %v, want GET of %v", counts.Total(), counts.Paths, want)
		}
	}
	if err := s.vendor.SignLegacy(t.Context(), s.upstream.Back()+"/"+image.Name(), image.Digest, testenv.Claiming(image.Name())); err != nil {
		t.Fatal(err)
	}
	if r, _ := look(); r.Plan.Count(mirror.Unchanged) != 1 {
		t.Errorf("signed late, and not let in: %v", details(r.Plan))
	}
}

func TestUnproven_IsWhatSignaturesAndAttestationsMend(t *testing.T) {
	for code, want := range map[mirror.ReasonCode]bool{mirror.NoSignature: true, mirror.BadSignature: true, mirror.NoAttestation: true, mirror.BadAttestation: true,
		mirror.Denied: false, mirror.NoRule: false, mirror.NotPinned: false, mirror.TooYoung: false} {
		if got := unproven(mirror.Verdict{Outcome: mirror.OutcomeRejected, Reason: mirror.Because(code, "x")}); got != want {
			t.Errorf("%s: got %t, want %t", code, got, want)
		}
		if unproven(mirror.Verdict{Outcome: mirror.OutcomeUnknown, Reason: mirror.Because(code, "x")}) {
			t.Errorf("%s: what is not known is no refusal", code)
		}
	}
}
