package trust

import (
	"context"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/poundlock/poundlock/internal/mirror"
)

// publicGood is the trusted root of the public sigstore: the keys of its logs, the certificates of its authorities and
// since when each is valid. The facts are those of the trusted_root.json that github.com/sigstore/sigstore v1.10.8
// carries in pkg/tuf/repository/targets, written anew and without what is no fact of trust. VerifyBundle alone uses it:
// images are judged by the roots that a policy names.
//
//go:embed public_good.json
var publicGood []byte

// BundleCheck is what a bundle is held against: an artifact, and who must have signed it.
type BundleCheck struct {
	Artifact io.Reader     // what was signed, or
	Digest   mirror.Digest // its digest
	// Key is the public key that must have signed, in PEM form. Or else Issuer and Subject are what the certificate must
	// name, to the letter.
	Key             []byte
	Issuer, Subject string
	Root            []byte // a trusted_root.json, which may trust nothing where a key is given; nil: that of the public sigstore
}

// ErrBundleCheck means that it is not said who must have signed, or it is said twice.
var ErrBundleCheck = errors.New("want either a key, or issuer and subject of a certificate")

// VerifyBundle verifies a sigstore bundle over any artifact, as a client that passes sigstore-conformance must: a
// certificate must come with a log entry and be one that certificate logs know, and what witnesses a key's signature must
// be right although a key needs no witness. It gives who signed.
func VerifyBundle(ctx context.Context, body []byte, check BundleCheck) (who string, err error) {
	if (len(check.Key) > 0) == (check.Issuer != "" && check.Subject != "") || len(check.Key) > 0 && check.Issuer+check.Subject != "" {
		return "", ErrBundleCheck
	}
	if check.Root == nil {
		check.Root = publicGood
	}
	trusted, err := parseRoot(check.Root)
	if err != nil {
		return "", fmt.Errorf("trusted root: %w", err)
	}
	c, err := Prepare(Item{Form: Bundle, Body: body})
	if err != nil {
		return "", err
	}
	err = guarded(func() (err error) {
		if len(check.Key) > 0 {
			who, err = check.byKey(ctx, c, trusted.material)
		} else {
			who, err = check.byCertificate(ctx, c, trusted.material)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return who, nil
}

// byKey holds the bundle against its log entries too, which a policy never does for a key.
func (b BundleCheck) byKey(ctx context.Context, c *Candidate, m root.TrustedMaterial) (string, error) {
	s, err := NewKey("key", b.Key, KeyOptions{})
	if err != nil {
		return "", err
	}
	entries, err := c.bundle.TlogEntries()
	if err != nil {
		return "", err
	}
	key, _ := s.accept.(byKey)
	o := withKey(checkOpts(m, Bundle, &Proof{}), key.verifier)
	o.IgnoreTlog = len(entries) == 0
	return s.Identity(), b.verify(ctx, c, o)
}

func (b BundleCheck) byCertificate(ctx context.Context, c *Candidate, m root.TrustedMaterial) (string, error) {
	if c.leaf == nil {
		return "", errNoCertificate
	}
	who, err := whoIs(c.leaf)
	if err != nil {
		return "", err
	}
	o := checkOpts(m, Bundle, &Proof{})
	o.Identities = []cosign.Identity{{Issuer: b.Issuer, IssuerRegExp: exactly(b.Issuer), Subject: b.Subject, SubjectRegExp: exactly(b.Subject)}}
	if o.UseSignedTimestamps, err = needsStamps(c); err != nil {
		return "", err
	}
	if err := b.verify(ctx, c, o); err != nil {
		return "", err
	}
	times, _ := c.times(m, nil) // the library was content with those that it found
	if _, err := inTime(c, m, times); err != nil {
		return "", err
	}
	return who.text(true)
}

func exactly(text string) string { return "^" + regexp.QuoteMeta(text) + "$" }

// verify holds the bundle against the artifact. Its digest is enough where the signature is over a digest.
func (b BundleCheck) verify(ctx context.Context, c *Candidate, o *cosign.CheckOpts) error {
	artifact := verify.WithArtifact(b.Artifact)
	if b.Artifact == nil {
		raw, err := hex.DecodeString(b.Digest.Hex)
		if err != nil {
			return err
		}
		artifact = verify.WithArtifactDigest(b.Digest.Algorithm, raw)
	}
	if _, err := cosign.VerifyNewBundle(ctx, o, artifact, c.bundle); err != nil {
		return err
	}
	if _, err := bundled(c.bundle); err != nil && !errors.Is(err, errNoStatement) {
		return err // the library takes a statement of any version for one
	}
	return nil
}
