package policy

import (
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
	if len(got) != 2 || got[0] != (Signer{"a", "ECDSA P-256"}) || got[1] != (Signer{"b", "Ed25519"}) {
		t.Errorf("got %v", got)
	}
}
