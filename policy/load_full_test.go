package policy

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

const digestOfNothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// inFull is a policy with every key that there is but where, which needs an attestation to say anything.
const inFull = `version: 1
roots:
  corp: {file: trust/root.json}
  mirror: {tuf: trust/tuf}
  pki: {ca: trust/ca.pem}
signers:
  release: {key: keys/release.pub, hash: sha256, root: corp, notBefore: 2026-01-01, until: 2027-06-30}
  plain: {key: keys/plain.pub}
  ci: {keyless: {root: corp, issuer: "https://oidc.corp", subject: "https://git.corp/*/release@refs/tags/*"}, notBefore: 2026-01-01T12:30:00+02:00}
  bots: {keyless: {root: mirror, issuerRegexp: "^https://oidc\\.corp$", subjectRegexp: "^(?:bot|robot)-[0-9]+@corp$"}}
  team: {certificate: {root: pki, subject: release@corp.example}}
rules:
  - match: registry.corp/prod/**
    stages: [production, edge]
    require: {signers: [team, release, ci], count: 2}
    reference: {remap: {from: registry.corp/mirror, to: ghcr.io}}
    attestations:
      - {type: https://slsa.dev/provenance/v1, by: [plain, ci], count: 2}
    platforms: each
    minAge: 72h
    signatures: registry.corp/signatures
  - {match: quay.io/**, minAge: 24h}
  - {match: ghcr.io/**, attestations: [{type: https://slsa.dev/provenance/v1, by: [ci]}]}
  - {match: docker.io/**, require: {pinned: true}, platforms: index}
deny: {digests: ["` + digestOfNothing + `"], repos: ["**/debug-*"], signers: [plain]}
exceptions:
  - {match: quay.io/x/y, skip: [signatures, age], until: 2026-12-31, reason: " VEND-123 ", approvedBy: alice}
  - {match: "quay.io/x/y@` + digestOfNothing + `", stages: [edge], skip: [pinned, attestations], until: 2026-12-31T18:00:00Z, reason: VEND-124, approvedBy: bob}
mode: {edge: warn, production: audit}
default: deny
`

func fullFiles(t *testing.T) mirror.Files {
	t.Helper()
	files := mirror.Files{mirror.PolicyFile: []byte(inFull), "desired/own.yaml": []byte("version: 1\nsource: {kind: list}\nstages: [edge, production]\n")}
	for _, name := range []string{"release", "plain"} {
		s, err := testenv.NewSigner("p256")
		if err != nil {
			t.Fatal(err)
		}
		files["desired/keys/"+name+".pub"] = []byte(s.PublicPEM())
	}
	corp, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := testenv.NewChain(testenv.ChainOptions{Subject: "release@corp.example"})
	if err != nil {
		t.Fatal(err)
	}
	repository, err := testenv.TUFRepository(map[string][]byte{"trusted_root.json": corp.TrustedRoot()}, testenv.TUFOptions{})
	if err != nil {
		t.Fatal(err)
	}
	files["desired/trust/root.json"], files["desired/trust/ca.pem"] = corp.TrustedRoot(), chain.CA()
	for name, data := range repository {
		files["desired/trust/tuf/"+name] = data
	}
	return files
}

func TestLoad_ReadsEveryKey(t *testing.T) {
	p, problems := Load(fullFiles(t), "c")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if len(p.layers) != 1 {
		t.Fatalf("%d layers", len(p.layers))
	}
	l := p.layers[0]
	for i := range l.rules {
		if w := l.rules[i].where; w.File != mirror.PolicyFile || w.Line == 0 || w.Commit != "c" {
			t.Errorf("rule %d is at %+v", i, w)
		}
		for j := range l.rules[i].Attestations {
			l.rules[i].Attestations[j].where = mirror.Position{}
		}
		l.rules[i].where = mirror.Position{}
	}
	digest, err := mirror.ParseDigest(digestOfNothing)
	if err != nil {
		t.Fatal(err)
	}
	const slsa = "https://slsa.dev/provenance/v1"
	rules := []rule{
		{Match: "registry.corp/prod/**", Stages: []mirror.Stage{"edge", "production"}, Signers: []string{"ci", "release", "team"}, Count: 2,
			Reference: nameRemap, Remap: remap{"registry.corp/mirror", "ghcr.io"}, Attestations: []attestation{{Type: slsa, By: []string{"ci", "plain"}, Count: 2}},
			Each: true, MinAge: 72 * time.Hour, Beside: mirror.Reference{Host: "registry.corp", Repository: "signatures"}},
		{Match: "quay.io/**", MinAge: 24 * time.Hour},
		{Match: "ghcr.io/**", Attestations: []attestation{{Type: slsa, By: []string{"ci"}, Count: 1}}},
		{Match: "docker.io/**", Pinned: true},
	}
	if !reflect.DeepEqual(l.rules, rules) {
		t.Errorf("got rules\n%+v\nwant\n%+v", l.rules, rules)
	}
	for i := range l.exceptions {
		l.exceptions[i].where = mirror.Position{}
	}
	exceptions := []exception{
		{Name: "quay.io/x/y", Skip: []skip{skipAge, skipSignatures}, Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), Reason: "VEND-123", ApprovedBy: "alice"},
		{Name: "quay.io/x/y", Digest: digest, Stages: []mirror.Stage{"edge"}, Skip: []skip{skipAttestations, skipPinned}, Until: time.Date(2026, 12, 31, 18, 0, 0, 0, time.UTC), Reason: "VEND-124", ApprovedBy: "bob"},
	}
	if !reflect.DeepEqual(l.exceptions, exceptions) {
		t.Errorf("got exceptions\n%+v\nwant\n%+v", l.exceptions, exceptions)
	}
	if want := (deny{Digests: []mirror.Digest{digest}, Repos: []string{"**/debug-*"}, Signers: []string{"plain"}}); !reflect.DeepEqual(l.deny, want) {
		t.Errorf("got deny %+v", l.deny)
	}
	if want := map[mirror.Stage]mode{"edge": modeWarn, "production": modeAudit}; !reflect.DeepEqual(l.modes, want) || l.mode("other") != modeEnforce {
		t.Errorf("got modes %v", l.modes)
	}
	release, ci := l.signers["release"], l.signers["ci"]
	if want := time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC); !release.until.Equal(want) || !release.notBefore.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("release counts from %s until %s", release.notBefore, release.until)
	}
	if want := time.Date(2026, 1, 1, 10, 30, 0, 0, time.UTC); !ci.notBefore.Equal(want) || !ci.until.IsZero() {
		t.Errorf("ci counts from %s until %s", ci.notBefore, ci.until)
	}
	if len(l.signers) != 5 || l.floor || l.open || l.file != mirror.PolicyFile {
		t.Errorf("%d signers, floor %t, open %t, %s", len(l.signers), l.floor, l.open, l.file)
	}
}

// What is trusted is part of the hash, so that a changed file judges anew what it touches.
func TestLoad_EveryTrustFileIsHashed(t *testing.T) {
	files := fullFiles(t)
	hash := func() mirror.Digest {
		t.Helper()
		p, problems := Load(files, "")
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		return p.Hash()
	}
	before := hash()
	if hash() != before {
		t.Fatal("the same files have two hashes")
	}
	other := fullFiles(t)
	for _, name := range []string{"desired/keys/release.pub", "desired/keys/plain.pub", "desired/trust/root.json", "desired/trust/ca.pem"} {
		old := files[name]
		files[name] = other[name]
		if hash() == before {
			t.Errorf("another %s has the same hash", name)
		}
		files[name] = old
	}
	for name := range files {
		if strings.HasPrefix(name, "desired/trust/tuf/") {
			delete(files, name)
		}
	}
	for name, data := range other {
		if strings.HasPrefix(name, "desired/trust/tuf/") {
			files[name] = data
		}
	}
	if hash() == before {
		t.Error("another folder has the same hash")
	}
}

func TestLoadFloor_IsReadLikeThePolicyOfTheFleet(t *testing.T) {
	s, err := testenv.NewSigner("p256")
	if err != nil {
		t.Fatal(err)
	}
	const name = "/etc/poundlock/floor.yaml"
	text := "version: 1\nsigners: {release: {key: keys/release.pub}}\nrules:\n  - {match: registry.corp/**, stages: [anything], require: {signers: [release]}}\ndefault: fleet\n"
	files := mirror.Files{name: []byte(text), "/etc/poundlock/keys/release.pub": []byte(s.PublicPEM())}
	p, problems := LoadFloor(name, files)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if l := p.layers[0]; !l.floor || !l.open || l.file != name || l.rules[0].where.File != name || len(l.signers) != 1 {
		t.Errorf("got %+v", l)
	}
	files[name] = []byte(strings.Replace(text, "default: fleet", "default: deny", 1))
	closed, problems := LoadFloor(name, files)
	if problems.Err() != nil || closed.layers[0].open || closed.Hash() == p.Hash() {
		t.Errorf("a floor that denies is open: %v", problems)
	}
	for _, c := range []struct{ old, new, code, file, fix string }{
		{"default: fleet", "default: audit", "POL002", name, "default: fleet"},
		{"keys/release.pub", "keys/other.pub", "POL005", name, `"keys/release.pub"`},
		{"keys/release.pub", "../release.pub", "POL005", name, "the folder of the floor"},
		{"keys/release.pub", "floor.yaml", "POL007", name, "PUBLIC KEY"},
		{"rules:", "ruels:", "DOC002", name, "explain policy"},
		{"[anything]", "[Any Thing]", "POL008", name, "production"},
		{"version: 1", "version: [1]", "DOC004", name, ""},
	} {
		files[name] = []byte(strings.Replace(text, c.old, c.new, 1))
		_, problems := LoadFloor(name, files)
		if i := slices.IndexFunc(problems, func(p mirror.Problem) bool { return p.Code == c.code }); i < 0 {
			t.Errorf("%s: got %v, want %s", c.new, problems, c.code)
		} else if one := problems[i]; one.Where.File != c.file || one.Where.Line == 0 || !strings.Contains(one.Fix, c.fix) {
			t.Errorf("%s: got %v in %s, want a fix with %q", c.new, one, one.Where, c.fix)
		}
	}
	files["/etc/poundlock/keys/release.pub"] = []byte("nothing")
	files[name] = []byte(text)
	if _, problems := LoadFloor(name, files); len(problems) != 1 || problems[0].Where.File != "/etc/poundlock/keys/release.pub" {
		t.Errorf("a broken key of the floor: %v", problems)
	}
	if p, problems := LoadFloor("floor.yaml", mirror.Files{}); len(problems) != 1 || problems[0].Code != "POL001" || problems[0].Where.File != "floor.yaml" || len(p.layers) != 0 {
		t.Errorf("no floor: %v", problems)
	}
	relative := mirror.Files{"floor.yaml": []byte(text), "keys/release.pub": []byte(s.PublicPEM())}
	if _, problems := LoadFloor("floor.yaml", relative); problems.Err() != nil {
		t.Errorf("a floor beside us: %v", problems)
	}
}

func TestAnchored_MeansTheWholeText(t *testing.T) {
	for expression, whole := range map[string]bool{
		`^a$`: true, `^(?:a|b)$`: true, `^a$|^b$`: true, `(^a$)`: true, `(?i)^a$`: true, `^$`: true, `^.*$`: true, `^(a|b)+$`: true,
		`a`: false, `^a`: false, `a$`: false, `^a|b$`: false, `^a\$`: false, `(?m)^a$`: false, `^a$|b`: false, `(^a)?b$`: false, `^a(b$)?`: false, ``: false, `[^a$]`: false,
	} {
		if err := anchored(expression); (err == nil) != whole {
			t.Errorf("%s: %v", expression, err)
		}
	}
}
