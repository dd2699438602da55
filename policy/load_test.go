package policy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

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
		{"no require", "rules:\n  - {match: x.example/**}", "DOC005", "require is missing"},
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

// keyFiles are files of desired/keys/, good and bad, and a set with a stage of its own.
func keyFiles(t *testing.T) mirror.Files {
	t.Helper()
	good := newSigner(t, "p256").PublicPEM()
	block := func(kind string, der []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	odd, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(odd)
	privatePEM := block("PRIVATE KEY", private, err)
	curve, err := x509.MarshalPKIXPublicKey(&odd.PublicKey)
	curvePEM := block("PUBLIC KEY", curve, err)
	// A key of this size cannot be generated any more; its public half needs no prime factors.
	short, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int), 1023, 1), E: 65537})
	return mirror.Files{
		"desired/keys/good.pub":    []byte(good),
		"desired/keys/alias.pub":   []byte("the same key\n" + good),
		"desired/keys/private.pem": privatePEM,
		"desired/keys/cosign.key":  block("ENCRYPTED SIGSTORE PRIVATE KEY", []byte("x"), nil),
		"desired/keys/both.pem":    append([]byte(good), privatePEM...),
		"desired/keys/empty.pub":   nil,
		"desired/keys/two.pub":     []byte(good + good),
		"desired/keys/p521.pub":    curvePEM,
		"desired/keys/rsa1024.pub": block("PUBLIC KEY", short, err),
		"desired/keys/cert.pem":    block("CERTIFICATE", []byte("x"), nil),
		"desired/own.yaml":         []byte("version: 1\nsource: {kind: list}\nstages: [edge, core]\n"),
	}
}

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
