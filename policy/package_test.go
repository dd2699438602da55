package policy_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

// shelf is content in memory that counts what is asked of it.
type shelf struct {
	artifacts []mirror.Artifact
	zips      map[mirror.Digest][]byte

	mu       sync.Mutex
	asked    map[string]int // by method, and "zip"
	failZips error
}

func (s *shelf) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = map[string]int{}
	}
	s.asked[what]++
}

func (s *shelf) Manifest(_ context.Context, _ mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	s.count("manifest")
	for _, a := range s.artifacts {
		if a.Manifest.Descriptor.Digest == d {
			return a.Manifest, nil
		}
	}
	return mirror.Manifest{}, mirror.ErrNotFound
}

func (s *shelf) Blob(_ context.Context, _ mirror.Reference, d mirror.Digest, _ int64) (io.ReadCloser, error) {
	if body, ok := s.zips[d]; ok {
		s.count("zip")
		return io.NopCloser(bytes.NewReader(body)), s.failZips
	}
	s.count("blob")
	for _, a := range s.artifacts {
		if body, ok := a.Blobs[d]; ok {
			return io.NopCloser(bytes.NewReader(body)), nil
		}
	}
	return nil, mirror.ErrNotFound
}

func (s *shelf) Referrers(context.Context, mirror.Reference, mirror.Digest) ([]mirror.Descriptor, error) {
	s.count("referrers")
	return nil, nil
}

func (s *shelf) Tagged(context.Context, mirror.Reference) (mirror.Manifest, error) {
	s.count("tagged")
	return mirror.Manifest{}, mirror.ErrNotFound
}

func (s *shelf) Resolve(context.Context, mirror.Reference) (mirror.Descriptor, error) {
	return mirror.Descriptor{}, mirror.ErrNotFound
}

// put makes the artifact of a package whose zip has a folder of any name, and gives its reference.
func (s *shelf) put(t testing.TB, p mirror.Package, zip, signature []byte) mirror.Reference {
	t.Helper()
	a := elastic.Pack(mirror.Reference{Host: "epr.elastic.co", Repository: p.Name}, mirror.Descriptor{MediaType: mirror.NewMediaType(mirror.PackageZip), Digest: mirror.DigestOf(zip), Size: int64(len(zip))},
		signature, elastic.Facts{Format: 1, Package: p, Documents: map[string]string{"manifest.yml": fmt.Sprintf("name: %s\nversion: %s\n", p.Name, p.Version)}})
	s.artifacts = append(s.artifacts, a)
	if s.zips == nil {
		s.zips = map[mirror.Digest][]byte{}
	}
	s.zips[mirror.DigestOf(zip)] = zip
	return a.Image
}

func packageZip(t testing.TB, folder, seed string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(folder + "/manifest.yml")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "description: %s\n", seed)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pgpKey(t testing.TB, name string, o testenv.PGPOptions) *testenv.PGPKey {
	t.Helper()
	k, err := testenv.NewPGPKey(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signZip(t testing.TB, k *testenv.PGPKey, zip []byte) []byte {
	t.Helper()
	sig, err := k.Sign(zip, "nginx-1.20.0")
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// packagePolicy is a policy with OpenPGP signers; rules is the text below them.
func packagePolicy(t testing.TB, keys map[string]*testenv.PGPKey, rules string) policy.Policy {
	t.Helper()
	p, problems := policy.Load(packageFiles(keys, rules), commit)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

func packageFiles(keys map[string]*testenv.PGPKey, rules string) mirror.Files {
	files := mirror.Files{}
	text := "version: 1\nsigners:\n"
	for name, k := range keys {
		text += "  " + name + ": {pgp: keys/" + name + ".asc}\n"
		files["desired/keys/"+name+".asc"] = []byte(k.Public())
	}
	files[mirror.PolicyFile] = []byte(text + rules)
	return files
}

const oneOfElastic = "rules:\n  - match: epr.elastic.co/**\n    require: {signers: [elastic]}\n"

var nginx = mirror.Package{Name: "nginx", Version: "1.20.0"}

// bytesMemory remembers verdicts and what bytes were signed.
type bytesMemory struct {
	mu       sync.Mutex
	verdicts map[string]mirror.Verdict
	made     map[string]string
}

func newBytesMemory() *bytesMemory {
	return &bytesMemory{verdicts: map[string]mirror.Verdict{}, made: map[string]string{}}
}

func (m *bytesMemory) Verdict(key string) (mirror.Verdict, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.verdicts[key]
	return v, ok
}

func (m *bytesMemory) Remember(key string, v mirror.Verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verdicts[key] = v
}

func (m *bytesMemory) Made(key string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	folder, ok := m.made[key]
	return folder, ok
}

func (m *bytesMemory) RememberMade(key, folder string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.made[key] = folder
}

func judgePackage(t testing.TB, p policy.Policy, o policy.Options, image mirror.Reference, c mirror.Content) (mirror.Verdict, error) {
	t.Helper()
	if o.At.IsZero() {
		o.At = now
	}
	return p.Verifier(o).Verify(t.Context(), action(image), c)
}

func TestPackages_AreSignedInside(t *testing.T) {
	key, other := pgpKey(t, "Elastic", testenv.PGPOptions{}), pgpKey(t, "Somebody", testenv.PGPOptions{})
	ended := pgpKey(t, "Ended", testenv.PGPOptions{Lifetime: time.Hour})
	zip := packageZip(t, "nginx-1.20.0", "a")
	keys := map[string]*testenv.PGPKey{"elastic": key, "ended": ended}
	good := signZip(t, key, zip)
	for _, tt := range []struct {
		name      string
		pkg       mirror.Package
		zip       []byte
		signature []byte
		rules     string
		outcome   mirror.Outcome
		code      mirror.ReasonCode
		detail    string
		open      bool
	}{
		{"good", nginx, zip, good, oneOfElastic, mirror.OutcomeSigned, mirror.Signed, "signed by elastic", false},
		{"none", nginx, zip, nil, oneOfElastic, mirror.OutcomeRejected, mirror.NoSignature, "no signature found", true},
		{"by somebody else", nginx, zip, signZip(t, other, zip), oneOfElastic, mirror.OutcomeRejected, mirror.BadSignature, "it is by the key " + other.Fingerprint(), true},
		{"of other content", nginx, zip, signZip(t, key, packageZip(t, "nginx-1.20.0", "b")), oneOfElastic, mirror.OutcomeRejected, mirror.BadSignature, "did not sign these bytes", false},
		{"malformed", nginx, zip, []byte("e16ddaf4f91df524b27bf4f2e4b1ac09\n"), oneOfElastic, mirror.OutcomeRejected, mirror.BadSignature, "no armored OpenPGP signature", false},
		{"of a key that ended", nginx, zip, signZip(t, ended, zip), strings.ReplaceAll(oneOfElastic, "elastic]", "ended]"), mirror.OutcomeRejected, mirror.BadSignature, "ended at", false},
		{"another version, signed", mirror.Package{Name: "nginx", Version: "1.21.0"}, zip, good, oneOfElastic, mirror.OutcomeRejected, mirror.BadSignature, "is for nginx-1.20.0", false},
		{"another version, signed, names not compared", mirror.Package{Name: "nginx", Version: "1.21.0"}, zip, good, oneOfElastic + "    reference: any\n", mirror.OutcomeSigned, mirror.Signed, "", false},
		{"denied signer", nginx, zip, good, oneOfElastic + "deny: {signers: [elastic]}\n", mirror.OutcomeRejected, mirror.BadSignature, "whom deny.signers names", false},
		{"one of two", nginx, zip, good, strings.ReplaceAll(oneOfElastic, "[elastic]", "[elastic, ended], count: 2"), mirror.OutcomeRejected, mirror.NoSignature, "", false},
		{"an exception", nginx, zip, nil, oneOfElastic + "exceptions:\n  - {match: epr.elastic.co/nginx, skip: [signatures], until: 2026-12-31, reason: OPS-1, approvedBy: alice}\n", mirror.OutcomeException, mirror.Excepted, "", false},
		{"a mode", nginx, zip, nil, oneOfElastic + "mode: warn\n", mirror.OutcomeWarn, mirror.Warned, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &shelf{}
			v, err := judgePackage(t, packagePolicy(t, keys, tt.rules), policy.Options{}, s.put(t, tt.pkg, tt.zip, tt.signature), s)
			if err != nil || v.Outcome != tt.outcome {
				t.Fatalf("got %s, %s (%s), %v; want %s", v.Outcome, v.Reason.Code, v.Reason, err, tt.outcome)
			}
			if tt.code != "" && tt.outcome == mirror.OutcomeRejected && tt.name != "one of two" {
				wantOutcome(t, v, tt.outcome, tt.code)
				if v.Open != tt.open && tt.name != "denied signer" {
					t.Errorf("open is %v, want %v", v.Open, tt.open)
				}
			}
			wantDetail(t, v, tt.detail)
			if tt.name == "good" {
				if len(v.Proofs) != 1 || v.Proofs[0].Identity != "pgp "+key.Fingerprint() || len(v.Evidence) != 0 {
					t.Errorf("got proofs %+v, evidence %+v", v.Proofs, v.Evidence)
				}
				if s.asked["referrers"]+s.asked["tagged"] != 0 {
					t.Errorf("asked %v: nobody signs packages beside them here", s.asked)
				}
			}
		})
	}
}

// TestPackages_AndImagesByOneRule: a rule that names signers of both kinds takes what it finds.
func TestPackages_AndImagesByOneRule(t *testing.T) {
	key, release := pgpKey(t, "Elastic", testenv.PGPOptions{}), newSigner(t, "p256")
	rules := "  release: {key: keys/release.pub}\nrules:\n  - {match: \"**\", require: {signers: [elastic, release]}, reference: any}\n"
	files := packageFiles(map[string]*testenv.PGPKey{"elastic": key}, rules)
	files["desired/keys/release.pub"] = []byte(release.PublicPEM())
	p, problems := policy.Load(files, commit)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	w := newAPIWorld(t)
	wantOutcome(t, w.verify(p), mirror.OutcomeRejected, mirror.NoSignature)
	w.bundle(release)
	wantOutcome(t, w.verify(p), mirror.OutcomeSigned, mirror.Signed)
	s := &shelf{}
	zip := packageZip(t, "nginx-1.20.0", "a")
	v, err := judgePackage(t, p, policy.Options{}, s.put(t, nginx, zip, signZip(t, key, zip)), s)
	if err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
}

func TestPackages_AnEditedPolicyReadsNoPackageAgain(t *testing.T) {
	key := pgpKey(t, "Elastic", testenv.PGPOptions{})
	keys := map[string]*testenv.PGPKey{"elastic": key}
	zip := packageZip(t, "nginx-1.20.0", "a")
	s, m := &shelf{}, newBytesMemory()
	image := s.put(t, nginx, zip, signZip(t, key, zip))
	for i, rules := range []string{oneOfElastic, oneOfElastic, oneOfElastic + "    minAge: 0s\n", strings.ReplaceAll(oneOfElastic, "epr.elastic.co/**", "epr.elastic.co/*")} {
		v, err := judgePackage(t, packagePolicy(t, keys, rules), policy.Options{Known: m, Made: m}, image, s)
		if err != nil || v.Outcome != mirror.OutcomeSigned {
			t.Fatalf("policy %d: got %s, %v", i, v.Reason, err)
		}
	}
	if s.asked["zip"] != 1 {
		t.Errorf("the zip was read %d times, want once", s.asked["zip"])
	}
	other := pgpKey(t, "Other", testenv.PGPOptions{})
	v, err := judgePackage(t, packagePolicy(t, map[string]*testenv.PGPKey{"elastic": other}, oneOfElastic), policy.Options{Known: m, Made: m}, image, s)
	if err != nil || v.Outcome != mirror.OutcomeRejected {
		t.Errorf("got %s, %v: a memory admits what another key signed", v.Reason, err)
	}
}

// TestPackages_AVerdictIsOfOneVersion: the same artifact under the name of another version is not what was judged.
func TestPackages_AVerdictIsOfOneVersion(t *testing.T) {
	key := pgpKey(t, "Elastic", testenv.PGPOptions{})
	p := packagePolicy(t, map[string]*testenv.PGPKey{"elastic": key}, oneOfElastic)
	zip := packageZip(t, "nginx-1.20.0+build.1", "a")
	s, m := &shelf{}, newBytesMemory()
	image := s.put(t, mirror.Package{Name: "nginx", Version: "1.20.0+build.1"}, zip, signZip(t, key, zip))
	for tag, outcome := range map[string]mirror.Outcome{"1.20.0_build.1": mirror.OutcomeSigned, "1.20.0": mirror.OutcomeRejected, "1.21.0": mirror.OutcomeRejected} {
		named := image
		named.Tag = tag
		for range 2 {
			v, err := judgePackage(t, p, policy.Options{Known: m, Made: m}, named, s)
			if err != nil || v.Outcome != outcome {
				t.Errorf("%s: got %s (%s), %v", tag, v.Outcome, v.Reason, err)
			}
		}
	}
}

func TestPackages_WhatCannotBeReadIsNotKnown(t *testing.T) {
	key := pgpKey(t, "Elastic", testenv.PGPOptions{})
	p := packagePolicy(t, map[string]*testenv.PGPKey{"elastic": key}, oneOfElastic)
	zip := packageZip(t, "nginx-1.20.0", "a")
	s := &shelf{failZips: errors.New("connection reset")}
	image := s.put(t, nginx, zip, signZip(t, key, zip))
	if v, err := judgePackage(t, p, policy.Options{}, image, s); err == nil || v.Outcome != mirror.OutcomeUnknown {
		t.Errorf("got %s (%s), %v; want unknown", v.Outcome, v.Reason, err)
	}
	s.failZips = nil
	s.zips[mirror.DigestOf(zip)] = packageZip(t, "nginx-1.20.0", "b") // the registry's disk lies
	v, err := judgePackage(t, p, policy.Options{}, image, s)
	if err != nil || v.Outcome != mirror.OutcomeRejected {
		t.Errorf("got %s (%s), %v; want rejected", v.Outcome, v.Reason, err)
	}
}

// TestPackages_HostileArtifacts: the manifest is whoever's may write to the registry.
func TestPackages_HostileArtifacts(t *testing.T) {
	key := pgpKey(t, "Elastic", testenv.PGPOptions{})
	p := packagePolicy(t, map[string]*testenv.PGPKey{"elastic": key}, oneOfElastic)
	zip := packageZip(t, "nginx-1.20.0", "a")
	for name, body := range map[string]string{
		"two zips":             `{"schemaVersion":2,"artifactType":"%[1]s","config":{"mediaType":"%[2]s","digest":"%[3]s","size":2},"layers":[{"mediaType":"application/zip","digest":"%[3]s","size":9},{"mediaType":"application/zip","digest":"%[3]s","size":9}]}`,
		"a large signature":    `{"schemaVersion":2,"artifactType":"%[1]s","config":{"mediaType":"%[2]s","digest":"%[3]s","size":2},"layers":[{"mediaType":"application/zip","digest":"%[3]s","size":9},{"mediaType":"application/pgp-signature","digest":"%[3]s","size":99999999}]}`,
		"no layer":             `{"schemaVersion":2,"artifactType":"%[1]s","config":{"mediaType":"%[2]s","digest":"%[3]s","size":2},"layers":[]}`,
		"a large zip":          `{"schemaVersion":2,"artifactType":"%[1]s","config":{"mediaType":"%[2]s","digest":"%[3]s","size":2},"layers":[{"mediaType":"application/zip","digest":"%[3]s","size":99999999999}]}`,
		"a blob that is not":   `{"schemaVersion":2,"artifactType":"%[1]s","config":{"mediaType":"%[2]s","digest":"%[3]s","size":2},"layers":[{"mediaType":"application/zip","digest":"%[3]s","size":9},{"mediaType":"application/pgp-signature","digest":"%[3]s","size":9}]}`,
		"an image, not signed": `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%[3]s","size":2},"layers":[]}%[1]s%[2]s`,
	} {
		t.Run(name, func(t *testing.T) {
			text := fmt.Sprintf(body, mirror.PackageArtifact, mirror.PackageFacts, mirror.DigestOf([]byte("nowhere")))
			if name == "an image, not signed" {
				text = text[:strings.LastIndex(text, "}")+1]
			}
			m := mirror.NewManifest("application/vnd.oci.image.manifest.v1+json", []byte(text))
			s := &shelf{artifacts: []mirror.Artifact{{Manifest: m}}, zips: map[mirror.Digest][]byte{mirror.DigestOf(zip): zip}}
			v, err := judgePackage(t, p, policy.Options{}, mirror.Reference{Host: "epr.elastic.co", Repository: "nginx", Tag: "1.20.0", Digest: m.Descriptor.Digest}, s)
			if err != nil || v.Outcome != mirror.OutcomeRejected || s.asked["zip"] != 0 {
				t.Errorf("got %s (%s), %v, asked %v", v.Outcome, v.Reason, err, s.asked)
			}
		})
	}
}

// TestPackages_TheFloorHasItsOwnKey: both documents must admit, and the zip is read once for both.
func TestPackages_TheFloorHasItsOwnKey(t *testing.T) {
	key, other := pgpKey(t, "Elastic", testenv.PGPOptions{}), pgpKey(t, "Other", testenv.PGPOptions{})
	zip := packageZip(t, "nginx-1.20.0", "a")
	for name, floorKey := range map[string]*testenv.PGPKey{"the same": key, "another": other} {
		t.Run(name, func(t *testing.T) {
			fleet := packagePolicy(t, map[string]*testenv.PGPKey{"elastic": key}, oneOfElastic)
			document := []byte("version: 1\nsigners:\n  site: {pgp: site.asc}\n" + strings.ReplaceAll(oneOfElastic, "elastic]", "site]"))
			if needs := policy.Needs(document); len(needs) != 1 || needs[0] != "site.asc" {
				t.Fatalf("got needs %q", needs)
			}
			floor, problems := policy.LoadFloor("floor/floor.yaml", mirror.Files{"floor/floor.yaml": document, "floor/site.asc": []byte(floorKey.Public())})
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			s := &shelf{}
			image := s.put(t, nginx, zip, signZip(t, key, zip))
			v, err := judgePackage(t, fleet.WithFloor(floor), policy.Options{}, image, s)
			if want := floorKey == key; err != nil || v.Outcome.Admits() != want || s.asked["zip"] != 1 {
				t.Errorf("got %s (%s), %v, zip read %d times", v.Outcome, v.Reason, err, s.asked["zip"])
			}
		})
	}
}

func TestPackages_ExplainSaysWhatIsSigned(t *testing.T) {
	key := pgpKey(t, "Elastic", testenv.PGPOptions{})
	p := packagePolicy(t, map[string]*testenv.PGPKey{"elastic": key}, oneOfElastic)
	zip := packageZip(t, "nginx-1.20.0", "a")
	s := &shelf{}
	image := s.put(t, nginx, zip, signZip(t, key, zip))
	v, err := judgePackage(t, p, policy.Options{}, image, s)
	if err != nil {
		t.Fatal(err)
	}
	wants := p.Explain(image, "snapshot", v, now)[0].Rules[0].Wants
	if len(wants) != 1 || wants[0].State != policy.WantMet || wants[0].Text != "a signature of elastic, over the bytes of nginx-1.20.0" || len(wants[0].By) != 1 || !strings.Contains(wants[0].By[0], "for nginx-1.20.0") {
		t.Errorf("got %+v", wants)
	}
	signers := p.Signers()
	if len(signers) != 1 || signers[0].Kind != "OpenPGP EdDSA" || signers[0].Identity != "pgp "+key.Fingerprint() {
		t.Errorf("got %+v", signers)
	}
}

func TestPackages_MistakesInThePolicy(t *testing.T) {
	key := pgpKey(t, "Elastic", testenv.PGPOptions{})
	public := key.Public()
	for _, tt := range []struct {
		name, signer, rules, asc, code string
	}{
		{"no key", "{pgp: keys/elastic.asc}", oneOfElastic, "hello", "POL072"},
		{"two keys", "{pgp: keys/elastic.asc}", oneOfElastic, public + public, "POL072"},
		{"a private key", "{pgp: keys/elastic.asc}", oneOfElastic, key.Private(), "POL006"},
		{"no file", "{pgp: keys/elastik.asc}", oneOfElastic, public, "POL005"},
		{"an empty path", `{pgp: ""}`, oneOfElastic, public, "POL005"},
		{"two forms", "{pgp: keys/elastic.asc, key: keys/elastic.asc}", oneOfElastic, public, "POL018"},
		{"a beginning that nothing proves", "{pgp: keys/elastic.asc, notBefore: 2026-01-01}", oneOfElastic, public, "POL022"},
		{"a hash", "{pgp: keys/elastic.asc, hash: sha256}", oneOfElastic, public, "POL021"},
		{"attestations", "{pgp: keys/elastic.asc}", "rules:\n  - match: epr.elastic.co/**\n    attestations: [{type: https://slsa.dev/provenance/v1, by: [elastic]}]\n", public, "POL073"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := mirror.Files{mirror.PolicyFile: []byte("version: 1\nsigners:\n  elastic: " + tt.signer + "\n" + tt.rules), "desired/keys/elastic.asc": []byte(tt.asc)}
			_, problems := policy.Load(files, commit)
			var codes []string
			for _, p := range problems {
				codes = append(codes, p.Code)
				if strings.Contains(fmt.Sprint(p), "PRIVATE KEY BLOCK") {
					t.Errorf("%s shows what is in the file", p.Code)
				}
			}
			if len(codes) == 0 || codes[0] != tt.code {
				t.Errorf("got %v (%v), want %s", codes, problems, tt.code)
			}
		})
	}
	// An OpenPGP private key that nothing names is told too.
	files := packageFiles(map[string]*testenv.PGPKey{"elastic": key}, oneOfElastic)
	files["desired/elastic/secret.asc"] = []byte(key.Private())
	if _, problems := policy.Load(files, commit); len(problems) != 1 || problems[0].Code != "POL006" {
		t.Errorf("got %v", problems)
	}
}

// TestPackages_AreReadAsAStream: the memory that a package costs does not grow with it.
func TestPackages_AreReadAsAStream(t *testing.T) {
	key := pgpKey(t, "Elastic", testenv.PGPOptions{})
	p := packagePolicy(t, map[string]*testenv.PGPKey{"elastic": key}, oneOfElastic)
	head := packageZip(t, "nginx-1.20.0", "a")
	zip := append(head, make([]byte, 8<<20)...) // what stands behind a zip is a part of what is signed
	sig := signZip(t, key, zip)
	s := &shelf{}
	image := s.put(t, nginx, zip, sig)
	cost := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if v, err := p.Verifier(policy.Options{At: now}).Verify(b.Context(), action(image), s); err != nil || v.Outcome != mirror.OutcomeSigned {
				b.Fatal(v.Reason, err)
			}
		}
	})
	if cost.AllocedBytesPerOp() > 2<<20 {
		t.Errorf("a package of %d bytes costs %d bytes of memory", len(zip), cost.AllocedBytesPerOp())
	}
}
