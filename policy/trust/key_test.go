package trust_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

func TestNewKey_HashIsThatOfItsSignatures(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadSigner(key, crypto.SHA256) // as older clients did
	if err != nil {
		t.Fatal(err)
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	d := mirror.DigestOf([]byte("image"))
	body := fmt.Sprintf(`{"critical":{"identity":{"docker-reference":"a/b"},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"}}`, d)
	sig, err := signer.SignMessage(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	it := trust.Item{Body: []byte(body), Signature: base64.StdEncoding.EncodeToString(sig)}
	for hash, want := range map[string]string{"sha256": "", "": "invalid signature", "sha512": "invalid signature"} {
		s, err := trust.NewKey("old", pem, trust.KeyOptions{Hash: hash})
		if err != nil {
			t.Fatal(err)
		}
		_, err = prove(t, it, s, d)
		wantError(t, err, want)
	}
	_, err = trust.NewKey("old", pem, trust.KeyOptions{Hash: "md5"})
	wantError(t, err, "is not known")
	_, err = trust.NewKey("new", []byte(newSigner(t, "ed25519").PublicPEM()), trust.KeyOptions{Hash: "sha512"})
	wantError(t, err, "leave hash out")
}
