// Package trust says who is behind a signature: it holds trust material (public keys, certificate authorities,
// transparency logs, timestamp authorities) and verifies single signatures and attestations with it.
//
// It promises to trust only the bytes that it is given, never a service that is asked; to survive whatever a
// registry served, since every call into the sigstore libraries runs under recover; and to prove no more than was
// signed. Where signatures lie, which signers count and when is policy's matter.
package trust

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Form is how a signature or attestation is kept.
type Form int

// The forms.
const (
	Payload  Form = iota // a simple-signing payload, signed beside it: the tag .sig, or its referrer
	Envelope             // a DSSE envelope: the tag .att
	Bundle               // a sigstore bundle
	Detached             // an armored OpenPGP signature over the bytes of a package
)

// Item is one signature or attestation as it lies in a registry, not verified yet.
type Item struct {
	Form        Form
	Body        []byte
	Signature   string            // base64, of a payload
	Annotations map[string]string // of its layer: certificate, chain, log entry, timestamp
	Over        *Signed           // of a detached signature: what it is over
}

// Proof is what somebody is proven to have said of a digest.
type Proof struct {
	// Identity tells who signed, the same for all signatures of one key or of one person: "key sha256:...", or
	// issuer and subject of a keyless certificate, "certificate" and the subject of another, or "pgp" and a fingerprint.
	Identity  string
	Type      string          // predicate type of an attestation; "" for an image signature
	Predicate json.RawMessage // of an attestation
	Names     []string        // what the statement calls the image; none where it does not say
	Times     []Time          // when it was signed at the latest, as far as somebody trusted says so
	Key       mirror.Digest   // of the public key in DER form that verified it, whatever names it
	Until     time.Time       // the first moment at which its certificates prove nothing any more; zero: never

	by named // whom the certificate names
}

// Digest identifies the signature by its bytes, wherever it lies and whatever else lies there.
func (it Item) Digest() mirror.Digest {
	return mirror.DigestOf([]byte("signature " + it.Signature + " over " + mirror.DigestOf(it.Body).String()))
}

// Time is a moment that trusted material vouches for.
type Time struct {
	At     time.Time
	Source string // SourceAuthority or SourceLog
}

// Signer accepts the signatures of one key, or of those whom certificates name.
type Signer struct {
	name     string
	kind     string        // for people
	identity string        // of a key; "" where certificates name many
	hash     mirror.Digest // of all that it trusts
	accept   acceptor
	key      mirror.Digest // of a key: its DER form
	ends     time.Time     // when its key ends, as it says itself; zero: never, or others say so
}

// acceptor verifies a candidate for one signer.
type acceptor interface {
	accept(ctx context.Context, c *Candidate, d mirror.Digest, at time.Time) (Proof, error)
}

// ErrStranger is in the chain of an error that says nothing of the signer whom an item was held against: somebody else
// signed it, as far as anybody can tell. One that was tampered with looks the same. All other errors are of what the
// signer itself made, or of what cannot be read.
var ErrStranger = errors.New("somebody else signed it")

// stranger is an error of a signature by somebody else. It reads as the error that shows it.
type stranger struct{ error }

func (s stranger) Unwrap() []error { return []error{s.error, ErrStranger} }

// Name is what policy calls the signer.
func (s Signer) Name() string { return s.name }

// Kind says in words what the signer is: ECDSA P-256, keyless, X.509, OpenPGP RSA 2048.
func (s Signer) Kind() string { return s.kind }

// Ends is when the key of an OpenPGP signer ends, as it says itself; zero: never.
func (s Signer) Ends() time.Time { return s.ends }

// Identity is the one that proofs of this signer have; "" where it accepts several.
func (s Signer) Identity() string { return s.identity }

// Means says whether a proof is by whom this signer means, however it was proven: by the same key, under whatever hash or
// certificate, or by somebody of whom a certificate says what this signer asks for, below whatever root. It is for
// denying: the case of letters is not told apart, and an authority is not asked.
func (s Signer) Means(p Proof) bool {
	if b, ok := s.accept.(byCertificate); ok {
		return p.by.subject != "" && b.issuer.loose.MatchString(p.by.issuer) && b.subject.loose.MatchString(p.by.subject)
	}
	return s.MeansKey(p.Identity, p.Key)
}

// MeansKey says whether this signer is the key of a proof with an identity.
func (s Signer) MeansKey(identity string, key mirror.Digest) bool {
	return s.identity != "" && (s.identity == identity || s.key == key)
}

// Hash identifies all that the signer trusts: the bytes of its key or root, and what it asks of certificates.
func (s Signer) Hash() mirror.Digest { return s.hash }
