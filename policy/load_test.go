package policy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

func TestLoad_TellsEveryMistakeWithItsPlace(t *testing.T) {
	digest := mirror.DigestOf(nil).String()
	for _, c := range []struct{ name, text, code, what string }{
		{"unknown key", "rulez: []", "DOC002", `unknown key "rulez"`},
		{"duplicate key", "rules: []\nrules: []", "DOC003", "duplicate key"},
		{"duplicate signer", "signers:\n  a: {key: keys/a.pub}\n  a: {key: keys/a.pub}", "DOC003", "duplicate key"},
		{"wrong type", "rules: all", "DOC004", "want a list"},
		{"newer version", "", "DOC008", "newer"},
		{"other default", "default: warn", "POL002", "only deny"},
		{"the same rule twice", "rules:\n  - {match: x.example/**, require: {pinned: true}}\n  - {match: x.example/**, require: {pinned: true}}", "POL003", "line 3"},
		{"name of signer", "signers: {\"a, b\": {key: keys/a.pub}}", "POL004", "no name"},
		{"key outside", "signers: {a: {key: ../keys/a.pub}}", "POL005", "below desired/"},
		{"absolute key", "signers: {a: {key: /etc/a.pub}}", "POL005", "below desired/"},
		{"no such key", "signers: {a: {key: keys/aa.pub}}", "POL005", "there is no desired/keys/aa.pub"},
		{"private key", "signers: {a: {key: keys/private.pem}}", "POL006", "private key"},
		{"encrypted private key", "signers: {a: {key: keys/cosign.key}}", "POL006", "private key"},
		{"public and private key", "signers: {a: {key: keys/both.pem}}", "POL006", "private key"},
		{"no key", "signers: {a: {key: keys/empty.pub}}", "POL007", "no public key"},
		{"two keys", "signers: {a: {key: keys/two.pub}}", "POL007", "more than one"},
		{"other curve", "signers: {a: {key: keys/p521.pub}}", "POL007", "P-521"},
		{"short RSA", "signers: {a: {key: keys/rsa1024.pub}}", "POL007", "1024 bits"},
		{"certificate", "signers: {a: {key: keys/cert.pem}}", "POL007", "no public key"},
		{"misspelt stage", "rules:\n  - {match: x.example/**, stages: [produciton], require: {pinned: true}}", "POL008", "produciton"},
		{"stage twice", "rules:\n  - {match: x.example/**, stages: [edge, edge], require: {pinned: true}}", "POL009", "twice"},
		{"signer twice", "rules:\n  - {match: x.example/**, require: {signers: [good, good]}}", "POL009", "twice"},
		{"reference word", "rules:\n  - {match: x.example/**, require: {signers: [good]}, reference: prefix}", "POL010", "prefix"},
		{"reference of pinned", "rules:\n  - {match: x.example/**, require: {pinned: true}, reference: any}", "POL010", "nothing is signed"},
		{"unknown signer", "rules:\n  - {match: x.example/**, require: {signers: [goood]}}", "POL011", `no signer "goood"`},
		{"empty require", "rules:\n  - {match: x.example/**, require: {}}", "POL012", "neither"},
		{"empty signers", "rules:\n  - {match: x.example/**, require: {signers: []}}", "POL012", "neither"},
		{"no require", "rules:\n  - {match: x.example/**}", "POL012", "requires nothing"},
		{"null require", "rules:\n  - {match: x.example/**, require: }", "DOC004", "want a mapping"},
		{"signers and pinned", "rules:\n  - {match: x.example/**, require: {signers: [good], pinned: true}}", "POL012", "not both"},
		{"pinned false", "rules:\n  - {match: x.example/**, require: {pinned: false}}", "POL012", "requires nothing"},
		{"count of zero", "rules:\n  - {match: x.example/**, require: {signers: [good], count: 0}}", "POL013", "requires nothing"},
		{"count over signers", "rules:\n  - {match: x.example/**, require: {signers: [good], count: 2}}", "POL013", "never be reached"},
		{"count over different keys", "rules:\n  - {match: x.example/**, require: {signers: [good, alias], count: 2}}", "POL013", "2 of 1 different keys"},
		{"digest", "deny: {digests: [\"sha256:12\"]}", "POL014", "malformed digest"},
		{"other algorithm", "deny: {digests: [\"sha512:" + strings.Repeat("0", 128) + "\"]}", "POL014", "malformed digest"},
		{"malformed glob", "rules:\n  - {match: \"x.example/[\", require: {pinned: true}}", "POL015", "malformed glob"},
		{"glob with digest", "deny: {repos: [\"x.example/a@" + digest + "\"]}", "POL015", "host/repository"},
		{"glob with tag", "deny: {repos: [\"x.example/a:1.0\"]}", "POL015", "host/repository"},
		{"glob without host", "rules:\n  - {match: \"library/nginx\", require: {pinned: true}}", "POL015", "begin with a host"},
		{"Docker Hub's other name", "deny: {repos: [\"index.docker.io/library/*\"]}", "POL015", "called docker.io"},
		{"fleet's default", "default: fleet", "POL002", "for the floor of a site"},
		{"the same exception twice", "exceptions:\n  - " + exception + "\n  - " + exception, "POL003", "line 3"},
		{"name of root", "roots: {\"\": {ca: trust/ca.pem}}", "POL004", "no name for a root"},
		{"no such root file", "roots: {r: {file: trust/none.json}}", "POL005", "there is no desired/trust/none.json"},
		{"no such folder", "roots: {r: {tuf: trust/non}}", "POL005", "there is no folder desired/trust/non"},
		{"folder outside", "roots: {r: {tuf: ../trust}}", "POL005", "below desired/"},
		{"all of desired as a folder", "roots: {r: {tuf: .}}", "POL005", "below desired/"},
		{"private key beside a certificate", "roots: {r: {ca: trust/private.pem}}", "POL006", "private key"},
		{"private key in a folder", "roots: {r: {tuf: trust/leaked}}", "POL006", "private key"},
		{"mode of an unknown stage", "mode: {produciton: warn}", "POL008", "produciton"},
		{"exception for an unknown stage", "exceptions:\n  - " + strings.Replace(exception, "{", "{stages: [produciton], ", 1), "POL008", "produciton"},
		{"requirement twice", "exceptions:\n  - " + strings.Replace(exception, "[signatures]", "[age, age]", 1), "POL009", "twice"},
		{"reference without signatures", "rules:\n  - {match: x.example/**, minAge: 1h, reference: any}", "POL010", "nothing is signed"},
		{"platforms of a pinned rule", "rules:\n  - {match: x.example/**, require: {pinned: true}, platforms: each}", "POL010", "nothing is signed"},
		{"signatures of a pinned rule", "rules:\n  - {match: x.example/**, require: {pinned: true}, signatures: x.example/s}", "POL010", "nothing is signed"},
		{"remap as a word", "rules:\n  - {match: x.example/**, require: {signers: [good]}, reference: remap}", "POL010", "needs from and to"},
		{"reference as a list", "rules:\n  - {match: x.example/**, require: {signers: [good]}, reference: [exact]}", "POL010", "unknown word"},
		{"unknown signer of an attestation", stated("type: https://slsa.dev/provenance/v1, by: [goood]"), "POL011", `no signer "goood"`},
		{"unknown denied signer", "deny: {signers: [goood]}", "POL011", `no signer "goood"`},
		{"a rule without requirement", "rules:\n  - {match: x.example/**, stages: [edge]}", "POL012", "the rule requires nothing"},
		{"an age of nothing", "rules:\n  - {match: x.example/**, minAge: 0s}", "POL012", "the rule requires nothing"},
		{"count of attestations", stated("type: https://slsa.dev/provenance/v1, by: [good, alias], count: 2"), "POL013", "attestations.count: 2 of 1"},
		{"root of another form", "roots: {r: {file: trust/ca.pem}}", "POL016", "roots.r.file"},
		{"root without anything", "roots: {r: {file: trust/empty.json}}", "POL016", "roots.r.file"},
		{"certificate that is no authority's", "roots: {r: {ca: trust/leaf.pem}}", "POL016", "no authority"},
		{"no certificate", "roots: {r: {ca: keys/good.pub}}", "POL016", "roots.r.ca"},
		{"expired folder", "roots: {r: {tuf: trust/expired}}", "POL016", "expired"},
		{"broken folder", "roots: {r: {tuf: trust/broken}}", "POL016", "roots.r.tuf"},
		{"folder without root.json", "roots: {r: {tuf: trust/half}}", "POL016", "roots.r.tuf"},
		{"unknown root of a key", "signers: {a: {key: keys/good.pub, root: crop}}\nroots: {corp: {file: trust/root.json}}", "POL017", `no root "crop"`},
		{"unknown root of people", signedBy("keyless: {root: crop, issuer: i, subject: s}"), "POL017", `no root "crop"`},
		{"unknown root of certificates", signedBy("certificate: {root: pik, subject: s}"), "POL017", `no root "pik"`},
		{"authority for a key's times", signedBy("key: keys/good.pub, root: pki"), "POL017", "no timestamps"},
		{"authority for people", signedBy("keyless: {root: pki, issuer: i, subject: s}"), "POL017", "no timestamps"},
		{"sigstore for certificates", signedBy("certificate: {root: corp, subject: s}"), "POL017", "has no ca"},
		{"root of nothing", "roots: {r: {}}", "POL018", "neither file nor tuf nor ca"},
		{"root of two", "roots: {r: {ca: trust/ca.pem, file: trust/root.json}}", "POL018", "only one of"},
		{"signer of nothing", signedBy("until: 2027-01-01"), "POL018", "neither key nor pgp nor keyless"},
		{"signer of two", signedBy("key: keys/good.pub, certificate: {root: pki, subject: s}"), "POL018", "only one of"},
		{"root beside keyless", signedBy("keyless: {root: corp, issuer: i, subject: s}, root: corp"), "POL018", "only beside key"},
		{"no issuer", signedBy("keyless: {root: corp, subject: s}"), "POL019", "keyless.issuer is missing"},
		{"no subject", signedBy("keyless: {root: corp, issuer: i}"), "POL019", "keyless.subject is missing"},
		{"no subject of a certificate", signedBy("certificate: {root: pki}"), "POL019", "certificate.subject is missing"},
		{"glob and expression", signedBy("keyless: {root: corp, issuer: i, subject: s, subjectRegexp: ^s$}"), "POL019", "only one can hold"},
		{"no anchor", signedBy("keyless: {root: corp, issuer: i, subjectRegexp: \"https://git.corp/.*\"}"), "POL020", "not anchored"},
		{"no anchor at the end", signedBy("keyless: {root: corp, issuer: i, subjectRegexp: \"^https://git.corp/.*\"}"), "POL020", "not anchored"},
		{"half an alternative", signedBy("keyless: {root: corp, issuerRegexp: \"^a|b$\", subject: s}"), "POL020", "not anchored"},
		{"anchors of lines", signedBy("certificate: {root: pki, subjectRegexp: \"(?m)^a$\"}"), "POL020", "not anchored"},
		{"malformed expression", signedBy("keyless: {root: corp, issuerRegexp: \"^(a$\", subject: s}"), "POL020", "missing closing )"},
		{"unknown hash", signedBy("key: keys/good.pub, hash: md5"), "POL021", "md5"},
		{"hash of a key that has its own", signedBy("key: keys/ed25519.pub, hash: sha256"), "POL021", "Ed25519"},
		{"hash of people", signedBy("keyless: {root: corp, issuer: i, subject: s}, hash: sha256"), "POL021", "only a key"},
		{"end before the beginning", signedBy("key: keys/good.pub, root: corp, notBefore: 2027-01-01, until: 2026-12-31"), "POL022", "not after notBefore"},
		{"beginning that nothing proves", signedBy("key: keys/good.pub, notBefore: 2026-01-01"), "POL022", "nothing says when"},
		{"beginning of certificates", signedBy("certificate: {root: pki, subject: s}, notBefore: 2026-01-01"), "POL022", "nothing says when"},
		{"no moment", signedBy("key: keys/good.pub, until: soon"), "DOC004", "neither a day nor a time"},
		{"no day", signedBy("key: keys/good.pub, until: 2026-02-30"), "DOC004", "neither a day nor a time"},
		{"remap without to", "rules:\n  - {match: x.example/**, require: {signers: [good]}, reference: {remap: {from: x.example}}}", "DOC005", "reference.remap.to is missing"},
		{"remap without anything", "rules:\n  - {match: x.example/**, require: {signers: [good]}, reference: {}}", "DOC005", "reference.remap is missing"},
		{"remap of a glob", "rules:\n  - {match: x.example/**, require: {signers: [good]}, reference: {remap: {from: x.example/*, to: y.example}}}", "POL023", "how a name begins"},
		{"remap with a slash", "rules:\n  - {match: x.example/**, require: {signers: [good]}, reference: {remap: {from: x.example/, to: y.example}}}", "POL023", "how a name begins"},
		{"short predicate type", stated("type: slsaprovenance, by: [good]"), "POL024", "no predicate type"},
		{"signature as attestation", stated("type: https://sigstore.dev/cosign/sign/v1, by: [good]"), "POL024", "is a signature"},
		{"attestation by nobody", stated("type: https://slsa.dev/provenance/v1, by: []"), "POL024", "names no signer"},
		{"attestation by anybody", stated("type: https://slsa.dev/provenance/v1"), "DOC005", "by is missing"},
		{"condition that does not compile", stated("type: https://slsa.dev/provenance/v1, by: [good], where: predicate.a ="), "POL025", "where: "},
		{"empty condition", stated("type: https://slsa.dev/provenance/v1, by: [good], where: ''"), "POL025", "where: "},
		{"unknown platforms", "rules:\n  - {match: x.example/**, require: {signers: [good]}, platforms: all}", "DOC004", "want index or each"},
		{"age of the future", "rules:\n  - {match: x.example/**, minAge: -1h}", "POL027", "before"},
		{"age without unit", "rules:\n  - {match: x.example/**, minAge: 72}", "DOC004", "want a duration"},
		{"signatures in a tag", "rules:\n  - {match: x.example/**, require: {signers: [good]}, signatures: \"x.example/s:1\"}", "POL028", "no repository"},
		{"signatures without host", "rules:\n  - {match: x.example/**, require: {signers: [good]}, signatures: signatures}", "POL028", "no repository"},
		{"no signatures", "rules:\n  - {match: x.example/**, require: {signers: [good]}, signatures: \"\"}", "POL028", "no repository"},
		{"exception for a glob", "exceptions:\n  - " + strings.Replace(exception, "x.example/a", "\"x.example/*\"", 1), "POL029", "is a glob"},
		{"exception for a tag", "exceptions:\n  - " + strings.Replace(exception, "x.example/a", "\"x.example/a:1\"", 1), "POL029", "neither"},
		{"exception for half a digest", "exceptions:\n  - " + strings.Replace(exception, "x.example/a", "\"x.example/a@sha256:12\"", 1), "POL029", "malformed digest"},
		{"exception for a short name", "exceptions:\n  - " + strings.Replace(exception, "x.example/a", "nginx", 1), "POL029", "neither"},
		{"exception without end", "exceptions:\n  - " + strings.Replace(exception, ", until: 2026-12-31", "", 1), "DOC005", "exceptions[0].until is missing"},
		{"exception without reason", "exceptions:\n  - " + strings.Replace(exception, ", reason: VEND-123", "", 1), "DOC005", "exceptions[0].reason is missing"},
		{"exception without approval", "exceptions:\n  - " + strings.Replace(exception, ", approvedBy: alice", "", 1), "DOC005", "exceptions[0].approvedBy is missing"},
		{"exception without anything to skip", "exceptions:\n  - " + strings.Replace(exception, "[signatures]", "[]", 1), "POL030", "lifts nothing"},
		{"exception for nothing", "exceptions:\n  - " + strings.Replace(exception, "VEND-123", "\" \"", 1), "POL030", "reason is empty"},
		{"exception by nobody", "exceptions:\n  - " + strings.Replace(exception, "alice", "\"\"", 1), "POL030", "approvedBy is empty"},
		{"exception from deny", "exceptions:\n  - " + strings.Replace(exception, "[signatures]", "[deny]", 1), "DOC004", "signatures, attestations, pinned, age or removal"},
		{"unknown mode", "mode: off", "POL031", `unknown word "off"`},
		{"unknown mode of a stage", "mode: {edge: wran}", "POL031", `unknown word "wran"`},
		{"modes as a list", "mode: [warn]", "POL031", "one of them for each stage"},
	} {
		t.Run(c.name, func(t *testing.T) {
			version := "version: 1\n"
			if c.name == "newer version" {
				version = "version: 2\n"
			}
			files := keyFiles(t)
			text := version + c.text
			if !strings.Contains(text, "signers: {") && !strings.Contains(text, "signers:\n") {
				text += "\nsigners: {good: {key: keys/good.pub}, alias: {key: keys/alias.pub}}"
			}
			files[mirror.PolicyFile] = []byte(text + "\n")
			p, problems := policy.Load(files, commit)
			if len(problems) == 0 {
				t.Fatal("no problem was found")
			}
			i := slices.IndexFunc(problems, func(p mirror.Problem) bool { return p.Code == c.code && strings.Contains(p.What, c.what) })
			if i < 0 {
				t.Fatalf("got %v; want %s saying %q", problems, c.code, c.what)
			}
			if w := problems[i].Where; w.File == "" || w.Line == 0 || w.Commit != commit {
				t.Errorf("the problem has no place: %+v", w)
			}
			v, err := p.Verifier(policy.Options{At: now}).Verify(t.Context(), action(mirror.Reference{Host: "x.example", Repository: "a"}), nil)
			if err != nil || v.Outcome != mirror.OutcomeRejected {
				t.Errorf("a policy with problems says %s, %v; want rejected", v.Outcome, err)
			}
		})
	}
}

const exception = "{match: x.example/a, skip: [signatures], until: 2026-12-31, reason: VEND-123, approvedBy: alice}"

// stated is a rule that wants one attestation.
func stated(text string) string {
	return "rules:\n  - {match: x.example/**, attestations: [{" + text + "}]}"
}

// signedBy is one signer, with a root of sigstore and one of X.509 to trust.
func signedBy(text string) string {
	return "signers: {a: {" + text + "}}\nroots: {corp: {file: trust/root.json}, pki: {ca: trust/ca.pem}}"
}

// keyFiles are trust material below desired/, good and bad, and a set with a stage of its own.
func keyFiles(t *testing.T) mirror.Files {
	t.Helper()
	files, err := trustMaterial()
	if err != nil {
		t.Fatal(err)
	}
	return maps.Clone(files)
}

var trustMaterial = sync.OnceValues(func() (mirror.Files, error) {
	good, err := testenv.NewSigner("p256")
	if err != nil {
		return nil, err
	}
	other, err := testenv.NewSigner("ed25519")
	if err != nil {
		return nil, err
	}
	chain, err := testenv.NewChain(testenv.ChainOptions{Subject: "release@corp.example"})
	if err != nil {
		return nil, err
	}
	corp, err := testenv.NewAuthority()
	if err != nil {
		return nil, err
	}
	odd, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(odd)
	if err != nil {
		return nil, err
	}
	curve, err := x509.MarshalPKIXPublicKey(&odd.PublicKey)
	if err != nil {
		return nil, err
	}
	// A key of this size cannot be generated any more; its public half needs no prime factors.
	short, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int), 1023, 1), E: 65537})
	if err != nil {
		return nil, err
	}
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	goodPEM, privatePEM := good.PublicPEM(), block("PRIVATE KEY", private)
	files := mirror.Files{
		"desired/keys/good.pub":          []byte(goodPEM),
		"desired/keys/alias.pub":         []byte("the same key\n" + goodPEM),
		"desired/keys/ed25519.pub":       []byte(other.PublicPEM()),
		"desired/keys/private.pem":       privatePEM,
		"desired/keys/cosign.key":        block("ENCRYPTED SIGSTORE PRIVATE KEY", []byte("x")),
		"desired/keys/both.pem":          append([]byte(goodPEM), privatePEM...),
		"desired/keys/empty.pub":         nil,
		"desired/keys/two.pub":           []byte(goodPEM + goodPEM),
		"desired/keys/p521.pub":          block("PUBLIC KEY", curve),
		"desired/keys/rsa1024.pub":       block("PUBLIC KEY", short),
		"desired/keys/cert.pem":          block("CERTIFICATE", []byte("x")),
		"desired/trust/root.json":        corp.TrustedRoot(),
		"desired/trust/empty.json":       []byte("{}"),
		"desired/trust/ca.pem":           chain.CA(),
		"desired/trust/leaf.pem":         chain.LeafPEM(),
		"desired/trust/private.pem":      append(chain.CA(), privatePEM...),
		"desired/trust/leaked/root.json": []byte("{}"),
		"desired/trust/leaked/root.key":  privatePEM,
		"desired/trust/half/other.json":  []byte("{}"),
		"desired/own.yaml":               []byte("version: 1\nsource: {kind: list}\nstages: [edge, core]\n"),
	}
	targets := map[string][]byte{"trusted_root.json": corp.TrustedRoot()}
	for folder, until := range map[string]time.Time{"tuf": {}, "expired": time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), "broken": {}} {
		repository, err := testenv.TUFRepository(targets, testenv.TUFOptions{Until: until})
		if err != nil {
			return nil, err
		}
		for name, data := range repository {
			if folder == "broken" && strings.HasSuffix(name, "snapshot.json") {
				data = []byte("{}")
			}
			files["desired/trust/"+folder+"/"+name] = data
		}
	}
	return files, nil
})

func TestLoad_FindsAllMistakesInOnePass(t *testing.T) {
	_, problems := policy.Load(mirror.Files{mirror.PolicyFile: []byte(`version: 1
signers: {release: {key: keys/release.pub}}
rules:
  - {match: x.example/**, require: {}}
  - {match: "x.example/[", require: {signers: [other], count: 3}}
deny: {digests: [nonsense]}
default: audit
`)}, commit)
	var codes []string
	for _, p := range problems {
		codes = append(codes, p.Code)
	}
	slices.Sort(codes)
	if want := []string{"POL002", "POL005", "POL011", "POL012", "POL014", "POL015"}; !slices.Equal(codes, want) {
		t.Errorf("got %v, want %v", codes, want)
	}
}

func TestLoad_WithoutAPolicyNothingComesIn(t *testing.T) {
	p, problems := policy.Load(mirror.Files{}, commit)
	if len(problems) != 1 || problems[0].Code != "POL001" {
		t.Errorf("got %v; want one problem POL001", problems)
	}
	for _, p := range []policy.Policy{p, {}} {
		v, err := p.Verifier(policy.Options{At: now}).Verify(t.Context(), action(mirror.Reference{Host: "x.example", Repository: "a"}), nil)
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.NoRule)
		if err != nil {
			t.Error(err)
		}
	}
}

func TestLoad_NeverShowsAKeyThatIsPrivate(t *testing.T) {
	files := keyFiles(t)
	files[mirror.PolicyFile] = []byte("version: 1\nsigners: {a: {key: keys/private.pem}}\n")
	_, problems := policy.Load(files, commit)
	secret := strings.Split(string(files["desired/keys/private.pem"]), "\n")[1]
	if strings.Contains(fmt.Sprint(problems), secret) {
		t.Error("the problem shows the key")
	}
}

func TestPolicy_HashesFollowContentNotOrder(t *testing.T) {
	a, b := newSigner(t, "p256"), newSigner(t, "ed25519")
	keys := map[string]*testenv.Signer{"a": a, "b": b}
	one := "  - {match: x.example/**, require: {signers: [a, b], count: 2}}\n"
	two := "  - {match: y.example/**, stages: [staging, production], require: {pinned: true}}\n"
	base := load(t, keys, "rules:\n"+one+two).Hash()
	same := load(t, keys, "rules:\n"+
		"  - {match: y.example/**, stages: [production, staging], require: {pinned: true}}\n"+
		"  - {match: x.example/**, require: {signers: [b, a], count: 2}, reference: repository}\ndefault: deny\n").Hash()
	if base != same {
		t.Error("the same rules in another order have another hash")
	}
	for name, other := range map[string]mirror.Digest{
		"count":     load(t, keys, "rules:\n"+strings.Replace(one, "count: 2", "count: 1", 1)+two).Hash(),
		"reference": load(t, keys, "rules:\n"+strings.Replace(one, "}}", "}, reference: any}", 1)+two).Hash(),
		"deny":      load(t, keys, "rules:\n"+one+two+"deny: {repos: [z.example/**]}\n").Hash(),
		"key":       load(t, map[string]*testenv.Signer{"a": b, "b": a}, "rules:\n"+one+two).Hash(),
	} {
		if other == base {
			t.Errorf("another %s has the same hash", name)
		}
	}
}
