package daemon

import (
	"net/http"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// What was verified is what is copied, whenever somebody moves the tag of the image or that of its signature. What the
// tag names then is judged by the next cycle.
func TestAttack_WhatMovesBetweenVerifyAndCopyChangesNothing(t *testing.T) {
	for moment, is := range map[string]func(path string, image, payload mirror.Digest) bool{
		"signature is looked for": func(path string, image, _ mirror.Digest) bool {
			return strings.HasSuffix(path, "/manifests/sha256-"+image.Hex+".sig")
		},
		"signature is read": func(path string, _, payload mirror.Digest) bool {
			return strings.HasSuffix(path, "/blobs/"+payload.String())
		},
		"image is read": func(path string, image, _ mirror.Digest) bool {
			return strings.HasSuffix(path, "/manifests/"+image.String())
		},
		"signature is copied": func(path string, image, _ mirror.Digest) bool {
			return strings.HasSuffix(path, "/manifests/sha256-"+image.Hex+".att")
		},
	} {
		t.Run("13 when the "+moment, func(t *testing.T) {
			s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
				"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"" + webEntry + "\"]}\n"})
			stranger := must(testenv.NewSigner("p256"))(t)
			at, here := s.upstream.Back()+"/docker.io/library/web", "mirror/docker.io/library/web"
			first := s.push(webEntry, "first")
			evil := s.push(webEntry, "evil") // whose tag is to come
			tagged := func(d mirror.Digest) string { return strings.ReplaceAll(d.String(), ":", "-") + ".sig" }
			if err := s.vendor.SignLegacy(t.Context(), at, first.Digest, testenv.Claiming("docker.io/library/web")); err != nil {
				t.Fatal(err)
			}
			if err := stranger.SignLegacy(t.Context(), at, evil.Digest, testenv.Claiming("docker.io/library/web")); err != nil {
				t.Fatal(err)
			}
			if err := testenv.Retag(t.Context(), at, first.Digest.String(), "1"); err != nil {
				t.Fatal(err)
			}
			s.open()
			ref := must(mirror.ParseReference("docker.io/library/web"))(t)
			signature := must(s.line.registry.Tagged(t.Context(), ref.WithTag(tagged(first.Digest))))(t)
			payload := must(signature.Parts())(t).Layers[0].Digest
			moved := false
			s.upstream.Proxy().Break(func(r *http.Request) *testenv.Fault {
				if moved || !is(r.URL.Path, first.Digest, payload) {
					return nil
				}
				moved = true
				for from, to := range map[string]string{evil.Digest.String(): "1", tagged(evil.Digest): tagged(first.Digest)} {
					if err := testenv.Retag(t.Context(), at, from, to); err != nil {
						t.Error(err)
					}
				}
				return nil
			})
			r := s.sync()["web"]
			if s.upstream.Proxy().Break(nil); !moved {
				t.Fatal("the moment did not come")
			}
			if s.holds(here, evil.Digest) {
				t.Errorf("the local registry holds what nobody verified\n%s", details(r.Plan))
			}
			if moment == "signature is looked for" { // the vendor's was not there any more
				if got := kinds(r.Plan, mirror.Refuse)["snapshot/"+webEntry]; got != mirror.BadSignature || s.holds(here, first.Digest) {
					t.Errorf("got reason %q: %s", got, details(r.Plan))
				}
				return
			}
			if got := s.tag(here, "1"); got != first.Digest {
				t.Errorf("the tag names %s, want %s that was verified", got, first.Digest)
			}
			if got := s.tag(here, tagged(first.Digest)); got != signature.Descriptor.Digest {
				t.Errorf("the signature here is %s, want %s that was verified", got, signature.Descriptor.Digest)
			}
			r = s.sync()["web"]
			if got := kinds(r.Plan, mirror.Refuse)["snapshot/"+webEntry]; got != mirror.BadSignature || s.holds(here, evil.Digest) {
				t.Errorf("next cycle: got reason %q: %s", got, details(r.Plan))
			}
			if got := s.tag(here, "1"); got != first.Digest {
				t.Errorf("next cycle: the tag names %s, want %s", got, first.Digest)
			}
			if v := s.judgeLocally(first); v.Outcome != mirror.OutcomeSigned {
				t.Errorf("judged by what lies here: %s, %s", v.Outcome, v.Reason)
			}
			s.whole()
		})
	}
}

// A key that was rotated lets nothing new in by its old signatures. What stands stays, is shown, and rises no further.
func TestAttack_OldSignaturesOfARotatedKey(t *testing.T) {
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n", "desired/web.txt": webEntry + "\n"})
	const next, fresh = "docker.io/library/web:2", "docker.io/library/web:3"
	first := s.pushSigned(webEntry, "first")
	s.sync()
	stale := s.pushSigned(next, "signed before the rotation")
	old := s.vendor
	s.vendor = must(testenv.NewSigner("p256"))(t)
	good := s.pushSigned(fresh, "signed after it")
	s.commit("rotate", map[string]string{"desired/keys/vendor.pub": s.vendor.PublicPEM(), "desired/web.txt": strings.Join([]string{webEntry, next, fresh, ""}, "\n")})
	s.promote("web", "snapshot", "staging")
	r := s.sync()["web"]
	refused := kinds(r.Plan, mirror.Refuse)
	for _, entry := range []string{"snapshot/" + webEntry, "snapshot/" + next, "staging/" + webEntry} {
		if got := refused[entry]; got != mirror.BadSignature {
			t.Errorf("%s: got reason %q, want %q\n%s", entry, got, mirror.BadSignature, details(r.Plan))
		}
	}
	if s.holds("mirror/docker.io/library/web", stale.Digest) {
		t.Error("an old signature let a new image in")
	}
	for tag, want := range map[string]mirror.Digest{"1": first.Digest, "2": {}, "3": good.Digest} {
		if got := s.tag("mirror/docker.io/library/web", tag); got != want {
			t.Errorf("tag %s names %s, want %s", tag, got, want)
		}
	}
	if got := s.stageTag("tag", "staging"); got != (mirror.Digest{}) {
		t.Errorf("staging names %s", got)
	}
	// The old key comes back as one that has ended: it lets in what was seen before its end, and nothing else.
	s.commit("retire", map[string]string{"desired/keys/old.pub": old.PublicPEM(),
		"desired/policy.yaml": "version: 1\nsigners: {vendor: {key: keys/vendor.pub}, old: {key: keys/old.pub, until: 2026-11-21T10:00:00Z}}\nrules: [{match: \"**\", require: {signers: [vendor, old], count: 1}}]\n"})
	s.sync()
	for tag, want := range map[string]mirror.Digest{"1": first.Digest, "2": stale.Digest, "3": good.Digest} {
		if got := s.tag("mirror/docker.io/library/web", tag); got != want {
			t.Errorf("with the old key: tag %s names %s, want %s", tag, got, want)
		}
	}
	s.now = s.now.AddDate(0, 0, 1)
	vendor := s.vendor
	s.vendor = old
	stolen := s.pushSigned("docker.io/library/web:4", "signed after the end")
	s.vendor = vendor
	s.commit("one more", map[string]string{"desired/web.txt": strings.Join([]string{webEntry, next, fresh, stolen.Name() + ":4", ""}, "\n")})
	r = s.sync()["web"]
	if got := kinds(r.Plan, mirror.Refuse); len(got) != 1 || got["snapshot/docker.io/library/web:4"] != mirror.BadSignature || s.holds("mirror/docker.io/library/web", stolen.Digest) {
		t.Errorf("after the end: got %v\n%s", got, details(r.Plan))
	}
	s.whole()
}
