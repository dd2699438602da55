package policy

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"maps"
	"slices"
)

// Signer is somebody whose signatures count, as people are shown it.
type Signer struct {
	Name string
	Kind string // of the key: ECDSA P-256, RSA 3072, Ed25519
}

// Signers lists who may vouch for content, by name.
func (p Policy) Signers() []Signer {
	var all []Signer
	for _, name := range slices.Sorted(maps.Keys(p.signers)) {
		all = append(all, Signer{name, p.signers[name].kind()})
	}
	return all
}

func (s signer) kind() string {
	public, err := s.verifier.PublicKey()
	if err != nil {
		return "unknown"
	}
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}
