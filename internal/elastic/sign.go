package elastic

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Signer signs packages with an OpenPGP key.
type Signer struct {
	key  *openpgp.Entity
	made time.Time // that signatures carry
}

// minRSA is the shortest RSA key that signs; a shorter one would be refused by those who verify.
const minRSA = 2048

// NewSigner reads an armored private key; passphrase is empty for one that has none. Errors quote nothing of either.
func NewSigner(armored, passphrase []byte) (Signer, error) {
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(armored))
	blocks := bytes.Count(armored, []byte("-----BEGIN PGP ")) // of which only the first was read
	switch {
	case err != nil:
		return Signer{}, errors.New("no readable armored OpenPGP key: export one with gpg --armor --export-secret-keys")
	case len(ring) != 1 || blocks != 1:
		return Signer{}, errors.New("several OpenPGP keys in one file: want one")
	case ring[0].PrivateKey == nil:
		return Signer{}, errors.New("a public OpenPGP key: signing needs the private one")
	}
	s := Signer{key: ring[0]}
	s.made = s.lastChanged()
	key, ok := s.key.SigningKey(s.made)
	switch {
	case !ok:
		return Signer{}, errors.New("the OpenPGP key cannot sign: it is revoked, or made for something else")
	case key.PrivateKey == nil || key.PrivateKey.Dummy():
		return Signer{}, errors.New("the OpenPGP key lacks the private part that signs")
	}
	if key.PrivateKey.Encrypted {
		if len(passphrase) == 0 {
			return Signer{}, errors.New("the OpenPGP key has a passphrase, and none is given")
		}
		if err := key.PrivateKey.Decrypt(passphrase); err != nil {
			return Signer{}, errors.New("the passphrase does not open the OpenPGP key")
		}
	}
	return s, deterministic(key.PublicKey)
}

// deterministic refuses keys whose signatures differ each time: each would be another package to everybody.
func deterministic(key *packet.PublicKey) error {
	switch key.PubKeyAlgo {
	case packet.PubKeyAlgoEdDSA, packet.PubKeyAlgoEd25519:
		return nil
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
		if bits, err := key.BitLength(); err != nil || bits < minRSA {
			return fmt.Errorf("an RSA key of less than %d bits", minRSA)
		}
		return nil
	}
	return errors.New("an OpenPGP key of this kind signs the same bytes differently each time: want RSA or Ed25519")
}

// lastChanged gives when the key got its present form. A signature cannot be older, or Kibana takes the key for one that was
// not valid yet; and it is not the time of signing, so that the same package has the same signature tomorrow.
func (s Signer) lastChanged() time.Time {
	last := s.key.PrimaryKey.CreationTime
	later := func(sig *packet.Signature) {
		if sig != nil && sig.CreationTime.After(last) {
			last = sig.CreationTime
		}
	}
	later(s.key.SelfSignature)
	for _, id := range s.key.Identities {
		later(id.SelfSignature)
	}
	for _, sub := range s.key.Subkeys {
		later(sub.Sig)
	}
	return last.UTC()
}

// Sign gives the armored detached signature of a zip: the same for the same bytes and key.
func (s Signer) Sign(zip io.Reader) ([]byte, error) {
	var b bytes.Buffer
	salted := false // the library adds random bytes to be safe from faults of a processor
	config := &packet.Config{DefaultHash: crypto.SHA512, Time: func() time.Time { return s.made }, NonDeterministicSignaturesViaNotation: &salted}
	if err := openpgp.ArmoredDetachSign(&b, s.key, zip, config); err != nil {
		return nil, fmt.Errorf("sign package: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// Fingerprint names the key, as policy and gpg write it.
func (s Signer) Fingerprint() string {
	return strings.ToUpper(hex.EncodeToString(s.key.PrimaryKey.Fingerprint))
}

// Expires says until when the key is valid; the zero time is for ever.
func (s Signer) Expires() time.Time {
	id := s.key.PrimaryIdentity()
	if id == nil || id.SelfSignature == nil || id.SelfSignature.KeyLifetimeSecs == nil || *id.SelfSignature.KeyLifetimeSecs == 0 {
		return time.Time{}
	}
	return s.key.PrimaryKey.CreationTime.Add(time.Duration(*id.SelfSignature.KeyLifetimeSecs) * time.Second)
}

// SignArtifact gives an artifact of PackHere that has no signature with one.
func (s Signer) SignArtifact(bare mirror.Artifact) (mirror.Artifact, error) {
	layers, err := Open(bare.Manifest)
	if err != nil {
		return mirror.Artifact{}, err
	}
	zip, there := bare.Blobs[layers.Zip.Digest]
	if !there {
		return mirror.Artifact{}, errors.New("its zip is not at hand")
	}
	f, err := decodeFacts(bare.Blobs[layers.Facts.Digest])
	if err != nil {
		return mirror.Artifact{}, err
	}
	signature, err := s.Sign(bytes.NewReader(zip))
	if err != nil {
		return mirror.Artifact{}, err
	}
	return PackHere(bare.Image, zip, signature, f), nil
}
