package elastic

import (
	"bytes"
	"crypto"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// throwaway makes a key, its private and its public part armored.
func throwaway(t *testing.T, c packet.Config, passphrase string) (private, public []byte) {
	t.Helper()
	c.DefaultHash = crypto.SHA256
	e, err := openpgp.NewEntity("Acme Packages", "", "packages@example.org", &c)
	if err != nil {
		t.Fatal(err)
	}
	write := func(kind string, serialize func(*bytes.Buffer) error) []byte {
		var raw, b bytes.Buffer
		if err := serialize(&raw); err != nil {
			t.Fatal(err)
		}
		w, err := armor.Encode(&b, kind, nil)
		if err == nil {
			_, err = w.Write(raw.Bytes())
		}
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	public = write(openpgp.PublicKeyType, func(b *bytes.Buffer) error { return e.Serialize(b) })
	if passphrase != "" {
		if err := e.EncryptPrivateKeys([]byte(passphrase), nil); err != nil {
			t.Fatal(err)
		}
	}
	return write(openpgp.PrivateKeyType, func(b *bytes.Buffer) error { return e.SerializePrivateWithoutSigning(b, nil) }), public
}

var ed25519 = packet.Config{Algorithm: packet.PubKeyAlgoEdDSA}

func verify(t *testing.T, public, body, signature []byte) error {
	t.Helper()
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(public))
	if err != nil {
		t.Fatal(err)
	}
	_, err = openpgp.CheckArmoredDetachedSignature(ring, bytes.NewReader(body), bytes.NewReader(signature), nil)
	return err
}

func TestSigner_GivesOneSignatureThatVerifies(t *testing.T) {
	for name, c := range map[string]packet.Config{"Ed25519": ed25519, "RSA": {RSABits: 2048}} {
		private, public := throwaway(t, c, "")
		body := []byte("a zip")
		var signatures [][]byte
		for range 2 {
			s, err := NewSigner(private, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			signature, err := s.Sign(bytes.NewReader(body))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			signatures = append(signatures, signature)
		}
		if !bytes.Equal(signatures[0], signatures[1]) {
			t.Errorf("%s: two signatures of the same bytes differ", name)
		}
		if len(signatures[0]) > MaxSignature {
			t.Errorf("%s: %d bytes", name, len(signatures[0]))
		}
		if err := verify(t, public, body, signatures[0]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := verify(t, public, []byte("another zip"), signatures[0]); err == nil {
			t.Errorf("%s: other bytes verify", name)
		}
	}
}

func TestNewSigner_OpensWithThePassphrase(t *testing.T) {
	private, public := throwaway(t, ed25519, "correct horse")
	s, err := NewSigner(private, []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := s.Sign(strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(t, public, []byte("x"), signature); err != nil {
		t.Error(err)
	}
}

func TestNewSigner_RefusesWhatCannotSign(t *testing.T) {
	locked, public := throwaway(t, ed25519, "correct horse")
	short, _ := throwaway(t, packet.Config{RSABits: 1024}, "")
	one, _ := throwaway(t, ed25519, "")
	curve, _ := throwaway(t, packet.Config{Algorithm: packet.PubKeyAlgoECDSA, Curve: packet.CurveNistP256}, "")
	for _, test := range []struct {
		name            string
		key, passphrase []byte
		want            string
	}{
		{"nothing", nil, nil, "no readable armored"},
		{"text", []byte("hunter2"), nil, "no readable armored"},
		{"a public key", public, nil, "public"},
		{"several keys", append(append(bytes.Clone(one), '\n'), locked...), nil, "want one"},
		{"no passphrase", locked, nil, "none is given"},
		{"wrong passphrase", locked, []byte("battery staple"), "does not open"},
		{"short RSA", short, nil, "2048"},
		{"signatures that differ", curve, nil, "differently each time"},
	} {
		_, err := NewSigner(test.key, test.passphrase)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: have %v, want %q", test.name, err, test.want)
			continue
		}
		for _, secret := range []string{"hunter2", "battery staple", "correct horse"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error tells a secret: %v", test.name, err)
			}
		}
	}
}

// The key of gpg has a passphrase and a subkey, and what it says of itself may be newer than the key: Kibana refuses a
// signature from before that.
func TestSigner_WorksWithKeysOfGPG(t *testing.T) {
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not here")
	}
	home := t.TempDir()
	gpg := func(args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "gpg", append([]string{"--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "correct horse"}, args...)...)
		out, err := cmd.Output()
		if err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				t.Fatalf("gpg %v: %v\n%s", args, err, exit.Stderr)
			}
			t.Fatal(err)
		}
		return out
	}
	t.Cleanup(func() { _ = exec.Command("gpgconf", "--homedir", home, "--kill", "gpg-agent").Run() })
	gpg("--faked-system-time", "20250101T000000!", "--quick-gen-key", "Acme <packages@example.org>", "ed25519", "sign", "0")
	fingerprint := ""
	for line := range strings.Lines(string(gpg("--with-colons", "--list-keys"))) {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" && fingerprint == "" {
			fingerprint = fields[9]
		}
	}
	gpg("--faked-system-time", "20250601T000000!", "--quick-set-expire", fingerprint, "20y")
	s, err := NewSigner(gpg("--armor", "--export-secret-keys"), []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Fingerprint() != fingerprint {
		t.Errorf("fingerprint %s, want %s", s.Fingerprint(), fingerprint)
	}
	if changed := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC); s.made.Before(changed) {
		t.Errorf("signatures are of %s, before the key got its present form at %s", s.made, changed)
	}
	if until := s.Expires(); until.Year() != 2045 {
		t.Errorf("expires %s", until)
	}
	body := []byte("a zip")
	signature, err := s.Sign(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{"a.zip": body, "a.zip.sig": signature} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gpg("--verify", filepath.Join(dir, "a.zip.sig"), filepath.Join(dir, "a.zip"))
	if err := verify(t, gpg("--armor", "--export"), body, signature); err != nil {
		t.Error(err)
	}
}
