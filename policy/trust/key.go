package trust

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxKeyFile is the size in bytes above which a file is no public key: RSA-4096 in PEM has 800.
const maxKeyFile = 16 << 10

var (
	errPrivateKey = errors.New("the file holds a private key")
	errNoKey      = errors.New("the file holds no public key in PEM form")
	errManyKeys   = errors.New("the file holds more than one PEM block")
)

// KeyOptions are what is said of a key besides its bytes.
type KeyOptions struct {
	Hash string // sha256, sha384 or sha512 where the key signs over another hash than cosign takes for its type
	Root *Root  // whose timestamps and log entries count as times of its signatures; nil for none
}

// NewKey gives the signer with the public key in a PEM file: ECDSA P-256 or P-384, RSA of 2048, 3072 or 4096 bits,
// or Ed25519.
func NewKey(name string, data []byte, o KeyOptions) (Signer, error) {
	if err := public(data, maxKeyFile); err != nil {
		return Signer{}, err
	}
	block, rest := pem.Decode(data)
	if block == nil {
		return Signer{}, errNoKey
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return Signer{}, errManyKeys
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(data)
	if err != nil {
		return Signer{}, fmt.Errorf("%w: %w", errNoKey, err)
	}
	kind, err := kindOf(key)
	if err != nil {
		return Signer{}, err
	}
	verifier, err := verifierOf(key, o.Hash)
	if err != nil {
		return Signer{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Signer{}, err
	}
	k := byKey{key: mirror.DigestOf(der), verifier: verifier}
	k.identity = "key " + k.key.String()
	hash := mirror.DigestOf(data)
	if o != (KeyOptions{}) {
		said := hash.String() + " " + o.Hash
		if o.Root != nil {
			k.root, said = o.Root.material, said+" "+o.Root.hash.String()
		}
		hash = mirror.DigestOf([]byte(said))
	}
	return Signer{name: name, kind: kind, identity: k.identity, hash: hash, accept: k, key: k.key}, nil
}

// verifierOf gives the verifier of a key. The default of each type is what cosign signs with: Ed25519 pre-hashed,
// P-384 over SHA-384.
func verifierOf(public crypto.PublicKey, hash string) (signature.Verifier, error) {
	if hash == "" {
		return signature.LoadDefaultVerifier(public, options.WithED25519ph())
	}
	f, ok := map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}[hash]
	if !ok {
		return nil, fmt.Errorf("hash %q is not known: want sha256, sha384 or sha512", hash)
	}
	if _, ok := public.(ed25519.PublicKey); ok {
		return nil, errors.New("an Ed25519 key has its hash in itself; leave hash out")
	}
	return signature.LoadVerifier(public, f)
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

// byKey accepts what one public key signed.
type byKey struct {
	identity string
	key      mirror.Digest
	verifier signature.Verifier
	root     root.TrustedMaterial // whose times count; nil for nobody's
}

// accept verifies the candidate with the key. A bundle may name nothing: cosign writes no name into one.
func (k byKey) accept(ctx context.Context, c *Candidate, d mirror.Digest, _ time.Time) (Proof, error) {
	p := Proof{Identity: k.identity, Key: k.key}
	key := &noted{Verifier: k.verifier}
	o := withKey(checkOpts(&root.BaseTrustedMaterial{}, c.item.Form, &p), key) // keys need no root, but the library insists
	if err := k.verify(ctx, c, d, o, &p); err != nil {
		if !key.signed {
			err = stranger{err}
		}
		return p, err
	}
	p.Times, _ = c.times(k.root, k.verifier) // a key needs none
	return p, nil
}

func (k byKey) verify(ctx context.Context, c *Candidate, d mirror.Digest, o *cosign.CheckOpts, p *Proof) error {
	if c.bundle != nil {
		return verifyBundle(ctx, c, d, o, p)
	}
	bare, err := c.signature()
	if err != nil {
		return err
	}
	return c.verify(ctx, bare, d, o)
}

// noted is the verifier of a key that takes note of whether the key made a signature, whatever else is wrong with it.
type noted struct {
	signature.Verifier
	signed bool
}

// VerifySignature is that of the key.
func (n *noted) VerifySignature(sig, message io.Reader, o ...signature.VerifyOption) error {
	err := n.Verifier.VerifySignature(sig, message, o...)
	n.signed = n.signed || err == nil
	return err
}
