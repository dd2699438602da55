package trust

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/poundlock/poundlock/internal/mirror"
)

// checkOpts is the only place that makes options for the library, anew for each call, since it writes into them:
// without a claim verifier it would accept the signature of any other image, and anything but offline would ask a
// service on the network. What the signed content says comes back through p.
func checkOpts(m root.TrustedMaterial, form Form, p *Proof) *cosign.CheckOpts {
	o := &cosign.CheckOpts{TrustedMaterial: m, Offline: true, MaxWorkers: 1, ClaimVerifier: p.claim}
	if form == Envelope {
		o.ClaimVerifier = p.attested
	}
	return o
}

// withKey makes options ask for one public key, which needs neither log nor timestamp.
func withKey(o *cosign.CheckOpts, key signature.Verifier) *cosign.CheckOpts {
	o.SigVerifier, o.IgnoreTlog, o.IgnoreSCT = key, true, true
	return o
}

// claim verifies that a payload is an image signature for the digest, and takes the name inside. The library alone
// compares neither the type nor the name.
func (p *Proof) claim(sig oci.Signature, d mirror.Digest, annotations map[string]any) error {
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
	p.Names = []string{claim.Critical.Identity.DockerReference}
	return nil
}

// attested verifies that an envelope is an attestation about the digest, and takes what it states.
func (p *Proof) attested(sig oci.Signature, d mirror.Digest, annotations map[string]any) error {
	if err := cosign.IntotoSubjectClaimVerifier(sig, d, annotations); err != nil {
		return err
	}
	body, err := sig.Payload()
	if err != nil {
		return err
	}
	s, err := enveloped(body)
	if err != nil {
		return err
	}
	return p.take(s, d)
}

// verifyBundle lets the library verify a bundle over a digest, and takes what the bundle states.
func verifyBundle(ctx context.Context, c *Candidate, d mirror.Digest, o *cosign.CheckOpts, p *Proof) error {
	raw, err := hex.DecodeString(d.Hex)
	if err != nil {
		return err
	}
	if _, err := cosign.VerifyNewBundle(ctx, o, verify.WithArtifactDigest(d.Algorithm, raw), c.bundle); err != nil {
		return err
	}
	s, err := bundled(c.bundle)
	if err != nil {
		return err
	}
	return p.take(s, d)
}
