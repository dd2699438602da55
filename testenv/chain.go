package testenv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
)

// ChainOptions vary a Chain. A time that is zero is 2020 for a beginning and 2050 for an end.
type ChainOptions struct {
	Subject      string    // e-mail address or URI in the leaf's SAN
	From, Until  time.Time // of the leaf
	CAUntil      time.Time // of root and intermediate, which begin in 2020
	OtherPurpose bool      // the leaf is for servers, not for signing code
}

// Chain is an X.509 hierarchy of three: root, intermediate, and a leaf that signs.
type Chain struct {
	root *issuer
	leaf *issuer
}

// NewChain makes a chain.
func NewChain(o ChainOptions) (*Chain, error) {
	begin := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for t, or := range map[*time.Time]time.Time{&o.From: begin, &o.Until: begin.AddDate(30, 0, 0), &o.CAUntil: begin.AddDate(30, 0, 0)} {
		if t.IsZero() {
			*t = or
		}
	}
	top, err := newRoot("corp.example", begin, o.CAUntil)
	if err != nil {
		return nil, err
	}
	middle, err := top.intermediate("corp.example", x509.ExtKeyUsageCodeSigning, begin, o.CAUntil)
	if err != nil {
		return nil, err
	}
	template, err := leafTemplate(o.Subject, o.From, o.Until)
	if err != nil {
		return nil, err
	}
	if o.OtherPurpose {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	template.Subject.CommonName = "Release"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := middle.issue(template, key.Public())
	if err != nil {
		return nil, err
	}
	leaf := &issuer{cert: cert, key: key, above: append([]*x509.Certificate{middle.cert}, middle.above...)}
	return &Chain{root: top, leaf: leaf}, nil
}

// CA gives root and intermediate in PEM form, as a policy's root of kind ca holds them.
func (c *Chain) CA() []byte { return certificatesPEM(c.leaf.above) }

// RootPEM gives the root alone: then the intermediate has to come with the signature, which legacy signatures can.
func (c *Chain) RootPEM() []byte { return certificatesPEM([]*x509.Certificate{c.root.cert}) }

// LeafPEM gives the certificate that signs.
func (c *Chain) LeafPEM() []byte { return certificatesPEM([]*x509.Certificate{c.leaf.cert}) }

// Signer signs with the leaf.
func (c *Chain) Signer() (*Signer, error) {
	signer, err := signature.LoadSigner(c.leaf.key, crypto.SHA256)
	return &Signer{public: c.leaf.key.Public(), signer: signer, chain: c}, err
}
