package git

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"golang.org/x/crypto/ssh"
)

func sshKey(t *testing.T, key any) (private []byte, public string) {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "test")
	if err != nil {
		t.Fatal(err)
	}
	private = pem.EncodeToMemory(block)
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return private, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

func signedCommit(t *testing.T, s Signer) (dir, id string) {
	t.Helper()
	g := fleet(t)
	parent := write(t, g, map[string]string{"desired/a.yaml": "a"})
	o := options(t, g)
	o.Sign = s
	r := open(t, o)
	fetch(t, r)
	id, err := r.Commit(t.Context(), parent, change(map[string]string{"rendered/x": "x"}, "rendered"))
	if err != nil {
		t.Fatal(err)
	}
	return g.Dir(), id
}

func TestCommit_SSHSignatureConvincesGit(t *testing.T) {
	for _, tool := range []string{"git", "ssh-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s", tool)
		}
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{"ed25519": ed, "rsa": r, "ecdsa": ec} {
		t.Run(name, func(t *testing.T) {
			private, public := sshKey(t, key)
			s, err := SSHSigner(private)
			if err != nil {
				t.Fatal(err)
			}
			dir, id := signedCommit(t, s)
			allowed := filepath.Join(t.TempDir(), "allowed")
			if err := os.WriteFile(allowed, []byte("poundlock@site.example "+public+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("git", "--git-dir", dir, "-c", "gpg.ssh.allowedSignersFile="+allowed, "verify-commit", "-v", id).CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte(`Good "git" signature for poundlock@site.example`)) {
				t.Errorf("git verify-commit: %v\n%s", err, out)
			}
		})
	}
}

func TestCommit_OpenPGPSignatureCoversTheCommit(t *testing.T) {
	entity, err := openpgp.NewEntity("Poundlock", "", "poundlock@site.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	var armored bytes.Buffer
	w, err := armor.Encode(&armored, openpgp.PrivateKeyType, nil)
	if err == nil {
		err = entity.SerializePrivate(w, nil)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenPGPSigner(armored.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	dir, id := signedCommit(t, s)
	raw, err := exec.Command("git", "--git-dir", dir, "cat-file", "commit", id).Output()
	if err != nil {
		t.Skipf("there is no git binary: %v", err)
	}
	before, rest, ok := strings.Cut(string(raw), "gpgsig ")
	signature, after, ok2 := strings.Cut(rest, "\n\n")
	if !ok || !ok2 {
		t.Fatalf("no signature in\n%s", raw)
	}
	signature = strings.ReplaceAll(signature, "\n ", "\n")
	payload := strings.TrimSuffix(before, "\n") + "\n\n" + after
	if _, err := openpgp.CheckArmoredDetachedSignature(openpgp.EntityList{entity}, strings.NewReader(payload), strings.NewReader(signature), nil); err != nil {
		t.Errorf("%v over\n%s", err, raw)
	}
}

func TestSigners_RefuseKeysTheyCannotUse(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(ed, "test", []byte("passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{"locked": pem.EncodeToMemory(locked), "garbage": []byte(secret), "empty": nil} {
		_, sshErr := SSHSigner(key)
		_, pgpErr := OpenPGPSigner(key)
		if sshErr == nil || pgpErr == nil || strings.Contains(sshErr.Error()+pgpErr.Error(), secret) {
			t.Errorf("%s: %v, %v", name, sshErr, pgpErr)
		}
	}
}
