package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxKeyFile is the size in bytes above which a file is no public key: RSA-4096 in PEM has 800.
const maxKeyFile = 16 << 10

// ErrPrivateKey means that a private key lies where a public one belongs.
var ErrPrivateKey = errors.New("the file holds a private key")

var (
	errNoKey    = errors.New("the file holds no public key in PEM form")
	errManyKeys = errors.New("the file holds more than one PEM block")
)

// KeyOptions are what is said of a key besides its bytes.
type KeyOptions struct {
	Hash string // sha256, sha384 or sha512 where the key signs over another hash than cosign takes for its type
	Root *Root  // whose timestamps and log entries count as times of its signatures; nil for none
}

// NewKey gives the signer with the public key in a PEM file: ECDSA P-256 or P-384, RSA of 2048, 3072 or 4096 bits,
// or Ed25519.
func NewKey(name string, data []byte, o KeyOptions) (Signer, error) {
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return Signer{}, ErrPrivateKey
	}
	if len(data) > maxKeyFile {
		return Signer{}, fmt.Errorf("the file has %d bytes, a public key at most %d", len(data), maxKeyFile)
	}
	block, rest := pem.Decode(data)
	if block == nil {
		return Signer{}, errNoKey
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return Signer{}, errManyKeys
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey(data)
	if err != nil {
		return Signer{}, fmt.Errorf("%w: %w", errNoKey, err)
	}
	kind, err := kindOf(public)
	if err != nil {
		return Signer{}, err
	}
	// The default of each key type is what cosign signs with: Ed25519 pre-hashed, P-384 over SHA-384.
	verifier, err := signature.LoadDefaultVerifier(public, options.WithED25519ph())
	if err != nil {
		return Signer{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Signer{}, err
	}
	identity := "key " + mirror.DigestOf(der).String()
	return Signer{name: name, kind: kind, identity: identity, hash: mirror.DigestOf(data), accept: byKey{identity, verifier}}, nil
}

// kindOf names the type of a key; an error says that it is none that counts.
func kindOf(public crypto.PublicKey) (string, error) {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return "", fmt.Errorf("ECDSA on %s is not supported: want P-256 or P-384", key.Params().Name)
		}
		return "ECDSA " + key.Params().Name, nil
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits != 2048 && bits != 3072 && bits != 4096 {
			return "", fmt.Errorf("RSA of %d bits is not supported: want 2048, 3072 or 4096", bits)
		}
		return fmt.Sprintf("RSA %d", key.N.BitLen()), nil
	case ed25519.PublicKey:
		return "Ed25519", nil
	}
	return "", fmt.Errorf("keys of type %T are not supported", public)
}
