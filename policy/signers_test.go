package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

func TestSigners_NameEachKeyAndItsKind(t *testing.T) {
	files := mirror.Files{"desired/policy.yaml": []byte("version: 1\nsigners:\n  b: {key: keys/b.pub}\n  a: {key: keys/a.pub}\nrules:\n  - {match: \"**\", require: {signers: [a, b]}}\n")}
	for name, kind := range map[string]string{"a": "p256", "b": "ed25519"} {
		s, err := testenv.NewSigner(kind)
		if err != nil {
			t.Fatal(err)
		}
		files["desired/keys/"+name+".pub"] = []byte(s.PublicPEM())
	}
	p, problems := Load(files, "c")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got := p.Signers()
	for i, s := range got {
		if !strings.HasPrefix(s.Identity, "key sha256:") {
			t.Errorf("signer %s has the identity %q, which is that of no key", s.Name, s.Identity)
		}
		got[i].Identity = ""
	}
	if want := []Signer{{Name: "a", Kind: "ECDSA P-256", File: mirror.PolicyFile}, {Name: "b", Kind: "Ed25519", File: mirror.PolicyFile}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Needs gives what a floor is to be read with: what lies below its folder and is named, whatever else is wrong.
func TestNeeds_NamesWhatLiesBelow(t *testing.T) {
	document := "version: 1\nroots:\n  corp: {file: trust/root.json}\n  mirror: {tuf: trust/tuf}\n  pki: {ca: /etc/ca.pem}\n" +
		"signers:\n  a: {key: keys/a.pub}\n  b: {key: ../b.pub}\n  c: {keyless: {root: corp}}\n  d: {key: keys/a.pub}\n  e: [1]\n"
	if got, want := Needs([]byte(document)), []string{"keys/a.pub", "trust/root.json", "trust/tuf"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, broken := range []string{"", "signers: [a]", "{", "roots: 3\nsigners: {a: {key: {b: c}}}"} {
		if got := Needs([]byte(broken)); len(got) != 0 {
			t.Errorf("%q names %v", broken, got)
		}
	}
}
