package trust

import (
	"context"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	cbundle "github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/cosign/v2/pkg/types"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Candidate is an item in the form that the libraries verify, parsed once for all signers.
type Candidate struct {
	item   Item
	legacy oci.Signature
	bundle *bundle.Bundle
}

// Prepare parses an item. An error says why it can count for nobody.
func Prepare(it Item) (*Candidate, error) {
	c := &Candidate{item: it}
	err := guarded(func() error {
		switch it.Form {
		case Bundle:
			c.bundle = &bundle.Bundle{}
			return c.bundle.UnmarshalJSON(it.Body)
		case Envelope:
			return errors.New("attestations under a tag are not read yet")
		}
		if err := wellFormed(it.Annotations); err != nil {
			return err
		}
		var err error
		c.legacy, err = static.NewSignature(it.Body, it.Signature)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// wellFormed checks annotations that a signature may carry besides. Nothing here relies on them, but they
// are what crashed the library (verification by v2.6.5 asserts that the body of a log entry is a string,
// and indexes into a timestamp it could not read), so a signature with a mangled one does not count.
func wellFormed(annotations map[string]string) error {
	if text, ok := annotations[static.BundleAnnotationKey]; ok {
		var entry cbundle.RekorBundle
		if err := json.Unmarshal([]byte(text), &entry); err != nil {
			return fmt.Errorf("log entry: %w", err)
		}
		body, ok := entry.Payload.Body.(string)
		if !ok {
			return errors.New("log entry: its body is no text")
		}
		if _, err := base64.StdEncoding.DecodeString(body); err != nil {
			return fmt.Errorf("log entry: %w", err)
		}
	}
	if text, ok := annotations[static.RFC3161TimestampAnnotationKey]; ok {
		var stamp cbundle.RFC3161Timestamp
		if err := json.Unmarshal([]byte(text), &stamp); err != nil {
			return fmt.Errorf("timestamp: %w", err)
		}
		var der asn1.RawValue
		if rest, err := asn1.Unmarshal(stamp.SignedRFC3161Timestamp, &der); err != nil || len(rest) > 0 || der.Tag != asn1.TagSequence {
			return errors.New("timestamp: not in DER form")
		}
	}
	return nil
}

// byKey accepts what one public key signed.
type byKey struct {
	identity string
	verifier signature.Verifier
}

// accept verifies the candidate with the key. A bundle may name nothing: cosign writes no name into one.
func (k byKey) accept(ctx context.Context, c *Candidate, d mirror.Digest) (Proof, error) {
	p := Proof{Identity: k.identity}
	opts := checkOpts(k.verifier, &p.Names)
	if c.bundle == nil {
		_, err := cosign.VerifyImageSignature(ctx, c.legacy, d, opts)
		return p, err
	}
	raw, err := hex.DecodeString(d.Hex)
	if err != nil {
		return p, err
	}
	result, err := cosign.VerifyNewBundle(ctx, opts, verify.WithArtifactDigest(d.Algorithm, raw), c.bundle)
	if err != nil {
		return p, err
	}
	p.Names, err = statementNames(result, d)
	return p, err
}

// checkOpts is the only place that makes options for the library: without a claim verifier it would accept
// the signature of any other image, and anything but offline would ask a service on the network. The name
// inside the payload comes back through named.
func checkOpts(key signature.Verifier, named *[]string) *cosign.CheckOpts {
	return &cosign.CheckOpts{
		SigVerifier:     key,
		TrustedMaterial: &root.BaseTrustedMaterial{}, // keys need none, but the library insists
		IgnoreTlog:      true,
		IgnoreSCT:       true,
		Offline:         true,
		MaxWorkers:      1,
		ClaimVerifier: func(sig oci.Signature, d mirror.Digest, annotations map[string]any) error {
			if err := cosign.SimpleClaimVerifier(sig, d, annotations); err != nil {
				return err
			}
			body, err := sig.Payload()
			if err != nil {
				return err
			}
			var claim payload.SimpleContainerImage
			if err := json.Unmarshal(body, &claim); err != nil {
				return err
			}
			if claim.Critical.Type != payload.CosignSignatureType {
				return fmt.Errorf("payload of type %q is no image signature", claim.Critical.Type)
			}
			*named = []string{claim.Critical.Identity.DockerReference}
			return nil
		},
	}
}

// statementNames gives the names of the subjects with digest d in a verified bundle that is a signature.
// Any other statement, such as a scan report by the same key, is no signature, whatever the unsigned
// annotations of its manifest say.
func statementNames(result *verify.VerificationResult, d mirror.Digest) ([]string, error) {
	if result.Statement == nil {
		return nil, errors.New("the bundle holds no statement")
	}
	if kind := result.Statement.GetPredicateType(); kind != types.CosignSignPredicateType {
		return nil, fmt.Errorf("a statement of type %q is no image signature", kind)
	}
	var names []string
	for _, subject := range result.Statement.GetSubject() {
		if subject.GetDigest()[d.Algorithm] == d.Hex && subject.GetName() != "" {
			names = append(names, subject.GetName())
		}
	}
	return names, nil
}

// guarded runs f and turns a panic of a library into an error: content from a registry must not end the
// process.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the signature library gave up: %v", r)
		}
	}()
	return f()
}
