package policy

import (
	"maps"
	"slices"
	"time"

	"github.com/poundlock/poundlock/policy/trust"
)

// Signer is somebody whose signatures count, as people are shown it.
type Signer struct {
	Name             string
	Kind             string // ECDSA P-256, RSA 3072, Ed25519, keyless, X.509
	Identity         string // of a key: as proofs name it; "" where certificates name many
	File             string // of the policy document that names it
	NotBefore, Until time.Time
}

// Signers lists who may vouch for content, by document and by name.
func (p Policy) Signers() []Signer {
	var all []Signer
	for _, l := range p.layers {
		for _, name := range slices.Sorted(maps.Keys(l.signers)) {
			s := l.signers[name]
			all = append(all, Signer{Name: name, Kind: s.Kind(), Identity: s.Identity(), File: l.file, NotBefore: s.notBefore, Until: earlier(s.until, s.Ends())})
		}
	}
	return all
}

// Root is where certificates and times are trusted from, as people are shown it.
type Root struct {
	Name string
	File string // of the policy document that names it
	trust.RootFacts
}

// Roots lists what certificates and times are trusted from, by document and by name.
func (p Policy) Roots() []Root {
	var all []Root
	for _, l := range p.layers {
		for _, name := range slices.Sorted(maps.Keys(l.roots)) {
			all = append(all, Root{name, l.file, l.roots[name].Facts()})
		}
	}
	return all
}
