package cli

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestVerifyBundle_SpeaksAsConformanceAsks(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, body []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.SignMessage(strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	d := mirror.DigestOf([]byte("content"))
	raw, err := hex.DecodeString(d.Hex)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "x"}},
		"messageSignature":     map[string]any{"signature": sig, "messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": raw}}})
	if err != nil {
		t.Fatal(err)
	}
	bundle, public := write("a.sigstore.json", body), write("key.pub", pem)
	content, other := write("a.txt", []byte("content")), write("b.txt", []byte("other"))
	hollow := write("hollow.json", []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`))
	broken := write("broken.json", []byte("{"))
	identity := []string{"--certificate-identity", "a@corp.example", "--certificate-oidc-issuer", "https://oidc.corp.example"}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"file":             {[]string{"--key", public, content}, exitOK, "verified: signed by key sha256:"},
		"digest":           {[]string{"--key", public, d.String()}, exitOK, "verified"},
		"hollow root":      {[]string{"--key", public, "--trusted-root", hollow, content}, exitOK, "verified"},
		"another file":     {[]string{"--key", public, other}, exitRefused, "refused: "},
		"another digest":   {[]string{"--key", public, mirror.DigestOf(nil).String()}, exitRefused, "refused: "},
		"no digest":        {[]string{"--key", public, "sha256:x"}, exitFailure, ""},
		"broken root":      {[]string{"--key", public, "--trusted-root", broken, content}, exitRefused, "refused: trusted root"},
		"key and identity": {append(identity, "--key", public, content), exitRefused, "refused: want either a key"},
		"nobody":           {[]string{content}, exitRefused, "refused: want either a key"},
		"identity":         {append(identity, content), exitRefused, "refused: no certificate"},
		"no such file":     {[]string{"--key", public, filepath.Join(dir, "c.txt")}, exitFailure, ""},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, talk := command(t, t.Context(), append([]string{"verify-bundle", "--bundle", bundle}, c.args...)...)
			if code != c.code || !strings.HasPrefix(out, c.want) || strings.Count(out, "\n") > 1 {
				t.Errorf("got code %d, %q, %q; want %d and %q", code, out, talk, c.code, c.want)
			}
		})
	}
}
