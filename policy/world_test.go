package policy_test

import (
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/internal/registry/embedded"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

const commit = "1111111111111111111111111111111111111111"

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// world is one registry that stands for docker.io, with one image in it.
type world struct {
	t      testing.TB
	server *testenv.Server
	url    string
	client *registry.Client
	ref    string           // where the image lies, for signers
	image  mirror.Reference // what it is called

	fallback bool // referrers lie under the fallback tag
}

// eachRegistry runs a test against distribution, which has no referrers API and uses the fallback tag, and
// against the registry of go-containerregistry, which has one.
func eachRegistry(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("distribution", func(t *testing.T) {
		r, err := embedded.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		w := newWorld(t, r)
		w.fallback = true
		test(t, w)
	})
	t.Run("referrers API", func(t *testing.T) {
		test(t, newAPIWorld(t))
	})
}

// newAPIWorld is a world whose registry has the referrers API.
func newAPIWorld(t testing.TB) *world {
	t.Helper()
	return newWorld(t, ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0))))
}

func newWorld(t testing.TB, handler http.Handler) *world {
	t.Helper()
	server, err := testenv.NewServer(handler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	w := &world{t: t, server: server, url: server.URL(), ref: server.Host() + "/library/app"}
	w.client = w.clientFor("docker.io")
	w.image = w.push("library/app", "app")
	return w
}

// clientFor gives a client to which the world's registry is called host.
func (w *world) clientFor(host string) *registry.Client {
	transport := &http.Transport{}
	w.t.Cleanup(transport.CloseIdleConnections)
	return registry.New(&http.Client{Transport: transport}, map[string]registry.Endpoint{host: {URL: w.url}})
}

// push writes an image to a repository of docker.io and gives its reference.
func (w *world) push(repository, seed string) mirror.Reference {
	w.t.Helper()
	d, err := testenv.Push(w.t.Context(), w.server.Host(), repository, "1.0", testenv.Image(seed))
	if err != nil {
		w.t.Fatal(err)
	}
	return mirror.Reference{Host: "docker.io", Repository: repository, Tag: "1.0", Digest: d}
}

// becomesAnIndex puts an index of several platforms in place of the world's image.
func (w *world) becomesAnIndex() {
	w.t.Helper()
	d, err := testenv.Push(w.t.Context(), w.server.Host(), "library/app", "2.0", testenv.Index("multi"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.image.Tag, w.image.Digest = "2.0", d
}

// legacy and bundle sign the world's image, under its own name unless a twist says otherwise.
func (w *world) legacy(s *testenv.Signer, twists ...testenv.Twist) {
	w.t.Helper()
	twists = append([]testenv.Twist{testenv.Claiming("index.docker.io/library/app")}, twists...)
	if err := s.SignLegacy(w.t.Context(), w.ref, w.image.Digest, twists...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) bundle(s *testenv.Signer, twists ...testenv.Twist) {
	w.t.Helper()
	if err := s.SignBundle(w.t.Context(), w.ref, w.image.Digest, twists...); err != nil {
		w.t.Fatal(err)
	}
}

func action(image mirror.Reference) mirror.Action {
	return mirror.Action{Kind: mirror.Copy, Key: mirror.Key{Set: "web", Entry: "app"}, Stage: "snapshot", Image: image, From: image, New: image.Digest}
}

// verify judges the world's image without any memory.
func (w *world) verify(p policy.Policy) mirror.Verdict {
	w.t.Helper()
	v, err := p.Verifier(policy.Options{At: now}).Verify(w.t.Context(), action(w.image), w.client)
	if err != nil {
		w.t.Fatalf("verify: %v", err)
	}
	return v
}

func newSigner(t testing.TB, kind string) *testenv.Signer {
	t.Helper()
	s, err := testenv.NewSigner(kind)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// load reads a policy whose signers are the given keys; rules is the text below them.
func load(t testing.TB, keys map[string]*testenv.Signer, rules string) policy.Policy {
	t.Helper()
	p, problems := policy.Load(policyFiles(keys, rules), commit)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

func policyFiles(keys map[string]*testenv.Signer, rules string) mirror.Files {
	files := mirror.Files{}
	text := "version: 1\n"
	if len(keys) > 0 {
		text += "signers:\n"
	}
	for name, s := range keys {
		text += "  " + name + ": {key: keys/" + name + ".pub}\n"
		files["desired/keys/"+name+".pub"] = []byte(s.PublicPEM())
	}
	files[mirror.PolicyFile] = []byte(text + rules)
	return files
}

const oneOfRelease = "rules:\n  - match: docker.io/**\n    require: {signers: [release]}\n"

// trusting is the policy that wants one signature by s.
func trusting(t testing.TB, s *testenv.Signer) policy.Policy {
	t.Helper()
	return load(t, map[string]*testenv.Signer{"release": s}, oneOfRelease)
}

func wantOutcome(t *testing.T, v mirror.Verdict, outcome mirror.Outcome, code mirror.ReasonCode) {
	t.Helper()
	if v.Outcome != outcome || v.Reason.Code != code {
		t.Errorf("got %s, %s (%s); want %s, %s", v.Outcome, v.Reason.Code, v.Reason, outcome, code)
	}
}

func wantDetail(t *testing.T, v mirror.Verdict, part string) {
	t.Helper()
	if !strings.Contains(v.Reason.Detail, part) {
		t.Errorf("reason %q does not say %q", v.Reason.Detail, part)
	}
}
