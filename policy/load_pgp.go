package policy

import (
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// pgp reads an armored OpenPGP public key.
func (l *loader) pgp(name string, entry signerEntry) (trust.Signer, bool) {
	key := "signers." + name + ".pgp"
	data, file, ok := l.file(key, entry.PGP, l.at(entry.Where, "signers", name, "pgp"))
	if !ok {
		return trust.Signer{}, false
	}
	s, err := trust.NewPGP(name, data)
	if err != nil {
		l.problems.Add("POL072", mirror.Position{File: file, Line: 1}, "write one armored key as `gpg --armor --export FINGERPRINT` makes it, RSA of at least 2048 bits, ECDSA or EdDSA", "%s: %v", key, err)
	}
	return s, err == nil
}
