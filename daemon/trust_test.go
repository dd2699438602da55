package daemon

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

const (
	fixtureHost   = "registry.example"
	cosignFixture = "../policy/testdata/cosign" // made by the cosign commands, versions 2 and 3
)

// withExample makes the site read registry.example, whose repositories lie at the root of its upstream.
func (s *site) withExample() {
	s.config += fmt.Sprintf("  example: {host: %s, endpoint: %q, insecure: true}\n", fixtureHost, s.upstream.URL())
}

// judgeLocally asks policy about an image with nothing but the local registry to look at.
func (s *site) judgeLocally(image mirror.Reference) mirror.Verdict {
	s.t.Helper()
	f := s.line.fleet.Load()
	set := f.desired.Sets[0]
	at := s.line.local.Repository(set, set.Stages.First(), image).AtDigest(image.Digest)
	a := mirror.Action{Kind: mirror.Tag, Stage: set.Stages.First(), Image: image, From: at, To: at, New: image.Digest}
	_, verdict, _ := mirror.Verify(s.t.Context(), f.policy.Verifier(policy.Options{At: s.now}), a, s.line.registry)
	return verdict
}

// noTrace fails the test when a write to the local registry was about the repository.
func (s *site) noTrace(repository string) {
	s.t.Helper()
	for _, path := range s.local.Proxy().Counts().Paths {
		if !strings.HasPrefix(path, http.MethodGet) && !strings.HasPrefix(path, http.MethodHead) && strings.Contains(path, "/"+repository+"/") {
			s.t.Errorf("%s was not admitted and reached the local registry: %s", repository, path)
		}
	}
}

// holds says whether a local repository holds a manifest, tagged or not.
func (s *site) holds(repository string, d mirror.Digest) bool {
	s.t.Helper()
	req := must(http.NewRequestWithContext(s.t.Context(), http.MethodHead, "http://"+s.local.Back()+"/v2/"+repository+"/manifests/"+d.String(), nil))(s.t)
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json")
	resp := must(http.DefaultClient.Do(req))(s.t)
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// wipe deletes what the daemon remembers, between two cycles.
func (s *site) wipe() {
	s.t.Helper()
	s.close()
	if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		s.t.Fatal(err)
	}
}

// What the cosign commands of both generations signed is admitted with the right key; the signature goes
// along in the form in which it was made, and the local registry alone is enough to verify it again.
func TestSignatures_OfBothCosignGenerationsTravel(t *testing.T) {
	t.Parallel()
	files := map[string]string{"desired/policy.yaml": "version: 1\nsigners: {release: {key: keys/release.pub}}\nrules: [{match: \"registry.example/**\", require: {signers: [release], count: 1}}]\n"}
	files["desired/keys/release.pub"] = string(must(os.ReadFile(cosignFixture + "/keys/release.pub"))(t))
	s := newSite(t, files)
	s.withExample()
	loaded := must(testenv.LoadFixture(t.Context(), s.upstream.Back(), cosignFixture))(t)
	web := "version: 1\nsource: {kind: list, file: web.txt}\n"
	var images strings.Builder
	for _, path := range slices.Sorted(maps.Keys(loaded.Repositories)) {
		fmt.Fprintf(&images, "%s/%s:1.0\n", fixtureHost, path)
	}
	s.commit("fixtures", map[string]string{"desired/web.yaml": web, "desired/web.txt": images.String()})
	r := s.sync()["web"]

	s.upstream.Proxy().Break(testenv.Always(everything, testenv.Fault{Status: http.StatusInternalServerError}))
	for path, legacy := range map[string]bool{"fixture/v2-legacy": true, "fixture/v3-legacy": true, "fixture/v2-legacy-index": true,
		"fixture/v2-referrer": false, "fixture/v2-bundle": false, "fixture/v3-bundle": false, "fixture/v3-bundle-index": false, "fixture/v3-bundle-time": false} {
		d := loaded.Repositories[path].Tags["1.0"]
		local := "mirror/" + fixtureHost + "/" + path
		if got := s.tag(local, "1.0"); got != d {
			t.Errorf("%s: the local tag names %s, want %s\n%s", path, got, d, details(r.Plan))
			continue
		}
		signature := "sha256-" + d.Hex + ".sig"
		if got := s.tag(local, signature); got != loaded.Repositories[path].Tags[signature] {
			t.Errorf("%s: %s names %s, want %s", path, signature, got, loaded.Repositories[path].Tags[signature])
		}
		at := must(mirror.ParseReference(localName + "/" + local + "@" + d.String()))(t)
		referrers := must(s.line.registry.Referrers(t.Context(), at, d))(t)
		if want := map[bool]int{true: 0, false: 1}[legacy]; len(referrers) != want {
			t.Errorf("%s: %d referrers at the local registry, want %d", path, len(referrers), want)
		}
		for _, referrer := range referrers {
			if !slices.ContainsFunc(loaded.Repositories[path].Manifests, func(m testenv.FixtureManifest) bool { return m.Digest == referrer.Digest }) {
				t.Errorf("%s: referrer %s was not upstream", path, referrer.Digest)
			}
		}
		image := mirror.Reference{Host: fixtureHost, Repository: path, Tag: "1.0", Digest: d}
		if v := s.judgeLocally(image); v.Outcome != mirror.OutcomeSigned || !slices.Equal(v.Signers, []string{"release"}) {
			t.Errorf("%s judged by the local registry: %s, %s", path, v.Outcome, v.Reason)
		}
	}
	refused := kinds(r.Plan, mirror.Refuse)
	for _, path := range []string{"fixture/v2-legacy-wrong", "fixture/v3-bundle-wrong"} {
		if got := refused["snapshot/"+fixtureHost+"/"+path+":1.0"]; got != mirror.BadSignature {
			t.Errorf("%s: got reason %q, want %q", path, got, mirror.BadSignature)
		}
		s.noTrace("mirror/" + fixtureHost + "/" + path)
	}
	s.whole()
}

// Every kind of bad signature is refused with its own reason, and not a byte of the image is written.
func TestSignatures_EachBadKindIsRefusedWithItsReason(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy})
	stranger := must(testenv.NewSigner("p256"))(t)
	other := s.push("docker.io/library/other:1", "other")
	const attestation = "https://slsa.dev/provenance/v1"
	bad := map[string]struct {
		code mirror.ReasonCode
		says string
		sign func(at string, d mirror.Digest) error
	}{
		"unsigned": {mirror.NoSignature, "no signature found", func(string, mirror.Digest) error { return nil }},
		"wrong-key": {mirror.BadSignature, "not by vendor", func(at string, d mirror.Digest) error {
			return stranger.SignLegacy(t.Context(), at, d, testenv.Claiming("docker.io/library/wrong-key"))
		}},
		"wrong-key-bundle": {mirror.BadSignature, "not by vendor", func(at string, d mirror.Digest) error { return stranger.SignBundle(t.Context(), at, d) }},
		"tampered": {mirror.BadSignature, "not by vendor", func(at string, d mirror.Digest) error {
			return s.vendor.SignLegacy(t.Context(), at, d, testenv.Claiming("docker.io/library/tampered"), testenv.Tampered())
		}},
		"tampered-bundle": {mirror.BadSignature, "not by vendor", func(at string, d mirror.Digest) error {
			return s.vendor.SignBundle(t.Context(), at, d, testenv.Tampered())
		}},
		"other-digest": {mirror.BadSignature, "digest", func(at string, d mirror.Digest) error {
			return s.vendor.SignLegacy(t.Context(), at, d, testenv.Claiming("docker.io/library/other-digest"), testenv.ForDigest(other.Digest))
		}},
		"other-digest-bundle": {mirror.BadSignature, "digest", func(at string, d mirror.Digest) error {
			return s.vendor.SignBundle(t.Context(), at, d, testenv.ForDigest(other.Digest))
		}},
		"other-name": {mirror.BadSignature, "docker.io/library/other", func(at string, d mirror.Digest) error {
			return s.vendor.SignLegacy(t.Context(), at, d, testenv.Claiming("docker.io/library/other"))
		}},
		"attestation": {mirror.BadSignature, attestation, func(at string, d mirror.Digest) error {
			return s.vendor.SignBundle(t.Context(), at, d, testenv.OfType(attestation), testenv.Annotated("dev.sigstore.bundle.predicateType", "https://sigstore.dev/cosign/sign/v1"))
		}},
		"honest-attestation": {mirror.NoSignature, "", func(at string, d mirror.Digest) error {
			return s.vendor.SignBundle(t.Context(), at, d, testenv.OfType(attestation))
		}},
	}
	images := "docker.io/library/good:1\n"
	for name, b := range bad {
		image := s.push("docker.io/library/"+name+":1", name)
		if err := b.sign(s.upstream.Back()+"/docker.io/library/"+name, image.Digest); err != nil {
			t.Fatal(err)
		}
		images += "docker.io/library/" + name + ":1\n"
	}
	good := s.pushSigned("docker.io/library/good:1", "good")
	s.commit("all", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n", "desired/web.txt": images})
	r := s.sync()["web"]
	for _, a := range r.Plan.Actions {
		name := strings.TrimSuffix(strings.TrimPrefix(a.Key.Entry, "docker.io/library/"), ":1")
		b, isBad := bad[name]
		if !isBad {
			continue
		}
		if a.Kind != mirror.Refuse || a.Reason.Code != b.code || !strings.Contains(a.Reason.Detail, b.says) {
			t.Errorf("%s: got %s %s %q, want refuse %s with %q", name, a.Kind, a.Reason.Code, a.Reason.Detail, b.code, b.says)
		}
		s.noTrace("mirror/docker.io/library/" + name)
		if s.holds("mirror/docker.io/library/"+name, a.Image.Digest) {
			t.Errorf("%s: the local registry holds its manifest", name)
		}
		delete(bad, name)
	}
	if len(bad) > 0 {
		t.Errorf("not in the plan: %v", slices.Collect(maps.Keys(bad)))
	}
	if got := s.tag("mirror/docker.io/library/good", "1"); got != good.Digest {
		t.Errorf("good names %s, want %s", got, good.Digest)
	}
	for path := range s.heldRepositories() {
		if !strings.HasPrefix(path, "mirror/docker.io/library/good/") {
			t.Errorf("a blob link of %s is in the local registry", path)
		}
	}
	s.whole()
}

// heldRepositories lists the repositories below which the local registry's disk has anything at all.
func (s *site) heldRepositories() map[string]bool {
	all := map[string]bool{}
	root := filepath.Join(s.dir, "local")
	filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if at, links, ok := strings.Cut(path, "/repositories/"); err == nil && ok && strings.HasPrefix(at, root) {
			if repository, _, ok := strings.Cut(links, "/_"); ok {
				all[repository+"/"] = true
			}
		}
		return nil
	})
	return all
}

// recordFile writes a record of one entry, as an attacker would.
func recordFile(entry, image, more string) string {
	return "version: 1\nentries:\n  " + entry + ": {image: " + image + ", since: \"2026-01-01T00:00:00Z\", basis: \"signed by vendor\"" + more + "}\n"
}

func stageFile(entry string, image mirror.Reference) string {
	return "version: 1\nentries:\n  " + entry + ": " + image.String() + "\n"
}

// eachWay runs a test under both layouts, on the daemon's state as it is and on none.
func eachWay(t *testing.T, test func(t *testing.T, layout string, wiped bool)) {
	for _, layout := range []string{"tag", "path"} {
		for _, wiped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s wiped=%t", layout, wiped), func(t *testing.T) { test(t, layout, wiped) })
		}
	}
}

// chain is a site with one followed tag, whose first image stands at all three stages.
func chain(t *testing.T, layout string) (s *site, first mirror.Reference) {
	t.Helper()
	s = newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\nlayout: " + layout + "\nrender: {" + map[string]string{"path": "containerd: {}"}[layout] + "}\n"})
	first = s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	s.promote("web", "snapshot", "staging")
	s.sync()
	s.promote("web", "staging", "production")
	s.sync()
	if got := s.stageTag(layout, "production"); got != first.Digest {
		t.Fatalf("production names %s, want %s", got, first.Digest)
	}
	return s, first
}

const webEntry = "docker.io/library/web:1"

// stageTag gives what the tag of the chain's one entry names at a stage.
func (s *site) stageTag(layout, stage string) mirror.Digest {
	if layout == "path" {
		return s.tag("mirror/"+stage+"/docker.io/library/web", "1")
	}
	return s.tag("mirror/docker.io/library/web", "web-docker.io.library.web.1-"+stage)
}

// A pull request that writes verdicts into rendered/ and an unsigned digest into a stage file gets nothing
// copied, tagged or rendered, and what it wrote into rendered/ is gone after the next cycle.
func TestFakedRecord_LetsNothingIn(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, layout string, wiped bool) {
		s, first := chain(t, layout)
		evil := s.push("docker.io/library/web:evil", "evil")
		evil.Tag = "1"
		before, rendered := s.end(), s.records()
		more := fmt.Sprintf(", vouch: %q, was: [%s]", s.git.Head(), first)
		s.commit("trust me", map[string]string{
			"rendered/demo/web/snapshot.yaml":          stageFile(webEntry, evil),
			"rendered/demo/record/web/snapshot.yaml":   recordFile(webEntry, evil.String(), more),
			"rendered/demo/record/web/staging.yaml":    recordFile(webEntry, evil.String(), more),
			"rendered/demo/record/web/production.yaml": recordFile(webEntry, first.String(), ", was: ["+evil.String()+"]"),
			"stages/web/staging.yaml":                  stageFile(webEntry, evil),
			"stages/web/production.yaml":               stageFile(webEntry, evil)})
		if wiped {
			s.wipe()
		}
		s.local.Proxy().Reset()
		s.upstream.Proxy().Reset()
		r := s.sync()["web"]
		refused := kinds(r.Plan, mirror.Refuse)
		if got := refused["production/"+webEntry]; got != mirror.NotBelow {
			t.Errorf("production: got reason %q, want %q\n%s", got, mirror.NotBelow, details(r.Plan))
		}
		// With its memory gone and its line overwritten, nothing says any more that the staging tag is ours.
		if got := refused["staging/"+webEntry]; got != mirror.NotBelow && !(wiped && got == mirror.ForeignTag) {
			t.Errorf("staging: got reason %q, want %q\n%s", got, mirror.NotBelow, details(r.Plan))
		}
		if n := s.local.Proxy().Counts().Writes(); n != 0 {
			t.Errorf("%d writes to the local registry: %v", n, s.local.Proxy().Counts().Paths)
		}
		if n := s.upstream.Proxy().Counts().Of(testenv.BlobGet); n != 0 && !wiped { // without its memory it reads signatures again
			t.Errorf("%d blobs were read upstream", n)
		}
		for _, repository := range []string{"mirror/docker.io/library/web", "mirror/snapshot/docker.io/library/web", "mirror/staging/docker.io/library/web", "mirror/production/docker.io/library/web"} {
			if s.holds(repository, evil.Digest) {
				t.Errorf("%s holds the unsigned image", repository)
			}
		}
		after := s.end()
		if wiped { // for the same reason staging has no line to render from; what is rendered is what was
			for name := range before {
				if _, there := after[name]; !there && strings.HasPrefix(name, "file rendered/demo/web/staging/") {
					delete(before, name)
				}
			}
		}
		if !maps.Equal(after, before) {
			t.Errorf("tags and overrides changed:\n got %v\nwant %v", after, before)
		}
		for name, body := range s.records() {
			if strings.Contains(claims(body, wiped), evil.Digest.String()) {
				t.Errorf("%s still holds the faked line:\n%s", name, body)
			}
			if !wiped && body != rendered[name] {
				t.Errorf("%s:\n got %s\nwant %s", name, body, rendered[name])
			}
		}
	})
}

// claims gives what a record file says. A daemon that lost its memory keeps what stood before as a claim that
// it does not believe: it cannot tell its own from another's.
func claims(body string, wiped bool) string {
	if wiped {
		return earlier.ReplaceAllString(body, "")
	}
	return body
}

var earlier = regexp.MustCompile(`, was: \[[^]]*\]`)

// records gives the files below rendered/ that say what stands.
func (s *site) records() map[string]string {
	s.t.Helper()
	all := must(s.git.Files("main"))(s.t)
	maps.DeleteFunc(all, func(name, _ string) bool { return !strings.HasPrefix(name, "rendered/demo/record/") })
	return all
}

// A digest that the vendor signed and that stands at snapshot does not reach production on a record that
// says it stood at staging, or in production before.
func TestFakedRecord_DoesNotSkipAStage(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, layout string, wiped bool) {
		for name, fake := range map[string]func(first, next mirror.Reference) map[string]string{
			"stands at staging": func(_, next mirror.Reference) map[string]string {
				return map[string]string{"staging": recordFile(webEntry, next.String(), "")}
			},
			"stood at staging": func(first, next mirror.Reference) map[string]string {
				return map[string]string{"staging": recordFile(webEntry, first.String(), ", was: ["+next.String()+"]")}
			},
			"stood in production": func(first, next mirror.Reference) map[string]string {
				return map[string]string{"production": recordFile(webEntry, first.String(), ", was: ["+next.String()+"]")}
			},
		} {
			t.Run(name, func(t *testing.T) {
				s, first := chain(t, layout)
				next := s.pushSigned("docker.io/library/web:1", "next")
				s.sync()
				if got := s.stageTag(layout, "snapshot"); got != next.Digest {
					t.Fatalf("snapshot names %s, want %s", got, next.Digest)
				}
				before := s.end()
				files := map[string]string{"stages/web/production.yaml": stageFile(webEntry, next)}
				for stage, body := range fake(first, next) {
					files["rendered/demo/record/web/"+stage+".yaml"] = body
				}
				s.commit("it stood there, honestly", files)
				if wiped {
					s.wipe()
				}
				r := s.sync()["web"]
				if got := kinds(r.Plan, mirror.Refuse)["production/"+webEntry]; got != mirror.NotBelow {
					t.Errorf("got reason %q, want %q\n%s", got, mirror.NotBelow, details(r.Plan))
				}
				if got := s.stageTag(layout, "production"); got != first.Digest {
					t.Errorf("production names %s, want %s", got, first.Digest)
				}
				if layout == "path" && s.holds("mirror/production/docker.io/library/web", next.Digest) {
					t.Error("production's repository holds it")
				}
				if after := s.end(); !maps.Equal(after, before) {
					t.Errorf("tags and overrides changed:\n got %v\nwant %v", after, before)
				}
				for _, stage := range []string{"staging", "production"} {
					if body := s.file("rendered/demo/record/web/" + stage + ".yaml"); strings.Contains(claims(body, wiped), next.Digest.String()) {
						t.Errorf("the faked line at %s is still there:\n%s", stage, body)
					}
				}
			})
		}
	})
}

const pinnedWeb = "version: 1\nsource: {kind: list, file: web.txt}\nlayout: "

// A digest that desired/ named when it came to the first stage can still be promoted after desired/ moved on,
// since the commit that named it is in our history; also by a daemon that lost its state.
func TestPinned_HistoryVouchesForAnOlderDigest(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, layout string, wiped bool) {
		s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy, "desired/web.yaml": pinnedWeb + layout + "\n"})
		first := s.push(webEntry, "first")
		named := s.commit("first", map[string]string{"desired/web.txt": list(first)})
		s.sync()
		line := s.file("rendered/demo/web/snapshot.yaml")
		next := s.push(webEntry, "next")
		s.commit("next", map[string]string{"desired/web.txt": list(next)})
		s.sync()
		s.commit("the first to staging", map[string]string{"stages/web/staging.yaml": line})
		if wiped {
			s.wipe()
		}
		s.local.Proxy().Reset()
		r := s.sync()["web"]
		if got := s.stageTag(layout, "staging"); got != first.Digest {
			t.Errorf("staging names %s, want %s\n%s", got, first.Digest, details(r.Plan))
		}
		if n := s.local.Proxy().Counts().BlobReceived; n != 0 {
			t.Errorf("%d blob bytes crossed", n)
		}
		if body := s.file("rendered/demo/record/web/staging.yaml"); !strings.Contains(body, named) {
			t.Errorf("the record does not say that %s vouches:\n%s", named, body)
		}
		s.whole()
	})
}

// A line that was edited to name a commit that is not in our history, or that never named the digest, is worth
// nothing; one that did counts, whoever wrote the line.
func TestPinned_OnlyHistoryThatNamesTheDigestVouches(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		vouch  func(s *site, image mirror.Reference) string
		admits bool
	}{
		{"in history", func(s *site, image mirror.Reference) string {
			commit := s.commit("pin", map[string]string{"desired/web.txt": list(image)})
			s.commit("back to the tag", map[string]string{"desired/web.txt": webEntry + "\n"})
			return commit
		}, true},
		{"in history, another digest", func(s *site, image mirror.Reference) string {
			image.Digest.Hex = strings.Repeat("0", 64)
			commit := s.commit("pin", map[string]string{"desired/web.txt": list(image)})
			s.commit("back to the tag", map[string]string{"desired/web.txt": webEntry + "\n"})
			return commit
		}, false},
		{"on another branch", func(s *site, image mirror.Reference) string {
			back := s.git.Head()
			commit := s.commit("pin", map[string]string{"desired/web.txt": list(image)})
			if err := s.git.Point("aside", commit); err != nil {
				s.t.Fatal(err)
			}
			if err := s.git.Point("main", back); err != nil {
				s.t.Fatal(err)
			}
			return commit
		}, false},
		{"nowhere", func(*site, mirror.Reference) string { return strings.Repeat("ab", 20) }, false},
		{"no commit id", func(*site, mirror.Reference) string { return "HEAD" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, map[string]string{"desired/web.yaml": pinnedWeb + "tag\n", "desired/web.txt": webEntry + "\n",
				"desired/policy.yaml": "version: 1\nsigners: {vendor: {key: keys/vendor.pub}}\nrules:\n" +
					"  - {match: \"**\", stages: [snapshot], require: {signers: [vendor], count: 1}}\n  - {match: \"**\", stages: [staging, production], require: {pinned: true}}\n"})
			image := s.pushSigned(webEntry, "web")
			s.sync()
			vouch := tt.vouch(s, image)
			s.wipe() // with its state the daemon would know its own line better
			s.commit("to staging", map[string]string{
				"rendered/demo/record/web/snapshot.yaml": recordFile(webEntry, image.String(), fmt.Sprintf(", vouch: %q", vouch)),
				"stages/web/staging.yaml":                stageFile(webEntry, image)})
			r := s.sync()["web"]
			want := mirror.Digest{}
			if tt.admits {
				want = image.Digest
			}
			if got := s.stageTag("tag", "staging"); got != want {
				t.Errorf("staging names %s, want %s\n%s", got, want, details(r.Plan))
			}
			if got := kinds(r.Plan, mirror.Refuse)["staging/"+webEntry]; !tt.admits && got != mirror.NotPinned {
				t.Errorf("got reason %q, want %q\n%s", got, mirror.NotPinned, details(r.Plan))
			}
		})
	}
}

// The state is a cache: deleted between any two cycles it costs requests, and changes nothing of what ends up
// in the registry and in Git.
func TestState_DeletedBetweenCyclesChangesNothing(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"tag", "path"} {
		t.Run(layout, func(t *testing.T) {
			var ends [2]map[string]string
			for i, wipe := range []bool{false, true} {
				s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy, "desired/web.yaml": pinnedWeb + layout + "\n",
					"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nlayout: " + layout + "\nrender: {element: {name: ess-images, namespace: ess}}\n"})
				var first, next []mirror.Reference
				for n := range 3 {
					first = append(first, s.push(fmt.Sprintf("docker.io/apps/app%d:1", n), fmt.Sprint("first", n)))
					next = append(next, s.push(fmt.Sprintf("docker.io/apps/app%d:2", n), fmt.Sprint("next", n)))
				}
				web, web2 := s.push(webEntry, "first"), s.push(webEntry, "next")
				step := func(what string) {
					if wipe {
						s.wipe()
					}
					s.local.Proxy().Reset()
					s.sync()
					if what != "" {
						if n := s.local.Proxy().Counts().BlobReceived; n != 0 {
							t.Errorf("%s, wiped %t: %d blob bytes crossed", what, wipe, n)
						}
					}
				}
				s.commit("first", map[string]string{"desired/ess/images_digests.yml": manyDigests(first), "desired/web.txt": list(web)})
				step("")
				for _, stages := range [][2]string{{"snapshot", "staging"}, {"staging", "production"}} {
					s.promote("ess", stages[0], stages[1])
					s.promote("web", stages[0], stages[1])
					step("promotion to " + stages[1])
				}
				s.commit("next", map[string]string{"desired/ess/images_digests.yml": manyDigests(next), "desired/web.txt": list(web2)})
				step("")
				s.promote("ess", "snapshot", "staging")
				s.promote("web", "snapshot", "staging")
				step("second promotion to staging")
				before, records := s.git.Head(), s.records()
				step("nothing changed")
				if head := s.git.Head(); head != before {
					t.Errorf("wiped %t: a commit was made although nothing changed:\n got %v\nwant %v", wipe, s.records(), records)
				}
				s.whole()
				ends[i] = s.end()
			}
			if !maps.Equal(ends[0], ends[1]) {
				t.Errorf("the end differs:\nwithout deletion %v\n   with deletion %v", ends[0], ends[1])
			}
		})
	}
}

// A plain revert of the merge that filled a stage brings its tags and its override back as they were.
func TestRevert_BringsTagsAndOverrideBack(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"tag", "path"} {
		t.Run(layout, func(t *testing.T) {
			s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy,
				"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nlayout: " + layout + "\nrender: {element: {name: ess-images, namespace: ess}}\n"})
			release := func(n int) {
				refs := make([]mirror.Reference, 3)
				for i := range refs { // the tag stays and its content moves: the hard case under both layouts
					refs[i] = s.push(fmt.Sprintf("docker.io/apps/app%d:1", i), fmt.Sprint("release", n, i))
				}
				s.commit(fmt.Sprint("release ", n), map[string]string{"desired/ess/images_digests.yml": manyDigests(refs)})
				s.sync()
				s.promote("ess", "snapshot", "staging")
				s.sync()
				s.promote("ess", "staging", "production")
				s.sync()
			}
			production := func() map[string]string {
				all := s.end()
				maps.DeleteFunc(all, func(name, _ string) bool { return !strings.Contains(name, "production") })
				return all
			}
			release(1)
			before, file := production(), s.file("stages/ess/production.yaml")
			release(2)
			if maps.Equal(production(), before) {
				t.Fatal("release 2 did not reach production")
			}
			// A rollback is for bad days: it needs no upstream.
			s.upstream.Proxy().Break(testenv.Always(everything, testenv.Fault{Status: http.StatusInternalServerError}))
			s.commit("Revert \"promote ess to production\"", map[string]string{"stages/ess/production.yaml": file})
			s.local.Proxy().Reset()
			r := s.sync()["ess"]
			if after := production(); !maps.Equal(after, before) {
				t.Errorf("production after the revert:\n got %v\nwant %v\n%s", after, before, details(r.Plan))
			}
			if n := s.local.Proxy().Counts().BlobReceived; n != 0 {
				t.Errorf("%d blob bytes crossed", n)
			}
			s.whole()
		})
	}
}
