package trust

import (
	"encoding/json"
	"fmt"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Limits of the parts of bundles and envelopes. Only what is signed may be large: a certificate has 1 KiB, a log entry
// with its proof 10.
const (
	maxMaterial   = 256 << 10 // bytes of what is to prove a signature
	maxSignatures = 64 << 10  // bytes of all signatures of an envelope
	maxSigned     = 10        // signatures of an envelope; a bundle has one
)

// checkShape refuses what would cost much before anything is known of it: the libraries build the whole of a bundle or
// an envelope before they look at any of it. No part is copied, and what is not named here the libraries do not build.
func checkShape(form Form, body []byte) error {
	switch form {
	case Bundle:
		if err := mirror.CheckValues(body); err != nil {
			return err
		}
		return json.Unmarshal(body, &bundleShape{})
	case Envelope:
		if err := mirror.CheckValues(body); err != nil {
			return err
		}
		return json.Unmarshal(body, &envelopeShape{})
	}
	return nil
}

// bundleShape measures a bundle. Each field has two names in the JSON form of protocol buffers.
type bundleShape struct {
	Material     material     `json:"verificationMaterial"`
	MaterialToo  material     `json:"verification_material"`
	Message      material     `json:"messageSignature"`
	MessageToo   material     `json:"message_signature"`
	Statement    oneSignature `json:"dsseEnvelope"`
	StatementToo oneSignature `json:"dsse_envelope"`
}

// envelopeShape measures an envelope.
type envelopeShape struct {
	Signatures entries `json:"signatures"`
}

// material is a part that is small.
type material struct{}

// UnmarshalJSON measures the part.
func (material) UnmarshalJSON(b []byte) error {
	if len(b) > maxMaterial {
		return fmt.Errorf("verification material of %d bytes where at most %d are read: %w", len(b), maxMaterial, mirror.ErrTooLarge)
	}
	return nil
}

// entries is how many signatures a part has.
type entries int

// UnmarshalJSON measures and counts the signatures.
func (e *entries) UnmarshalJSON(b []byte) error {
	if len(b) > maxSignatures {
		return fmt.Errorf("signatures of %d bytes where at most %d are read: %w", len(b), maxSignatures, mirror.ErrTooLarge)
	}
	var all []json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	if *e += entries(len(all)); *e > maxSigned {
		return fmt.Errorf("%d signatures where at most %d are read: %w", *e, maxSigned, mirror.ErrTooLarge)
	}
	return nil
}

// oneSignature is the envelope of a bundle.
type oneSignature struct{}

// UnmarshalJSON measures the envelope.
func (oneSignature) UnmarshalJSON(b []byte) error {
	var e envelopeShape
	if err := json.Unmarshal(b, &e); err != nil {
		return err
	}
	if e.Signatures > 1 {
		return fmt.Errorf("%d signatures in one bundle, which has one: %w", e.Signatures, mirror.ErrTooLarge)
	}
	return nil
}
