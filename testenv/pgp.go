package testenv

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// PGPOptions vary a PGPKey; the zero value is an Ed25519 key of 2026 that never expires, which is made in no time.
type PGPOptions struct {
	RSABits  int           // an RSA key of so many bits instead
	Created  time.Time     // when the key was made
	Lifetime time.Duration // how long it is good; 0 is for ever
}

// PGPKey is a throw-away OpenPGP key that signs packages.
type PGPKey struct {
	entity *openpgp.Entity
	config packet.Config
}

// pgpTime is when keys and signatures were made that say nothing else.
var pgpTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// NewPGPKey makes a key; name is the person or team that it is of.
func NewPGPKey(name string, o PGPOptions) (*PGPKey, error) {
	if o.Created.IsZero() {
		o.Created = pgpTime
	}
	k := &PGPKey{config: packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA512,
		Time: func() time.Time { return o.Created }, KeyLifetimeSecs: uint32(o.Lifetime / time.Second)}}
	if o.RSABits > 0 {
		k.config.Algorithm, k.config.RSABits = packet.PubKeyAlgoRSA, o.RSABits
	}
	var err error
	if k.entity, err = openpgp.NewEntity(name, "", strings.ToLower(strings.ReplaceAll(name, " ", "."))+"@packages.example", &k.config); err != nil {
		return nil, fmt.Errorf("testenv: make an OpenPGP key: %w", err)
	}
	return k, nil
}

// Fingerprint gives the fingerprint of the primary key, in upper case as gpg prints it.
func (k *PGPKey) Fingerprint() string {
	return strings.ToUpper(hex.EncodeToString(k.entity.PrimaryKey.Fingerprint))
}

// Public gives the armored public key.
func (k *PGPKey) Public() string {
	var b bytes.Buffer
	w := must(armor.Encode(&b, openpgp.PublicKeyType, nil))
	if err := k.entity.Serialize(w); err != nil {
		panic(err) // into memory
	}
	_ = w.Close()
	return b.String() + "\n"
}

// Private gives the armored private key, without a passphrase.
func (k *PGPKey) Private() string {
	var b bytes.Buffer
	w := must(armor.Encode(&b, openpgp.PrivateKeyType, nil))
	if err := k.entity.SerializePrivateWithoutSigning(w, nil); err != nil {
		panic(err) // into memory
	}
	_ = w.Close()
	return b.String() + "\n"
}

// Sign gives the armored detached signature of data as a build of packages makes it: binary, SHA-512, with the package in
// a header that nothing vouches for, and no newline at its end.
func (k *PGPKey) Sign(data []byte, of string) ([]byte, error) {
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.SignatureType, map[string]string{"Version": of, "Comment": "Signed by a throw-away key of testenv"})
	if err != nil {
		return nil, err
	}
	if err := openpgp.DetachSign(w, k.entity, bytes.NewReader(data), &k.config); err != nil {
		return nil, fmt.Errorf("testenv: sign %s: %w", of, err)
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
