package trust

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	cbundle "github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxChain is how many certificates may come with a signature besides its own. Fulcio sends two.
const maxChain = 8

// Candidate is an item in the form that the libraries verify, parsed once for all signers. It is for one goroutine
// at a time, since the libraries keep notes in what they verify.
type Candidate struct {
	item   Item
	bundle *bundle.Bundle // nil for the other forms

	detached *packet.Signature // nil for the other forms

	// What the annotations of the other forms hold; none of it is believed because it is there.
	entry *cbundle.RekorBundle
	stamp *cbundle.RFC3161Timestamp
	leaf  *x509.Certificate
	chain []*x509.Certificate
}

// Prepare parses an item. An error says why it can count for nobody.
func Prepare(it Item) (*Candidate, error) {
	c := &Candidate{item: it}
	if err := checkShape(it.Form, it.Body); err != nil {
		return nil, err
	}
	err := guarded(func() (err error) {
		if it.Form == Detached {
			c.detached, err = readDetached(it.Body)
			return err
		}
		if it.Form == Bundle {
			c.bundle = &bundle.Bundle{}
			if err := c.bundle.UnmarshalJSON(it.Body); err != nil {
				return err
			}
			return c.readCertificate()
		}
		return c.readAnnotations()
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Prove verifies a candidate over the digest d. An error says why it does not count for this signer; ErrStranger is in
// its chain where somebody else signed. Certificates that nothing trusted gives a time for are held against at, which
// is now.
func (c *Candidate) Prove(ctx context.Context, s Signer, d mirror.Digest, at time.Time) (Proof, error) {
	var p Proof
	if c.detached != nil && !s.TakesPackages() {
		return Proof{}, stranger{errors.New("it is an OpenPGP signature")}
	}
	err := guarded(func() (err error) {
		p, err = s.accept.accept(ctx, c, d, at)
		return err
	})
	if err != nil {
		return Proof{}, err
	}
	return p, nil
}

// readCertificate takes the certificate of a bundle; one that names a key has none.
func (c *Candidate) readCertificate() error {
	content, err := c.bundle.VerificationContent()
	if err != nil {
		return err
	}
	c.leaf = content.Certificate()
	c.admitUserName()
	return nil
}

// readAnnotations reads what a signature carries besides. A mangled annotation makes it count for nobody, even where
// nothing relies on it: they are what crashed the library (verification by v2.6.5 asserts that the body of a log entry
// is a string, and indexes into a timestamp it could not read).
func (c *Candidate) readAnnotations() error {
	a := c.item.Annotations
	if text, ok := a[static.BundleAnnotationKey]; ok {
		if err := c.readEntry(text); err != nil {
			return fmt.Errorf("log entry: %w", err)
		}
	}
	if text, ok := a[static.RFC3161TimestampAnnotationKey]; ok {
		if err := c.readStamp(text); err != nil {
			return fmt.Errorf("timestamp: %w", err)
		}
	}
	if text, ok := a[static.CertificateAnnotationKey]; ok {
		certs, err := certificates(text, 1)
		if err != nil || len(certs) == 0 {
			return fmt.Errorf("certificate: %w", errors.Join(err, errNoCertificate))
		}
		c.leaf = certs[0]
	}
	if text := a[static.ChainAnnotationKey]; text != "" {
		var err error
		if c.chain, err = certificates(text, maxChain); err != nil {
			return fmt.Errorf("certificate chain: %w", err)
		}
	}
	c.admitUserName()
	return nil
}

func (c *Candidate) readEntry(text string) error {
	c.entry = &cbundle.RekorBundle{}
	if err := mirror.CheckValues([]byte(text)); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), c.entry); err != nil {
		return err
	}
	body, ok := c.entry.Payload.Body.(string)
	if !ok {
		return errors.New("its body is no text")
	}
	_, err := base64.StdEncoding.DecodeString(body)
	return err
}

func (c *Candidate) readStamp(text string) error {
	c.stamp = &cbundle.RFC3161Timestamp{}
	if err := json.Unmarshal([]byte(text), c.stamp); err != nil {
		return err
	}
	var der asn1.RawValue
	if rest, err := asn1.Unmarshal(c.stamp.SignedRFC3161Timestamp, &der); err != nil || len(rest) > 0 || der.Tag != asn1.TagSequence {
		return errors.New("not in DER form")
	}
	return nil
}

// admitUserName removes the mark that Go sets on the certificates of Fulcio whose subject is a user name: the library
// reads such a subject itself, and so do we.
func (c *Candidate) admitUserName() {
	if c.leaf == nil {
		return
	}
	unhandled := c.leaf.UnhandledCriticalExtensions
	c.leaf.UnhandledCriticalExtensions = nil
	for _, id := range unhandled {
		if !id.Equal(cryptoutils.SANOID) {
			c.leaf.UnhandledCriticalExtensions = append(c.leaf.UnhandledCriticalExtensions, id)
		}
	}
}

// signature gives what is no bundle in the form of the library, with as much besides as the caller relies on.
func (c *Candidate) signature(besides ...static.Option) (oci.Signature, error) {
	if c.item.Form == Envelope {
		return static.NewAttestation(c.item.Body, besides...)
	}
	return static.NewSignature(c.item.Body, c.item.Signature, besides...)
}

// withCertificate adds certificate and chain as the library reads them.
func (c *Candidate) withCertificate() (static.Option, error) {
	leaf, err := cryptoutils.MarshalCertificateToPEM(c.leaf)
	if err != nil {
		return nil, err
	}
	chain, err := cryptoutils.MarshalCertificatesToPEM(c.chain)
	return static.WithCertChain(leaf, chain), err
}

// verify lets the library verify what is no bundle.
func (c *Candidate) verify(ctx context.Context, sig oci.Signature, d mirror.Digest, o *cosign.CheckOpts) error {
	check := cosign.VerifyImageSignature
	if c.item.Form == Envelope {
		check = cosign.VerifyBlobAttestation
	}
	_, err := check(ctx, sig, d, o)
	return err
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
