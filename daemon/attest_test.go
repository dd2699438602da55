package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"go.etcd.io/bbolt"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/policy/attest"
	"github.com/poundlock/poundlock/policy/trust"
	"github.com/poundlock/poundlock/testenv"
)

// attesting is a site with a key of its own, and the registry that it fills.
type attesting struct {
	*site
	key   *attest.Key    // of statements
	signs *attest.Key    // of signatures
	proxy *testenv.Proxy // of the local registry
	plain string         // the configuration without a key
}

const webList = "version: 1\nsource: {kind: list, file: web.txt}\n"

// eachLocal runs a test on a site with a key of its own, once with distribution as local registry, which has no
// referrers API, and once with one that has.
func eachLocal(t *testing.T, policy string, test func(t *testing.T, s *attesting)) {
	for _, api := range []bool{false, true} {
		t.Run(fmt.Sprintf("referrers API %v", api), func(t *testing.T) {
			s := &attesting{site: newSite(t, map[string]string{"desired/policy.yaml": policy, "desired/web.yaml": webList, "desired/web.txt": "docker.io/none/none:1\n"})}
			s.proxy = s.local.Proxy()
			if api {
				s.proxy = testenv.NewProxy(ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0))))
				server := must(testenv.NewServer(s.proxy))(t)
				t.Cleanup(server.Close)
				s.config = strings.ReplaceAll(s.config, s.local.URL(), server.URL())
			}
			s.plain, s.key, s.signs = s.config, s.newKey("site.key"), s.newKey("release.key")
			s.sign("site.key", "production")
			test(t, s)
		})
	}
}

// newKey makes a private key in the site's folder.
func (s *attesting) newKey(file string) *attest.Key {
	s.t.Helper()
	der := must(x509.MarshalPKCS8PrivateKey(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(s.t)))(s.t)
	body := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(filepath.Join(s.dir, file), body, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return must(attest.LoadKey(body, nil))(s.t)
}

// sign configures a key of statements, and the stages at which what is promoted is signed with the other one.
func (s *attesting) sign(file string, stages ...string) {
	s.config = s.plain + fmt.Sprintf("trust:\n  site: {key: {file: %q}%s}\n", filepath.Join(s.dir, file), s.signing(stages))
}

// signing gives what configures signatures.
func (s *attesting) signing(stages []string) string {
	if len(stages) == 0 {
		return ""
	}
	return fmt.Sprintf(", sign: {key: {file: %q}, stages: [%s]}", filepath.Join(s.dir, "release.key"), strings.Join(stages, ", "))
}

// stand brings images to the first stage.
func (s *attesting) stand(images ...mirror.Reference) {
	s.t.Helper()
	s.commit("images", map[string]string{"desired/web.txt": list(images...)})
	if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != len(images) {
		s.t.Fatalf("%d of %d stand: %v", r.Plan.Count(mirror.Unchanged), len(images), details(r.Plan))
	}
}

// rise promotes everything to production.
func (s *attesting) rise() map[string]Report {
	s.t.Helper()
	s.promote("web", "snapshot", "staging")
	s.sync()
	s.promote("web", "staging", "production")
	return s.sync()
}

func (s *attesting) at(image mirror.Reference) mirror.Reference {
	return mirror.Reference{Host: localName, Repository: "mirror/" + image.Name(), Digest: image.Digest}
}

// marks lists what this site's keys are said to have signed of an image, by kind, each really verified, and by the key
// that is there for it.
func (s *attesting) marks(image mirror.Reference) map[string]int {
	s.t.Helper()
	marks := map[string]int{}
	list := must(s.line.registry.Referrers(s.t.Context(), s.at(image), image.Digest))(s.t)
	for _, key := range []*attest.Key{s.key, s.signs} {
		for _, f := range key.Marked(list) {
			if ours := must(key.Ours(s.t.Context(), s.line.registry, s.at(image), image.Digest, f))(s.t); !ours {
				s.t.Errorf("%s of %s is not ours", f.Mark, image)
			}
			if (f.Mark == attest.SignatureMark) != (key == s.signs) {
				s.t.Errorf("%s of %s is by the other key", f.Mark, image)
			}
			marks[f.Mark.Kind()]++
		}
	}
	return marks
}

// legacy counts the signatures under the legacy tag that a key made.
func (s *attesting) legacy(image mirror.Reference, public []byte) (n int) {
	s.t.Helper()
	signer := must(trust.NewKey("any", public, trust.KeyOptions{}))(s.t)
	at := s.at(image)
	m, err := s.line.registry.Tagged(s.t.Context(), at.AtDigest(mirror.Digest{}).WithTag(strings.Replace(image.Digest.String(), ":", "-", 1)+".sig"))
	if errors.Is(err, mirror.ErrNotFound) {
		return 0
	}
	parts := must(m.Parts())(s.t)
	for _, layer := range parts.Layers {
		r := must(s.line.registry.Blob(s.t.Context(), at, layer.Digest, 0))(s.t)
		body := must(io.ReadAll(r))(s.t)
		r.Close()
		c, err := trust.Prepare(trust.Item{Form: trust.Payload, Body: body, Signature: layer.Annotations["dev.cosignproject.cosign/signature"]})
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := c.Prove(s.t.Context(), signer, image.Digest, s.now); err == nil {
			n++
		}
	}
	return n
}

// endpoint is where the local registry is really asked.
func (s *attesting) endpoint() string { return s.line.config.Registries[config.LocalRegistry].URL() }

// requests gives the requests to the local registry that match.
func (s *attesting) requests(match func(path string) bool) (paths []string) {
	for _, path := range s.proxy.Counts().Paths {
		if match(path) {
			paths = append(paths, path)
		}
	}
	return paths
}

func (s *attesting) writes() []string {
	return s.requests(func(path string) bool {
		return !strings.HasPrefix(path, http.MethodGet) && !strings.HasPrefix(path, http.MethodHead)
	})
}

func TestAttest_WhatStandsCarriesOurStatementsAndThenCostsNothing(t *testing.T) {
	t.Parallel()
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		one, two := s.pushSigned("docker.io/library/one:1", "one"), s.pushSigned("docker.io/library/two:1", "two")
		s.stand(one, two)
		if got := s.marks(one); got["verdict"] != 1 || len(got) != 1 {
			t.Errorf("at the first stage: got %v, want one verdict", got)
		}
		s.rise()
		for _, image := range []mirror.Reference{one, two} {
			if got := s.marks(image); got["verdict"] != 1 || got["promotion"] != 2 || got["signature"] != 1 {
				t.Errorf("%s: got %v, want one verdict, two promotions and a signature", image, got)
			}
			if ours, vendors := s.legacy(image, s.signs.PublicPEM()), s.legacy(image, []byte(s.vendor.PublicPEM())); ours != 1 || vendors != 1 {
				t.Errorf("%s: under the legacy tag %d signatures of ours and %d of the vendor, want one of each", image, ours, vendors)
			}
			if v := s.judgeLocally(image); v.Outcome != mirror.OutcomeSigned {
				t.Errorf("%s is judged %s beside our statements: %s", image, v.Outcome, v.Reason)
			}
		}
		for _, w := range []Wake{{Why: "poll"}, {Why: "schedule", Resolve: true}} {
			s.proxy.Reset()
			s.line.cycle(t.Context(), w)
			if n := s.proxy.Counts().Total(); n != 0 {
				t.Errorf("%s with nothing to do: %d local requests: %v", w.Why, n, s.proxy.Counts().Paths)
			}
		}
		// An audit compares tags, among them those of the signatures at production, and asks for no other statement.
		s.proxy.Reset()
		s.sync()
		if paths := s.requests(func(path string) bool {
			return strings.Contains(path, "sha256-") || strings.Contains(path, "referrers")
		}); len(paths) != 2 || !strings.HasPrefix(paths[0], http.MethodHead) || !strings.HasSuffix(paths[0], ".sig") || len(s.writes()) > 0 {
			t.Errorf("an audit asks for statements: %v, and writes %v", paths, s.writes())
		}
	})
}

func TestAttest_AnotherMachineJudgesByWhatThisOneAttested(t *testing.T) {
	t.Parallel()
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		image := s.pushSigned("docker.io/library/app:1", "app")
		s.stand(image)
		s.rise()
		s.now = s.now.Add(time.Hour)
		signature := "/manifests/" + strings.Replace(image.Digest.String(), ":", "-", 1) + ".sig"
		look := func(what string, judges bool) {
			t.Helper()
			s.wipe()
			s.proxy.Reset()
			s.upstream.Proxy().Reset()
			r := s.sync()["web"]
			read := s.requests(func(path string) bool {
				return strings.HasPrefix(path, http.MethodGet) && strings.Contains(path, signature)
			})
			upstream := s.upstream.Proxy().Counts().Total()
			if stand := r.Plan.Count(mirror.Unchanged); stand != 3 || judges != (len(read) > 0) || upstream != 0 {
				t.Errorf("%s: %d of 3 stand, %d upstream requests, signatures read: %v: %v", what, stand, upstream, read, details(r.Plan))
			}
		}
		look("the same key", false)
		for _, v := range must(s.line.state.verdicts())(t) {
			if !v.Attested || !v.At.Before(s.now) {
				t.Errorf("a verdict was reached anew: %+v", v)
			}
			for _, p := range v.Proofs { // or a key that is retired now would prove nothing of its time
				if seen := s.line.state.Seen(p.Sight, s.now); p.Source != policy.FirstSeen || !seen.Before(s.now) || !seen.Equal(p.Time.Truncate(time.Second)) {
					t.Errorf("the signature was first seen at %s, its proof says %+v", seen, p)
				}
			}
		}
		if writes := s.writes(); len(writes) != 0 {
			t.Errorf("a machine that finds all attested writes %v", writes)
		}
		// By another key nothing is attested, although the statements lie there.
		s.newKey("other.key")
		s.sign("other.key")
		look("another key", true)
		// Without a key of its own a site reads no statement.
		s.config = s.plain
		look("no key", true)
		// Other rules are another question.
		s.sign("site.key", "production")
		s.policy(strings.Replace(vendorPolicy, `match: "**"`, `match: "docker.io/**"`, 1))
		look("another policy", true)
	})
}

func TestAttest_WithoutAKeyNothingIsReadOrWritten(t *testing.T) {
	t.Parallel()
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		s.config = s.plain
		image := s.pushSigned("docker.io/library/app:1", "app")
		s.stand(image)
		s.proxy.Reset()
		s.rise()
		if list := must(s.line.registry.Referrers(t.Context(), s.at(image), image.Digest))(t); len(list) != 0 {
			t.Errorf("%d referrers were written", len(list))
		}
		for _, path := range s.writes() {
			if !strings.Contains(path, "/manifests/web-") {
				t.Errorf("besides its tags a promotion writes %s", path)
			}
		}
		if s.legacy(image, s.signs.PublicPEM()) != 0 {
			t.Error("it was signed")
		}
	})
}

// A key that is configured later, or a registry that failed for a while, is made up for; nothing waits for it.
func TestAttest_IsMadeUpForAndHoldsUpNothing(t *testing.T) {
	t.Parallel()
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		s.config = s.plain
		image := s.pushSigned("docker.io/library/app:1", "app")
		s.stand(image)
		s.rise()
		s.close()
		s.sign("site.key", "production")
		next := s.pushSigned("docker.io/library/next:1", "next")
		s.commit("next", map[string]string{"desired/web.txt": list(image, next)})
		s.open()
		statements := func(r *http.Request) bool {
			return testenv.KindOf(r) == testenv.ReferrerList || strings.Contains(r.URL.Path, "/manifests/sha256-")
		}
		s.proxy.Break(testenv.Always(func(r *http.Request) bool {
			return statements(r) && !strings.HasSuffix(r.URL.Path, ".sig") && strings.Contains(r.URL.Path, "/app/")
		}, testenv.Fault{Status: http.StatusServiceUnavailable}))
		if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != 4 || r.Plan.Count(mirror.Failed) != 0 {
			t.Errorf("a registry that takes no statements holds up the line: %v", details(r.Plan))
		}
		if got := s.marks(next); got["verdict"] != 1 {
			t.Errorf("the statements of others are held up: %v", got)
		}
		s.proxy.Break(nil)
		s.poll()
		if s.line.progress("web").nextRetry().IsZero() {
			t.Fatal("nothing is to be tried again")
		}
		s.now = s.now.Add(lastRetry)
		s.poll()
		if got := s.marks(image); got["verdict"] != 1 || got["promotion"] != 2 || got["signature"] != 1 || s.legacy(image, s.signs.PublicPEM()) != 1 {
			t.Errorf("not made up for: %v and %d legacy signatures", got, s.legacy(image, s.signs.PublicPEM()))
		}
		if next := s.line.progress("web").nextRetry(); !next.IsZero() {
			t.Errorf("something is still to be done, at %s", next)
		}
	})
}

// A stage whose clusters trust this site's key never names what it has not signed.
func TestAttest_AStageTagMovesOnlyAfterItsSignature(t *testing.T) {
	t.Parallel()
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		one, two := s.pushSigned("docker.io/library/one:1", "one"), s.pushSigned("docker.io/library/two:1", "two")
		s.stand(one, two)
		s.promote("web", "snapshot", "staging")
		s.sync()
		s.promote("web", "staging", "production")
		s.proxy.Break(testenv.Always(func(r *http.Request) bool {
			return testenv.KindOf(r) == testenv.ManifestPut && strings.HasSuffix(r.URL.Path, ".sig") && strings.Contains(r.URL.Path, "/one/")
		}, testenv.Fault{Status: http.StatusForbidden}))
		r := s.sync()["web"]
		if failed := kinds(r.Plan, mirror.Failed); len(failed) != 1 || failed["production/"+entryOf(r.Plan, one)] != mirror.LocalFailed {
			t.Errorf("got %v, want the one that could not be signed", details(r.Plan))
		}
		tags := func(image mirror.Reference) bool {
			_, err := s.line.registry.Resolve(t.Context(), s.line.local.Pointer(s.line.fleet.Load().desired.Sets[0], "production", entryOf(r.Plan, image), image))
			return err == nil
		}
		if tags(one) || !tags(two) {
			t.Errorf("production names the unsigned one: %v, the signed one: %v", tags(one), tags(two))
		}
		s.proxy.Break(nil)
		s.now = s.now.Add(lastRetry)
		if r := s.poll()["web"]; !tags(one) || r.Plan.Count(mirror.Unchanged) != 6 || s.legacy(one, s.signs.PublicPEM()) != 1 {
			t.Errorf("it is not tried again: %v", details(r.Plan))
		}
	})
}

func TestAttest_AnAtomicStageIsHeldByOneThatCouldNotBeSigned(t *testing.T) {
	t.Parallel()
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		web, synapse := s.pushSigned("docker.io/vectorim/element-web:v1", "web"), s.pushSigned("docker.io/matrixdotorg/synapse:v1", "synapse")
		s.commit("an atomic set", map[string]string{"desired/web.yaml": "", "desired/web.txt": "", "desired/ess/images_digests.yml": imagesDigests(web, synapse),
			"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nrender: {element: {name: ess-images, namespace: ess}}\n"})
		s.sync()
		s.promote("ess", "snapshot", "staging")
		s.sync()
		s.promote("ess", "staging", "production")
		s.proxy.Break(testenv.Always(func(r *http.Request) bool {
			return testenv.KindOf(r) == testenv.ManifestPut && strings.HasSuffix(r.URL.Path, ".sig") && strings.Contains(r.URL.Path, "/synapse/")
		}, testenv.Fault{Status: http.StatusForbidden}))
		r := s.sync()["ess"]
		failed, held := kinds(r.Plan, mirror.Failed), kinds(r.Plan, mirror.Refuse)
		if len(failed) != 1 || failed["production/"+entryOf(r.Plan, synapse)] != mirror.LocalFailed || held["production/"+entryOf(r.Plan, web)] != mirror.Held {
			t.Errorf("got %v", details(r.Plan))
		}
		if r.Moved != nil {
			t.Errorf("tags of the group moved: %v", r.Moved)
		}
	})
}

// However often the policy changes, a digest collects no more than a few statements.
func TestAttest_OlderStatementsGo(t *testing.T) {
	t.Parallel()
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		image := s.pushSigned("docker.io/library/app:1", "app")
		s.stand(image)
		for i := range 2 * mostOfKind {
			s.now = s.now.Add(time.Minute)
			s.policy(strings.Replace(vendorPolicy, `match: "**"`, fmt.Sprintf(`match: "{docker.io,x%d.example}/**"`, i), 1))
			s.poll()
			if got := s.marks(image)["verdict"]; got != min(i+2, keptOfKind) {
				t.Fatalf("after %d changes: %d verdicts lie beside it", i+1, got)
			}
		}
		s.proxy.Reset()
		s.wipe()
		s.sync()
		if s.proxy.Counts().Of(testenv.ManifestPut) != 0 {
			t.Errorf("the newest verdict is not among those that stayed: %v", s.writes())
		}
	})
}

// Where nothing can be deleted, it ends all the same.
func TestAttest_ARegistryThatDeletesNothingIsNotFilled(t *testing.T) {
	t.Parallel()
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		s.proxy.Break(testenv.Always(testenv.OfKind(testenv.ManifestDelete), testenv.Fault{Status: http.StatusMethodNotAllowed}))
		image := s.pushSigned("docker.io/library/app:1", "app")
		s.stand(image)
		for i := range 2 * mostOfKind {
			s.now = s.now.Add(time.Minute)
			s.policy(strings.Replace(vendorPolicy, `match: "**"`, fmt.Sprintf(`match: "{docker.io,x%d.example}/**"`, i), 1))
			s.poll()
		}
		if got := s.marks(image)["verdict"]; got > mostOfKind {
			t.Errorf("%d verdicts lie beside it", got)
		}
		s.proxy.Reset()
		s.poll()
		if n := s.proxy.Counts().Total(); n != 0 || !s.line.progress("web").nextRetry().IsZero() {
			t.Errorf("it is tried for ever: %d requests", n)
		}
	})
}

// Content that was lost and copied anew has lost what hung on it.
func TestAttest_ACopyThatArrivesAgainIsSignedAgain(t *testing.T) {
	t.Parallel()
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		image := s.pushSigned("docker.io/library/app:1", "app")
		s.stand(image)
		s.rise()
		before := s.marks(image)
		key := s.signs.Identity()
		if !s.line.state.Attached(s.at(image), key, attest.SignatureMark) {
			t.Fatal("the state does not know what is attached")
		}
		a := mirror.Action{To: s.at(image), New: image.Digest}
		s.line.copiedAnew(mirror.Done{Action: a, Err: errors.New("broken off")})
		if !s.line.state.Attached(s.at(image), key, attest.SignatureMark) {
			t.Error("a copy that failed makes it forgotten")
		}
		s.line.copiedAnew(mirror.Done{Action: a})
		if s.line.state.Attached(s.at(image), key, attest.SignatureMark) {
			t.Error("a copy that arrived leaves it believed")
		}
		// What is there after all is found, and nothing is written twice.
		s.proxy.Reset()
		s.sync()
		if after := s.marks(image); fmt.Sprint(after) != fmt.Sprint(before) || s.legacy(image, s.signs.PublicPEM()) != 1 || s.proxy.Counts().Of(testenv.ManifestPut) != 0 {
			t.Errorf("got %v, want %v; writes %v", after, before, s.writes())
		}
	})
}

func TestSiteKey_AWrongOneIsToldAtTheStartAndNotShown(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy, "desired/web.yaml": webList, "desired/web.txt": "docker.io/none/none:1\n"})
	pair := must(cosign.GenerateKeyPair(func(bool) ([]byte, error) { return []byte("canary-right"), nil }))(t)
	plain := s.config
	for name, c := range map[string]struct{ key, password, place string }{
		"wrong password":  {string(pair.PrivateBytes), "canary-wrong", "trust.site.password"},
		"no password":     {string(pair.PrivateBytes), "", "trust.site.key"},
		"a public key":    {string(pair.PublicBytes), "", "trust.site.key"},
		"no key at all":   {"canary-text", "", "trust.site.key"},
		"right, and open": {string(pair.PrivateBytes), "canary-right", ""},
	} {
		key, password := filepath.Join(s.dir, "k"), filepath.Join(s.dir, "p")
		if err := errors.Join(os.WriteFile(key, []byte(c.key), 0o600), os.WriteFile(password, []byte(c.password), 0o600)); err != nil {
			t.Fatal(err)
		}
		s.config = plain + fmt.Sprintf("trust:\n  site:\n    key: {file: %q}\n", key)
		if c.password != "" {
			s.config += fmt.Sprintf("    password: {file: %q}\n", password)
		}
		file := filepath.Join(s.dir, "config.yaml")
		if err := os.WriteFile(file, []byte(s.config), 0o600); err != nil {
			t.Fatal(err)
		}
		var logged strings.Builder
		l, err := Open(t.Context(), must(config.Load(file, nil, nil))(t), Options{Log: slog.New(slog.NewTextHandler(&logged, nil)), Now: s.clock})
		if c.place == "" {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := l.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var ps mirror.Problems
		if !errors.As(err, &ps) || ps[0].Code != "CFG064" || !strings.Contains(ps[0].Where.File, "config.yaml") || ps[0].Where.Line == 0 || ps[0].Fix == "" {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if strings.Contains(err.Error()+logged.String(), "canary-") {
			t.Errorf("%s: a secret is shown: %v", name, err)
		}
	}
}

// verdicts gives all that the state remembers.
func (s *State) verdicts() (all []mirror.Verdict, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketVerdicts).ForEach(func(_, text []byte) error {
			var v mirror.Verdict
			err := json.Unmarshal(text, &v)
			all = append(all, v)
			return err
		})
	})
	return all, err
}

// entryOf gives the entry of a plan that an image belongs to.
func entryOf(p mirror.Plan, image mirror.Reference) string {
	i := slices.IndexFunc(p.Actions, func(a mirror.Action) bool { return a.Image == image })
	return p.Actions[max(0, i)].Key.Entry
}
