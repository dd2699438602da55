package git

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/crypto/ssh"

	"github.com/poundlock/poundlock/internal/mirror"
)

// namespace is what SSH signatures of commits are made in; one that was made for a file is none for a commit.
const namespace = "git"

// Signers are keys whose signatures on commits count. The zero value is nobody.
type Signers struct {
	ssh []allowedKey
	pgp openpgp.EntityList
}

// allowedKey is one line of an allowed_signers file.
type allowedKey struct {
	principals    string
	key           ssh.PublicKey
	after, before time.Time // of the commit; zero: always
}

// IsZero says whether there is nobody.
func (s Signers) IsZero() bool { return len(s.ssh)+len(s.pgp) == 0 }

// Plus gives the keys of both.
func (s Signers) Plus(o Signers) Signers {
	return Signers{slices.Concat(s.ssh, o.ssh), slices.Concat(s.pgp, o.pgp)}
}

// Without leaves out the keys of others.
func (s Signers) Without(o Signers) Signers {
	var rest Signers
	for _, k := range s.ssh {
		if !slices.ContainsFunc(o.ssh, func(other allowedKey) bool { return bytes.Equal(k.key.Marshal(), other.key.Marshal()) }) {
			rest.ssh = append(rest.ssh, k)
		}
	}
	for _, e := range s.pgp {
		if !slices.ContainsFunc(o.pgp, func(other *openpgp.Entity) bool { return sameKey(e, other) }) {
			rest.pgp = append(rest.pgp, e)
		}
	}
	return rest
}

// sameKey says whether two keys have a key in common, so that none passes for another by its subkeys.
func sameKey(a, b *openpgp.Entity) bool {
	prints := func(e *openpgp.Entity) (all []string) {
		all = append(all, string(e.PrimaryKey.Fingerprint))
		for _, sub := range e.Subkeys {
			all = append(all, string(sub.PublicKey.Fingerprint))
		}
		return all
	}
	return slices.ContainsFunc(prints(a), func(p string) bool { return slices.Contains(prints(b), p) })
}

// SignersOf gives the public key of a Signer of this package; nobody for nil.
func SignersOf(s Signer) Signers {
	switch s := s.(type) {
	case sshSigner:
		return Signers{ssh: []allowedKey{{principals: "poundlock", key: s.key.PublicKey()}}}
	case pgpSigner:
		return Signers{pgp: openpgp.EntityList{s.key}}
	}
	return Signers{}
}

// ParseKeyring reads an armoured file of OpenPGP public keys. A private key is refused: it has no business here.
func ParseKeyring(file string, data []byte) (Signers, mirror.Problems) {
	var ps mirror.Problems
	where := mirror.Position{File: file}
	ring, err := readKeyring(data)
	switch {
	case err != nil || len(ring) == 0:
		ps.Add("CFG069", where, "export the public keys with `gpg --armor --export ADDRESS`", "%s is no armoured OpenPGP key ring", file)
		return Signers{}, ps
	case slices.ContainsFunc(ring, func(e *openpgp.Entity) bool { return e.PrivateKey != nil }):
		ps.Add("CFG069", where, "keep private keys away from here; export the public ones with `gpg --armor --export ADDRESS`", "%s holds a private key", file)
		return Signers{}, ps
	}
	return Signers{pgp: ring}, nil
}

// readKeyring reads every armoured block of a file; the library alone reads the first, and the keys behind it would
// silently not count.
func readKeyring(data []byte) (openpgp.EntityList, error) {
	var ring openpgp.EntityList
	const begin = "-----BEGIN PGP "
	_, rest, more := strings.Cut(string(data), begin)
	for more {
		var block string
		block, rest, more = strings.Cut(rest, begin)
		keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(begin + block))
		if err != nil {
			return nil, err
		}
		ring = append(ring, keys...)
	}
	return ring, nil
}
