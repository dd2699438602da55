package trust

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/poundlock/poundlock/internal/mirror"
)

const realEPR = "../../../shared/realdata/epr"

func realFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(realEPR, name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the real files are not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var pgpNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// pgpConfig makes keys and signatures of a moment.
func pgpConfig(made time.Time) *packet.Config {
	return &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA512, Time: func() time.Time { return made }}
}

var pgpMade = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)

func pgpEntity(t testing.TB, o *packet.Config) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Package Maker", "", "maker@packages.example", o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func pgpPublicOf(t testing.TB, all ...*openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if err := e.Serialize(w); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pgpSign(t testing.TB, e *openpgp.Entity, data []byte, o *packet.Config) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&b, e, bytes.NewReader(data), o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zipOf is a small package.
func zipOf(t testing.TB, folder string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(folder + "/manifest.yml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("name: " + folder)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// over counts how often the bytes are read.
type over struct {
	data  []byte
	reads int
	err   error
	made  map[string]string
}

func (o *over) signed() *Signed {
	return &Signed{Digest: mirror.DigestOf(o.data), Made: o, Open: func(context.Context) (io.ReadCloser, error) {
		if o.reads++; o.err != nil {
			return nil, o.err
		}
		return io.NopCloser(bytes.NewReader(o.data)), nil
	}}
}

func (o *over) Made(key string) (string, bool) { folder, ok := o.made[key]; return folder, ok }

func (o *over) RememberMade(key, folder string) {
	if o.made == nil {
		o.made = map[string]string{}
	}
	o.made[key] = folder
}

func provePGP(t testing.TB, key, signature []byte, o *over) (Proof, error) {
	t.Helper()
	s, err := NewPGP("vendor", key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Prepare(Item{Form: Detached, Body: signature, Over: o.signed()})
	if err != nil {
		return Proof{}, err
	}
	return c.Prove(t.Context(), s, mirror.DigestOf([]byte("artifact")), pgpNow)
}

func TestPGP_ASignatureCountsForItsKeyAlone(t *testing.T) {
	data := zipOf(t, "nginx-1.20.0")
	o := pgpConfig(pgpMade)
	key := pgpEntity(t, o)
	good := pgpSign(t, key, data, o)
	p, err := provePGP(t, pgpPublicOf(t, key), good, &over{data: data})
	if err != nil || p.Identity != "pgp "+fingerprint(key.PrimaryKey) || len(p.Names) != 1 || p.Names[0] != "nginx-1.20.0" || !p.OfPackage() || !p.Until.IsZero() {
		t.Fatalf("got %+v, %v", p, err)
	}
	withHeaders := bytes.Replace(good, []byte("-----BEGIN PGP SIGNATURE-----\n"), []byte("-----BEGIN PGP SIGNATURE-----\nVersion: other-9.9.9\nComment: nobody signs this\n"), 1)
	crlf := bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n"))
	for name, text := range map[string][]byte{"headers": withHeaders, "other line ends": crlf, "no newline at its end": bytes.TrimSpace(good)} {
		if _, err := provePGP(t, pgpPublicOf(t, key), text, &over{data: data}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	binary := unarmor(t, good)
	future := pgpConfig(pgpNow.Add(time.Hour))
	ended := pgpConfig(pgpMade)
	ended.SigLifetimeSecs = 3600
	for _, tt := range []struct {
		name      string
		signature []byte
		want      string
		stranger  bool
	}{
		{"of other content", pgpSign(t, key, zipOf(t, "apache-1.0.0"), o), "did not sign these bytes", false},
		{"by another key", pgpSign(t, pgpEntity(t, o), data, o), "it is by the key", true},
		{"binary", binary, "binary", false},
		{"a text", []byte("e16ddaf4f91df524b27bf4f2e4b1ac09\n"), "no armored OpenPGP signature", false},
		{"empty", []byte(" \n"), "empty", false},
		{"twice", append(append([]byte{}, good...), good...), "no armored OpenPGP signature", false},
		{"cut short", append(append([]byte{}, good[:len(good)/2]...), []byte("\n-----END PGP SIGNATURE-----")...), "malformed", false},
		{"two packets", rearmor(t, append(append([]byte{}, binary...), binary...)), "more than one OpenPGP packet", false},
		{"a key", pgpPublicOf(t, key), "no armored OpenPGP signature", false},
		{"a key in the armor of a signature", rearmor(t, unarmor(t, pgpPublicOf(t, key))), "no detached signature", false},
		{"over a text", pgpSignText(t, key, data, o), "type 0x01", false},
		{"over a weak hash", pgpSignBy(t, key, data, crypto.SHA224, pgpMade), "too weak", false},
		{"of the future", pgpSign(t, key, data, future), "still to come", false},
		{"past its own end", pgpSign(t, key, data, ended), "past the end", false},
		{"older than its key", pgpSignBy(t, key, data, crypto.SHA512, pgpMade.Add(-time.Hour)), "there was no key", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := provePGP(t, pgpPublicOf(t, key), tt.signature, &over{data: data})
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrStranger) != tt.stranger {
				t.Errorf("got %v (stranger %v), want %q", err, errors.Is(err, ErrStranger), tt.want)
			}
		})
	}
}

func unarmor(t testing.TB, text []byte) []byte {
	t.Helper()
	block, err := armor.Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(block.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func rearmor(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, pgpSignature, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pgpSignText(t testing.TB, e *openpgp.Entity, data []byte, o *packet.Config) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.ArmoredDetachSignText(&b, e, bytes.NewReader(data), o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pgpSignBy signs with any hash and as of any moment, which the library does not do by itself.
func pgpSignBy(t testing.TB, e *openpgp.Entity, data []byte, hash crypto.Hash, at time.Time) []byte {
	t.Helper()
	sig := &packet.Signature{Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: e.PrimaryKey.PubKeyAlgo, Hash: hash, CreationTime: at, IssuerKeyId: &e.PrimaryKey.KeyId}
	h := hash.New()
	h.Write(data)
	if err := sig.Sign(h, e.PrivateKey, pgpConfig(at)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := sig.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return rearmor(t, b.Bytes())
}

// TestPGP_WhatBecomesOfAKey: the signature is good; the key that made it is not what it was.
func TestPGP_WhatBecomesOfAKey(t *testing.T) {
	data := zipOf(t, "nginx-1.20.0")
	o := pgpConfig(pgpMade)
	short := pgpConfig(pgpMade)
	short.KeyLifetimeSecs = 24 * 3600
	long := pgpConfig(pgpMade)
	long.KeyLifetimeSecs = 2 * 365 * 24 * 3600
	revoke := func(reason packet.ReasonForRevocation, at time.Time) func(*testing.T) (*openpgp.Entity, []byte) {
		return func(t *testing.T) (*openpgp.Entity, []byte) {
			e := pgpEntity(t, o)
			sig := pgpSign(t, e, data, o)
			if err := e.RevokeKey(reason, "", pgpConfig(at)); err != nil {
				t.Fatal(err)
			}
			return e, sig
		}
	}
	subkey := func(change func(*testing.T, *openpgp.Entity)) func(*testing.T) (*openpgp.Entity, []byte) {
		return func(t *testing.T) (*openpgp.Entity, []byte) {
			e := pgpEntity(t, o)
			if err := e.AddSigningSubkey(o); err != nil {
				t.Fatal(err)
			}
			sig := pgpSign(t, e, data, o)
			change(t, e)
			return e, sig
		}
	}
	for _, tt := range []struct {
		name string
		make func(*testing.T) (*openpgp.Entity, []byte)
		want string // "" for a proof
		ends bool
	}{
		{"as it was", func(t *testing.T) (*openpgp.Entity, []byte) { e := pgpEntity(t, o); return e, pgpSign(t, e, data, o) }, "", false},
		{"ends later", func(t *testing.T) (*openpgp.Entity, []byte) {
			e := pgpEntity(t, long)
			return e, pgpSign(t, e, data, long)
		}, "", true},
		{"ended", func(t *testing.T) (*openpgp.Entity, []byte) {
			e := pgpEntity(t, short)
			return e, pgpSign(t, e, data, short)
		}, "ended at 2026-01-03T00:00:00Z", false},
		{"lost", revoke(packet.KeyCompromised, pgpMade.Add(time.Hour)), "is revoked", false},
		{"retired", revoke(packet.KeyRetired, pgpMade.Add(time.Hour)), "is revoked", false},
		{"lost, told later", revoke(packet.KeyCompromised, pgpNow.Add(time.Hour)), "is revoked", false},
		{"retires later", revoke(packet.KeyRetired, pgpNow.Add(time.Hour)), "", false},
		{"a subkey signs", subkey(func(*testing.T, *openpgp.Entity) {}), "", false},
		{"the subkey is revoked", subkey(func(t *testing.T, e *openpgp.Entity) {
			if err := e.RevokeSubkey(&e.Subkeys[len(e.Subkeys)-1], packet.KeyRetired, "", o); err != nil {
				t.Fatal(err)
			}
		}), "the subkey", false},
		{"the subkey may not sign any more", subkey(func(t *testing.T, e *openpgp.Entity) {
			e.Subkeys[len(e.Subkeys)-1].Sig.FlagSign = false
			sub := &e.Subkeys[len(e.Subkeys)-1]
			if err := sub.Sig.SignKey(sub.PublicKey, e.PrivateKey, o); err != nil {
				t.Fatal(err)
			}
		}), "may not sign", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, sig := tt.make(t)
			p, err := provePGP(t, pgpPublicOf(t, e), sig, &over{data: data})
			switch {
			case tt.want == "" && (err != nil || p.Identity != "pgp "+fingerprint(e.PrimaryKey)):
				t.Errorf("got %+v, %v", p, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			case p.Until.IsZero() == tt.ends:
				t.Errorf("got an end at %s", p.Until)
			}
		})
	}
}

func TestNewPGP_RefusesWhatIsNoKeyThatCounts(t *testing.T) {
	o := pgpConfig(pgpMade)
	good := pgpPublicOf(t, pgpEntity(t, o))
	weak := pgpConfig(pgpMade)
	weak.Algorithm, weak.RSABits, weak.MinRSABits = packet.PubKeyAlgoRSA, 1024, 1024
	var private bytes.Buffer
	w, err := armor.Encode(&private, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := pgpEntity(t, o).SerializePrivateWithoutSigning(w, o); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"a text", []byte("hello"), "no armored OpenPGP public key"},
		{"empty", nil, "no armored OpenPGP public key"},
		{"binary", unarmor(t, good), "no armored OpenPGP public key"},
		{"a private key", private.Bytes(), "private key"},
		{"two keys in one armor", pgpPublicOf(t, pgpEntity(t, o), pgpEntity(t, o)), "more than one key"},
		{"two armors", append(append([]byte{}, good...), good...), "more than one key"},
		{"short RSA", pgpPublicOf(t, pgpEntity(t, weak)), "1024"},
		{"cut short", append(append([]byte{}, good[:len(good)/2]...), []byte("\n-----END PGP PUBLIC KEY BLOCK-----")...), "public key"},
		{"too large", append(good, make([]byte, maxPGPKey)...), "bytes"},
		{"a signature", pgpSign(t, pgpEntity(t, o), []byte("x"), o), "no armored OpenPGP public key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewPGP("vendor", tt.data); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestPGP_BytesAreReadOnce: who is asked about first, what is remembered, and what is never read.
func TestPGP_BytesAreReadOnce(t *testing.T) {
	data := zipOf(t, "nginx-1.20.0")
	o := pgpConfig(pgpMade)
	key, other := pgpEntity(t, o), pgpEntity(t, o)
	sig := pgpSign(t, key, data, o)
	bytesOf := &over{data: data}
	for range 3 {
		if _, err := provePGP(t, pgpPublicOf(t, key), sig, bytesOf); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := provePGP(t, pgpPublicOf(t, other), sig, bytesOf); !errors.Is(err, ErrStranger) {
		t.Errorf("got %v", err)
	}
	if bytesOf.reads != 1 {
		t.Errorf("the bytes were read %d times, want once", bytesOf.reads)
	}
	if err := key.RevokeKey(packet.KeyCompromised, "", o); err != nil {
		t.Fatal(err)
	}
	if _, err := provePGP(t, pgpPublicOf(t, key), sig, bytesOf); err == nil {
		t.Error("what is remembered of the bytes admits a key that is revoked")
	}
	other1 := &over{data: zipOf(t, "apache-1.0.0"), made: bytesOf.made}
	if _, err := provePGP(t, pgpPublicOf(t, pgpEntityAgain(t, key)), sig, other1); err == nil {
		t.Error("what is remembered of some bytes counts for others")
	}

	broken := &over{data: data, err: errors.New("reset")}
	if _, err := provePGP(t, pgpPublicOf(t, other), pgpSign(t, other, data, o), broken); !errors.Is(err, ErrUnread) {
		t.Errorf("got %v, want that the bytes could not be read", err)
	}
	lied := &over{data: data}
	signed := lied.signed()
	signed.Digest = mirror.DigestOf([]byte("other bytes"))
	s, err := NewPGP("vendor", pgpPublicOf(t, other))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Prepare(Item{Form: Detached, Body: pgpSign(t, other, data, o), Over: signed})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Prove(t.Context(), s, mirror.Digest{}, pgpNow); !errors.Is(err, mirror.ErrDigestMismatch) || len(lied.made) > 0 {
		t.Errorf("got %v, remembered %v", err, lied.made)
	}
}

// pgpEntityAgain is a key without its revocations.
func pgpEntityAgain(t *testing.T, e *openpgp.Entity) *openpgp.Entity {
	t.Helper()
	e.Revocations = nil
	return e
}

func TestPGP_WhatIsSignedSaysWhichPackageItIs(t *testing.T) {
	o := pgpConfig(pgpMade)
	key := pgpEntity(t, o)
	for name, data := range map[string][]byte{"no zip": []byte("PK? no"), "no folder": zipFile(t, "manifest.yml"), "a strange folder": zipFile(t, "a\nb/manifest.yml")} {
		if _, err := provePGP(t, pgpPublicOf(t, key), pgpSign(t, key, data, o), &over{data: data}); err == nil || !strings.Contains(err.Error(), "what is signed is no") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func zipFile(t *testing.T, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if _, err := w.Create(name); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPGP_RealFiles: Elastic's production key, and a signature that elastic-package made with another one.
func TestPGP_RealFiles(t *testing.T) {
	elastic, err := NewPGP("elastic", realFile(t, "sigs/GPG-KEY-elasticsearch.asc"))
	if err != nil || elastic.Identity() != "pgp 46095ACC8548582C1A2699A9D27D666CD88E42B4" || elastic.Kind() != "OpenPGP RSA 2048" || !elastic.Ends().IsZero() {
		t.Fatalf("got %+v, %v", elastic, err)
	}
	wrong, err := NewPGP("wrong", realFile(t, "sigs/kibana-wrong_key_public.asc"))
	if err != nil || wrong.Kind() != "OpenPGP RSA 3072" {
		t.Fatalf("got %+v, %v", wrong, err)
	}
	made := &over{data: []byte("some bytes")}
	c, err := Prepare(Item{Form: Detached, Body: realFile(t, "sigs/kibana-valid-1.0.0.zip.sig"), Over: made.signed()})
	if err != nil {
		t.Fatalf("a signature of elastic-package: %v", err)
	}
	for _, s := range []Signer{elastic, wrong} {
		if _, err := c.Prove(t.Context(), s, mirror.Digest{}, pgpNow); !errors.Is(err, ErrStranger) || !strings.Contains(err.Error(), "EA69DC1F612FABF267850741D2A182A7B0E00C14") {
			t.Errorf("%s: got %v", s.Name(), err)
		}
	}
	if made.reads != 0 {
		t.Error("a zip was read for a signature of somebody else")
	}
	if _, err := Prepare(Item{Form: Detached, Body: realFile(t, "zips/example-1.0.1.zip.sig"), Over: made.signed()}); err == nil {
		t.Error("a text passes for a signature")
	}
}

// TestPGP_SignaturesOfGPGCount: made by gpg itself, with RSA and with Ed25519.
func TestPGP_SignaturesOfGPGCount(t *testing.T) {
	gpg, err := exec.LookPath("gpg")
	if err != nil {
		t.Skip("gpg is not here")
	}
	data := zipOf(t, "nginx-1.20.0")
	for _, kind := range []string{"rsa2048", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			home := t.TempDir()
			if err := os.Chmod(home, 0o700); err != nil {
				t.Fatal(err)
			}
			run := func(args ...string) []byte {
				t.Helper()
				var said bytes.Buffer
				cmd := exec.CommandContext(t.Context(), gpg, append([]string{"--homedir", home, "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", "", "--faked-system-time", "20260105T000000!"}, args...)...)
				cmd.Stderr = &said
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("gpg %v: %v\n%s", args, err, said.String())
				}
				return out
			}
			t.Cleanup(func() { _ = exec.Command("gpgconf", "--homedir", home, "--kill", "gpg-agent").Run() })
			run("--quick-generate-key", "Maker <maker@packages.example>", kind, "sign", "never")
			file := filepath.Join(home, "nginx-1.20.0.zip")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			run("--armor", "--digest-algo", "SHA512", "--output", file+".sig", "--detach-sign", file)
			sig, err := os.ReadFile(file + ".sig")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := provePGP(t, run("--armor", "--export"), sig, &over{data: data}); err != nil {
				t.Error(err)
			}
		})
	}
}

func FuzzPGPSignature(f *testing.F) {
	o := pgpConfig(pgpMade)
	key := pgpEntity(f, o)
	data := zipOf(f, "nginx-1.20.0")
	f.Add(pgpSign(f, key, data, o))
	f.Add([]byte("-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----"))
	other := zipOf(f, "apache-1.0.0")
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := provePGP(t, pgpPublicOf(t, key), text, &over{data: other}); err == nil {
			t.Errorf("%q proves %v over bytes that nobody signed", text, p)
		}
	})
}
