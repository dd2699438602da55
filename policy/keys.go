package policy

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
	"path"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxKeyFile is the size in bytes above which a file is no public key: RSA-4096 in PEM has 800.
const maxKeyFile = 16 << 10

// signer is one named public key.
type signer struct {
	name     string
	spki     mirror.Digest // of the subject public key info: who signed, whatever the signer is called
	file     mirror.Digest // of the key file's bytes
	verifier signature.Verifier
}

var (
	errPrivateKey = errors.New("the file holds a private key")
	errNoKey      = errors.New("the file holds no public key in PEM form")
	errManyKeys   = errors.New("the file holds more than one PEM block")
)

// parseSigner reads a PEM file with one public key: ECDSA P-256 or P-384, RSA of 2048, 3072 or 4096 bits,
// or Ed25519.
func parseSigner(name string, data []byte) (signer, error) {
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return signer{}, errPrivateKey
	}
	if len(data) > maxKeyFile {
		return signer{}, fmt.Errorf("the file has %d bytes, a public key at most %d", len(data), maxKeyFile)
	}
	block, rest := pem.Decode(data)
	if block == nil {
		return signer{}, errNoKey
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return signer{}, errManyKeys
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey(data)
	if err != nil {
		return signer{}, fmt.Errorf("%w: %w", errNoKey, err)
	}
	if err := supported(public); err != nil {
		return signer{}, err
	}
	// The default of each key type is what cosign signs with: Ed25519 pre-hashed, P-384 over SHA-384.
	verifier, err := signature.LoadDefaultVerifier(public, options.WithED25519ph())
	if err != nil {
		return signer{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return signer{}, err
	}
	return signer{name: name, spki: mirror.DigestOf(der), file: mirror.DigestOf(data), verifier: verifier}, nil
}

func supported(public crypto.PublicKey) error {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return fmt.Errorf("ECDSA on %s is not supported: want P-256 or P-384", key.Params().Name)
		}
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits != 2048 && bits != 3072 && bits != 4096 {
			return fmt.Errorf("RSA of %d bits is not supported: want 2048, 3072 or 4096", bits)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Errorf("keys of type %T are not supported", public)
	}
	return nil
}

// keyPath gives the path of a key file in the fleet repository; false for one that leaves desired/.
func keyPath(key string) (string, bool) {
	if key == "" || path.IsAbs(key) || strings.Contains(key, `\`) || path.Clean(key) != key || strings.HasPrefix(key, "..") {
		return "", false
	}
	return path.Join("desired", key), true
}
