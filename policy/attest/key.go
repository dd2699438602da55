package attest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/poundlock/poundlock/policy/trust"
)

// Key is a key of the site: it signs statements, and what it verifies counts as ours. The private half stays inside a
// function, so that nothing that prints a value can show it.
type Key struct {
	sign   func(message []byte) ([]byte, error)
	public crypto.PublicKey
	pem    []byte
	signer trust.Signer
}

// What is wrong with a key; nothing of the key or of its password is told.
var (
	ErrNoKey       = errors.New("it holds no private key in PEM form that is known: as cosign generate-key-pair makes it, PKCS #8, or EC")
	ErrPassword    = errors.New("the password does not open the key")
	ErrNoPassword  = errors.New("the key is encrypted and no password is given")
	ErrNotNeeded   = errors.New("a password is given and the key is not encrypted: see whether it is the right file")
	errUnsupported = errors.New("keys of this type are not supported: want ECDSA P-256 or P-384, RSA of 2048, 3072 or 4096 bits, or Ed25519")
)

// LoadKey reads a private key: encrypted as cosign does it, encrypted or plain PKCS #8, or plain EC. The password
// is empty for a key without one.
func LoadKey(data, password []byte) (*Key, error) {
	block, _ := pem.Decode(append(bytes.TrimSpace(data), '\n'))
	if block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, ErrNoKey
	}
	encrypted := strings.HasPrefix(block.Type, "ENCRYPTED ")
	switch {
	case encrypted && len(password) == 0:
		return nil, ErrNoPassword
	case !encrypted && len(password) > 0:
		return nil, ErrNotNeeded
	}
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(pem.EncodeToMemory(block), cryptoutils.StaticPasswordFunc(password))
	switch {
	case err != nil && encrypted: // what the libraries say may repeat what they read
		return nil, ErrPassword
	case err != nil:
		return nil, ErrNoKey
	}
	return newKey(private)
}

func newKey(private crypto.PrivateKey) (*Key, error) {
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, errUnsupported
	}
	k := &Key{public: signer.Public()}
	var err error
	if k.pem, err = cryptoutils.MarshalPublicKeyToPEM(k.public); err != nil {
		return nil, errUnsupported
	}
	if k.signer, err = trust.NewKey("this site", k.pem, trust.KeyOptions{}); err != nil {
		return nil, errUnsupported
	}
	if ec, ok := private.(*ecdsa.PrivateKey); ok {
		k.sign = func(message []byte) ([]byte, error) { return repeatable(ec, message) }
		return k, nil
	}
	// RSA signs by PKCS #1 v1.5 and Ed25519 pre-hashed, as cosign does; both always give the same signature.
	s, err := signature.LoadDefaultSigner(private, options.WithED25519ph())
	if err != nil {
		return nil, errUnsupported
	}
	k.sign = func(message []byte) ([]byte, error) { return s.SignMessage(bytes.NewReader(message)) }
	return k, nil
}

// repeatable signs as RFC 6979 says, so that the same statement has the same signature whenever it is made: what a
// crash left half attached is found to be there by its digest, and no second signature is laid beside it.
func repeatable(key *ecdsa.PrivateKey, message []byte) ([]byte, error) {
	if key.Params().BitSize > 256 { // the hashes that cosign takes for P-256 and P-384
		sum := sha512.Sum384(message)
		return key.Sign(nil, sum[:], crypto.SHA384)
	}
	sum := sha256.Sum256(message)
	return key.Sign(nil, sum[:], crypto.SHA256)
}

// PublicPEM gives the public half, as clusters and cosign take it.
func (k *Key) PublicPEM() []byte { return bytes.Clone(k.pem) }

// Identity names the key: "key sha256:..." of its public half, as in proofs.
func (k *Key) Identity() string { return k.signer.Identity() }

// Signer accepts what this key signed.
func (k *Key) Signer() trust.Signer { return k.signer }

// String names the key.
func (k *Key) String() string { return fmt.Sprintf("%s, %s", k.signer.Kind(), k.Identity()) }
