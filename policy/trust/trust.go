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
)

// Item is one signature or attestation as it lies in a registry, not verified yet.
type Item struct {
	Form        Form
	Body        []byte
	Signature   string            // base64, of a payload
	Annotations map[string]string // of its layer: certificate, chain, log entry, timestamp
}

// Proof is what somebody is proven to have said of a digest.
type Proof struct {
	// Identity tells who signed, the same for all signatures of one key or of one person: "key sha256:...", or
	// issuer and subject of a keyless certificate, or "certificate" and the subject of another.
	Identity  string
	Type      string          // predicate type of an attestation; "" for an image signature
	Predicate json.RawMessage // of an attestation
	Names     []string        // what the statement calls the image; none where it does not say
	Times     []Time          // when it was signed at the latest, as far as somebody trusted says so
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
}

// acceptor verifies a candidate for one signer.
type acceptor interface {
	accept(ctx context.Context, c *Candidate, d mirror.Digest, at time.Time) (Proof, error)
}

// Name is what policy calls the signer.
func (s Signer) Name() string { return s.name }

// Kind says in words what the signer is: ECDSA P-256, keyless, X.509.
func (s Signer) Kind() string { return s.kind }

// Identity is the one that proofs of this signer have; "" where it accepts several.
func (s Signer) Identity() string { return s.identity }

// Hash identifies all that the signer trusts: the bytes of its key or root, and what it asks of certificates.
func (s Signer) Hash() mirror.Digest { return s.hash }
