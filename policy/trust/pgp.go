package trust

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxPGPKey is the size in bytes above which a file is no key of a vendor: one with many user ids and certifications of
// others has 100 KiB.
const maxPGPKey = 256 << 10

// pgpIdentity is how the identity of a proof by an OpenPGP key begins.
const pgpIdentity = "pgp "

const pgpPublic = "PGP PUBLIC KEY BLOCK"

var (
	errNoPGPKey   = errors.New("the file holds no armored OpenPGP public key")
	errManyPGP    = errors.New("the file holds more than one key; give each a file and a signer of its own")
	errNoSignFlag = errors.New("neither the key nor a subkey of it may sign data")
)

// NewPGP gives the signer with the one armored OpenPGP public key of a file: RSA of at least 2048 bits, ECDSA, or EdDSA.
// Its subkeys sign for it. Which of them is expired or revoked is asked when a signature is judged.
func NewPGP(name string, data []byte) (Signer, error) {
	if err := public(data, maxPGPKey); err != nil {
		return Signer{}, err
	}
	var all openpgp.EntityList
	err := guarded(func() (err error) {
		if bytes.Count(data, []byte("-----BEGIN ")) > 1 {
			return errManyPGP
		}
		block, err := armor.Decode(bytes.NewReader(data))
		if err != nil || block.Type != pgpPublic {
			return errNoPGPKey
		}
		if all, err = openpgp.ReadKeyRing(block.Body); err != nil {
			return fmt.Errorf("%w: %w", errNoPGPKey, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return Signer{}, err
	case len(all) != 1:
		return Signer{}, errManyPGP
	}
	k := byPGP{entity: all[0]}
	primary := k.entity.PrimaryKey
	kind, err := pgpKind(primary)
	if err != nil {
		return Signer{}, err
	}
	if !k.signs() {
		return Signer{}, errNoSignFlag
	}
	k.identity = pgpIdentity + fingerprint(primary)
	return Signer{name: name, kind: "OpenPGP " + kind, identity: k.identity, hash: mirror.DigestOf(data), accept: k, key: pgpKeyDigest(primary), ends: k.ends()}, nil
}

// fingerprint gives that of a key as people compare it: hexadecimal, in capitals.
func fingerprint(pk *packet.PublicKey) string {
	return strings.ToUpper(hex.EncodeToString(pk.Fingerprint))
}

// pgpKind names the type of a key; an error says that it is too weak or too unusual to count.
func pgpKind(pk *packet.PublicKey) (string, error) {
	switch pk.PubKeyAlgo {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
		bits, err := pk.BitLength()
		if err != nil || bits < 2048 || bits > 16384 {
			return "", fmt.Errorf("RSA of %d bits: want at least 2048", bits)
		}
		return fmt.Sprintf("RSA %d", bits), nil
	case packet.PubKeyAlgoECDSA:
		return "ECDSA", nil
	case packet.PubKeyAlgoEdDSA, packet.PubKeyAlgoEd25519, packet.PubKeyAlgoEd448:
		return "EdDSA", nil
	case packet.PubKeyAlgoDSA:
		return "", errors.New("a DSA key does not count: want RSA of at least 2048 bits, ECDSA or EdDSA")
	}
	return "", fmt.Errorf("a key of algorithm %d does not count: want RSA of at least 2048 bits, ECDSA or EdDSA", pk.PubKeyAlgo)
}

// pgpKeyDigest identifies a key by its DER form, as that of a PEM file, so that one key in two forms is one; where
// standard libraries have no such form, by its fingerprint.
func pgpKeyDigest(pk *packet.PublicKey) mirror.Digest {
	var standard crypto.PublicKey
	switch key := pk.PublicKey.(type) {
	case *rsa.PublicKey:
		standard = key
	case interface{ MarshalPoint() []byte }: // EdDSA of version 4; 0x40 stands before a native point
		if point := key.MarshalPoint(); len(point) == ed25519.PublicKeySize+1 && point[0] == 0x40 {
			standard = ed25519.PublicKey(point[1:])
		}
	}
	if der, err := x509.MarshalPKIXPublicKey(standard); err == nil {
		return mirror.DigestOf(der)
	}
	return mirror.DigestOf([]byte(pgpIdentity + fingerprint(pk)))
}

// byPGP accepts what one OpenPGP key or a subkey of it signed.
type byPGP struct {
	identity string
	entity   *openpgp.Entity
}

// signs says whether anything of the key may sign data.
func (k byPGP) signs() bool {
	if signsData(k.self()) {
		return true
	}
	return slices.ContainsFunc(k.entity.Subkeys, func(s openpgp.Subkey) bool { return signsData(s.Sig) })
}

func signsData(binding *packet.Signature) bool {
	return binding != nil && binding.FlagsValid && binding.FlagSign
}

// self gives the signature in which the key speaks of itself: for how long it is good, and what it may do. Of several
// user ids the newest one says it; the library chooses among equal ones by chance.
func (k byPGP) self() *packet.Signature {
	if k.entity.PrimaryKey.Version == 6 {
		return k.entity.SelfSignature
	}
	var found *packet.Signature
	for _, name := range slices.Sorted(maps.Keys(k.entity.Identities)) {
		id := k.entity.Identities[name]
		if id.SelfSignature == nil || len(id.Revocations) > 0 {
			continue
		}
		if found == nil || id.SelfSignature.CreationTime.After(found.CreationTime) {
			found = id.SelfSignature
		}
	}
	return found
}

// ends gives when the primary key ends, as it says itself; zero: never.
func (k byPGP) ends() time.Time {
	return keyEnd(k.entity.PrimaryKey, k.self())
}

// keyEnd gives the first moment at which a key is good no more; zero: never.
func keyEnd(pk *packet.PublicKey, binding *packet.Signature) time.Time {
	if binding == nil || binding.KeyLifetimeSecs == nil || *binding.KeyLifetimeSecs == 0 {
		return time.Time{}
	}
	return pk.CreationTime.Add(time.Duration(*binding.KeyLifetimeSecs) * time.Second).UTC()
}

// part is a key of an entity that may sign data.
type part struct {
	key         *packet.PublicKey
	binding     *packet.Signature // by the primary key, or its own
	revocations []*packet.Signature
}

// part gives that of the entity which a signature says to be by; false for one by somebody else.
func (k byPGP) part(sig *packet.Signature) (part, bool) {
	all := []part{{k.entity.PrimaryKey, k.self(), nil}}
	for _, s := range k.entity.Subkeys {
		all = append(all, part{s.PublicKey, s.Sig, s.Revocations})
	}
	i := slices.IndexFunc(all, func(p part) bool {
		if len(sig.IssuerFingerprint) > 0 {
			return bytes.Equal(p.key.Fingerprint, sig.IssuerFingerprint)
		}
		return sig.IssuerKeyId != nil && p.key.KeyId == *sig.IssuerKeyId
	})
	if i < 0 {
		return part{}, false
	}
	return all[i], true
}

// usable says why a part of the key counts no more, or not yet, at a moment. until is when it ends by itself.
func (k byPGP) usable(p part, at time.Time) (until time.Time, err error) {
	self := k.self()
	switch {
	case revokedAt(k.entity.Revocations, at):
		return until, fmt.Errorf("the key %s is revoked", fingerprint(k.entity.PrimaryKey))
	case self == nil:
		return until, fmt.Errorf("every user id of the key %s is revoked", fingerprint(k.entity.PrimaryKey))
	case revokedAt(p.revocations, at):
		return until, fmt.Errorf("the subkey %s is revoked", fingerprint(p.key))
	case !signsData(p.binding):
		return until, fmt.Errorf("the key %s may not sign data", fingerprint(p.key))
	}
	if _, err := pgpKind(p.key); err != nil {
		return until, fmt.Errorf("the key %s: %w", fingerprint(p.key), err)
	}
	for _, one := range []part{{key: k.entity.PrimaryKey, binding: self}, p} {
		end := keyEnd(one.key, one.binding)
		switch {
		case one.key.CreationTime.After(at):
			return until, fmt.Errorf("the key %s begins at %s", fingerprint(one.key), one.key.CreationTime.UTC().Format(time.RFC3339))
		case !end.IsZero() && !at.Before(end):
			return until, fmt.Errorf("the key %s ended at %s; its owner may have published it with a later end", fingerprint(one.key), end.Format(time.RFC3339))
		case end.IsZero():
		case until.IsZero() || end.Before(until):
			until = end
		}
	}
	return until, nil
}

// revokedAt says whether one of the revocations counts. That a key is lost counts for all that it ever signed; another
// reason from its date on.
func revokedAt(all []*packet.Signature, at time.Time) bool {
	return slices.ContainsFunc(all, func(r *packet.Signature) bool {
		lost := r.RevocationReason != nil && *r.RevocationReason == packet.KeyCompromised
		return lost || cmp.Compare(r.CreationTime.Unix(), at.Unix()) <= 0
	})
}
