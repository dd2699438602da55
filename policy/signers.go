package policy

import (
	"maps"
	"slices"
)

// Signer is somebody whose signatures count, as people are shown it.
type Signer struct {
	Name string
	Kind string // ECDSA P-256, RSA 3072, Ed25519, keyless, X.509
}

// Signers lists who may vouch for content, by name.
func (p Policy) Signers() []Signer {
	var all []Signer
	for _, l := range p.layers {
		for _, name := range slices.Sorted(maps.Keys(l.signers)) {
			all = append(all, Signer{name, l.signers[name].Kind()})
		}
	}
	return all
}
