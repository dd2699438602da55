package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// sitePolicy admits packages that the site signed.
const sitePolicy = "version: 1\nsigners: {site: {pgp: keys/site.asc}}\nrules: [{match: \"**\", require: {signers: [site]}}]\n"

// acmePackage is a package of the site's own, as it lies in the fleet repository.
func acmePackage(version string) map[string]string {
	return map[string]string{
		"desired/packages/acme/manifest.yml":   "format_version: 3.0.0\nname: acme\ntitle: Acme\ndescription: Logs.\ntype: integration\nversion: " + version + "\n",
		"desired/packages/acme/docs/README.md": "# Acme\n",
	}
}

// newOwnSite starts a site with one package of its own, and the key of the site for it.
func newOwnSite(t *testing.T) (*site, *testenv.PGPKey) {
	t.Helper()
	key := must(testenv.NewPGPKey("Site", testenv.PGPOptions{}))(t)
	files := acmePackage("1.0.0")
	files["desired/policy.yaml"], files["desired/keys/site.asc"] = sitePolicy, key.Public()
	files["desired/own.yaml"] = "version: 1\nsource: {kind: epr, own: [{path: packages/acme}]}\n"
	s := newSite(t, files)
	if err := os.WriteFile(filepath.Join(s.dir, "site.key"), []byte(key.Private()), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, key
}

func (s *site) signsPackages() {
	s.config += "packages: {signing: {key: {file: " + filepath.Join(s.dir, "site.key") + "}}}\n"
}

// ownPackage reads zip and signature of a package as they lie in the local registry.
func (s *site) ownPackage(version string) (zip, signature []byte, digest mirror.Digest) {
	s.t.Helper()
	at := mirror.Reference{Host: localName, Repository: "mirror/packages.invalid/acme", Tag: "own-acme-" + version + "-snapshot"}
	m := must(s.line.registry.Tagged(s.t.Context(), at))(s.t)
	_, layers, err := elastic.Read(s.t.Context(), s.line.registry, at.WithDigest(m.Descriptor.Digest))
	if err != nil {
		s.t.Fatal(err)
	}
	blob := func(d mirror.Descriptor) []byte {
		r := must(s.line.registry.Blob(s.t.Context(), at, d.Digest, 0))(s.t)
		defer r.Close()
		return must(io.ReadAll(r))(s.t)
	}
	if layers.Signature.Size > 0 {
		signature = blob(layers.Signature)
	}
	return blob(layers.Zip), signature, m.Descriptor.Digest
}

// A package in a folder of the fleet repository is built, signed by the site, judged by that signature, and stored; nothing
// of it changes when the state is lost.
func TestOwnPackages_AreBuiltSignedAndStored(t *testing.T) {
	t.Parallel()
	s, key := newOwnSite(t)
	s.signsPackages()
	report := s.sync()["own"]
	if refused := kinds(report.Plan, mirror.Refuse); len(refused) > 0 {
		t.Fatalf("refused: %+v", report.Plan.Actions)
	}
	zip, signature, digest := s.ownPackage("1.0.0")
	ring := must(openpgp.ReadArmoredKeyRing(strings.NewReader(key.Public())))(t)
	if _, err := openpgp.CheckArmoredDetachedSignature(ring, bytes.NewReader(zip), bytes.NewReader(signature), nil); err != nil {
		t.Errorf("the signature: %v", err)
	}
	s.whole()
	head := s.git.Head()
	s.reset()
	s.sync()
	if _, _, again := s.ownPackage("1.0.0"); again != digest || s.git.Head() != head {
		t.Errorf("after the state was lost: %s, want %s", again, digest)
	}
	s.commit("the next version", acmePackage("1.1.0"))
	s.sync()
	if next, _, _ := s.ownPackage("1.1.0"); bytes.Equal(next, zip) {
		t.Error("the next version has the bytes of the first")
	}
	for _, path := range s.upstream.Proxy().Counts().Paths {
		if strings.Contains(path, "acme") {
			t.Errorf("an upstream was asked: %s", path)
		}
	}
}

// A signature that somebody committed beside the package is taken as it is.
func TestOwnPackages_ACommittedSignatureStays(t *testing.T) {
	t.Parallel()
	s, key := newOwnSite(t)
	files := mirror.Files{}
	for name, text := range acmePackage("1.0.0") {
		files[name] = []byte(text)
	}
	zip, _, ps := elastic.Build(files, "desired/packages/acme")
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	want := must(key.Sign(zip, "acme-1.0.0"))(t)
	s.commit("signed by hand", map[string]string{"desired/packages/acme.sig": string(want)})
	other := must(testenv.NewPGPKey("Other", testenv.PGPOptions{}))(t)
	if err := os.WriteFile(filepath.Join(s.dir, "site.key"), []byte(other.Private()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.signsPackages()
	s.sync()
	if _, signature, _ := s.ownPackage("1.0.0"); !bytes.Equal(signature, want) {
		t.Errorf("the signature is\n%s", signature)
	}
}

// Without a key and without a signature policy refuses what wants one, and takes what is pinned where it says so.
func TestOwnPackages_WithoutASignatureAreAMatterOfPolicy(t *testing.T) {
	t.Parallel()
	s, _ := newOwnSite(t)
	report := s.sync()["own"]
	if refused := kinds(report.Plan, mirror.Refuse); len(refused) != 1 {
		t.Fatalf("refused: %v", refused)
	}
	s.commit("own packages are pinned", map[string]string{"desired/policy.yaml": "version: 1\nrules: [{match: \"packages.invalid/**\", require: {pinned: true}}]\n"})
	report = s.sync()["own"]
	if refused := kinds(report.Plan, mirror.Refuse); len(refused) > 0 {
		t.Fatalf("refused: %+v", report.Plan.Actions)
	}
	if _, signature, _ := s.ownPackage("1.0.0"); signature != nil {
		t.Errorf("a signature: %s", signature)
	}
}

// A key that cannot sign is told at the start, without what it holds.
func TestOwnPackages_AKeyThatCannotSignIsToldAtTheStart(t *testing.T) {
	t.Parallel()
	s, key := newOwnSite(t)
	if err := os.WriteFile(filepath.Join(s.dir, "site.key"), []byte(key.Public()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.signsPackages()
	file := filepath.Join(s.dir, "config.yaml")
	if err := os.WriteFile(file, []byte(s.config), 0o600); err != nil {
		t.Fatal(err)
	}
	line, err := Open(t.Context(), must(config.Load(file, nil, nil))(t), Options{Log: slog.New(slog.DiscardHandler), Now: s.clock})
	if err == nil {
		t.Fatal(errors.Join(errors.New("it opens"), line.Close(context.Background())))
	}
	var ps mirror.Problems
	if !errors.As(err, &ps) || len(ps) != 1 || ps[0].Code != "CFG131" || ps[0].Where.Line == 0 || ps[0].Fix == "" {
		t.Errorf("have %v", err)
	}
}

// Where the key went away the fleet is not taken: unsigned, its packages would have other digests.
func TestOwnPackages_WithoutTheKeyNothingChanges(t *testing.T) {
	t.Parallel()
	s, _ := newOwnSite(t)
	s.signsPackages()
	s.open()
	if err := os.Remove(filepath.Join(s.dir, "site.key")); err != nil {
		t.Fatal(err)
	}
	_, err := s.trySync()
	var ps mirror.Problems
	if !errors.As(err, &ps) || len(ps) != 1 || ps[0].Code != "PKG014" || ps[0].Where.File != "desired/own.yaml" {
		t.Errorf("have %v", err)
	}
	if d := s.tag("mirror/packages.invalid/acme", "own-acme-1.0.0-snapshot"); d != (mirror.Digest{}) {
		t.Errorf("%s was stored", d)
	}
}
