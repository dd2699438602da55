package trust

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/poundlock/poundlock/internal/mirror"
)

var (
	errNoCertificate = errors.New("no certificate comes with it")
	errNoTime        = errors.New("nothing that is trusted says when it was signed")
	errNoRoot        = errors.New("no root is given")
)

// NewKeyless gives the signer whom short-lived certificates of the root name. Each signature must come with a log
// entry where the root has transparency logs, else with a timestamp, and its certificate with a proof of the
// certificate logs where the root has some.
func NewKeyless(name string, r *Root, id Identity) (Signer, error) {
	if r == nil {
		return Signer{}, errNoRoot
	}
	if len(r.material.RekorLogs()) == 0 && len(r.material.TimestampingAuthorities()) == 0 {
		return Signer{}, errors.New("the root has neither a transparency log nor a timestamp authority, so nothing says when a certificate was used")
	}
	issuer, err := compile("issuer", id.Issuer, id.IssuerRegexp)
	if err != nil {
		return Signer{}, err
	}
	subject, err := compile("subject", id.Subject, id.SubjectRegexp)
	if err != nil {
		return Signer{}, err
	}
	return newByCertificate(name, "keyless", byCertificate{root: r, issuer: issuer, subject: subject, keyless: true})
}

// NewCertificate gives the signer whom certificates of the root's authorities name, with one subject each: an address,
// a URL or a host name. A certificate must be valid when it signed, as far as the root vouches for a time, or else now.
func NewCertificate(name string, r *Root, id Identity) (Signer, error) {
	if r == nil {
		return Signer{}, errNoRoot
	}
	if id.Issuer != "" || id.IssuerRegexp != "" {
		return Signer{}, errors.New("only keyless certificates name an issuer")
	}
	subject, err := compile("subject", id.Subject, id.SubjectRegexp)
	if err != nil {
		return Signer{}, err
	}
	return newByCertificate(name, "X.509", byCertificate{root: r, issuer: whole, subject: subject})
}

func newByCertificate(name, kind string, b byCertificate) (Signer, error) {
	if len(b.root.material.FulcioCertificateAuthorities()) == 0 {
		return Signer{}, errors.New("the root has no certificate authority")
	}
	asked, err := json.Marshal([]string{kind, b.root.hash.String(), b.issuer.source, b.subject.source})
	if err != nil {
		return Signer{}, err
	}
	return Signer{name: name, kind: kind, hash: mirror.DigestOf(asked), accept: b}, nil
}

// byCertificate accepts what the holders of certificates signed.
type byCertificate struct {
	root            *Root
	issuer, subject pattern
	keyless         bool // the certificate lives for minutes: something must say that it was used in them
}

// accept verifies the candidate by its certificate.
func (b byCertificate) accept(ctx context.Context, c *Candidate, d mirror.Digest, at time.Time) (Proof, error) {
	p, err := b.verify(ctx, c, d, at)
	if err != nil && !b.means(c) {
		err = stranger{err}
	}
	return p, err
}

// means says whether the certificate is one of those that the signer means, whatever else is wrong.
func (b byCertificate) means(c *Candidate) bool {
	if c.leaf == nil {
		return false
	}
	if _, err := b.knows(c.leaf); err != nil {
		return false
	}
	_, err := verify.VerifyLeafCertificate(c.leaf.NotBefore, c.leaf, b.material(c))
	return err == nil
}

func (b byCertificate) verify(ctx context.Context, c *Candidate, d mirror.Digest, at time.Time) (Proof, error) {
	if c.leaf == nil {
		return Proof{}, errNoCertificate
	}
	p, err := b.provenBy(c.leaf)
	if err != nil {
		return Proof{}, err
	}
	m := b.material(c)
	var why error // no more times are known
	p.Times, why = c.times(m, nil)
	o := checkOpts(m, c.item.Form, &p)
	if err := b.ask(o, c, p.Times); err != nil {
		return p, errors.Join(err, why)
	}
	if c.bundle != nil {
		err = verifyBundle(ctx, c, d, o, &p)
	} else {
		err = b.annotated(ctx, c, d, o)
	}
	if err != nil {
		return p, err
	}
	ends, err := inTime(c, m, b.lived(p.Times, at))
	if len(p.Times) == 0 {
		p.Until = ends // nothing but the certificates says that it was signed in their time
	}
	return p, err
}

// provenBy is a proof by whom the certificate names, if that is whom this signer means.
func (b byCertificate) provenBy(leaf *x509.Certificate) (p Proof, err error) {
	if p.by, err = b.knows(leaf); err != nil {
		return p, err
	}
	if p.Identity, err = p.by.text(b.keyless); err != nil {
		return p, err
	}
	der, err := x509.MarshalPKIXPublicKey(leaf.PublicKey)
	p.Key = mirror.DigestOf(der)
	return p, err
}

// knows says who the certificate names, if that is whom this signer means. The library compares too; this is for what
// it would let through: no issuer, or several subjects.
func (b byCertificate) knows(leaf *x509.Certificate) (named, error) {
	who, err := whoIs(leaf)
	if err == nil && (!b.issuer.compiled.MatchString(who.issuer) || !b.subject.compiled.MatchString(who.subject)) {
		err = fmt.Errorf("the certificate names %q of issuer %q", who.subject, who.issuer)
	}
	return who, err
}

// material is the root, with the intermediate certificates that came with a signature where its authorities may have
// some that the root does not list.
func (b byCertificate) material(c *Candidate) root.TrustedMaterial {
	if b.keyless || len(c.chain) == 0 {
		return b.root.material
	}
	return withChain{b.root.material, c.chain}
}

// ask fills in what the library must ask for: exactly one identity, and the times that the certificate is held
// against.
func (b byCertificate) ask(o *cosign.CheckOpts, c *Candidate, times []Time) error {
	o.Identities = []cosign.Identity{{IssuerRegExp: b.issuer.source, SubjectRegExp: b.subject.source}}
	stamped, logged := from(times, SourceAuthority), from(times, SourceLog)
	if !b.keyless {
		o.IgnoreSCT, o.IgnoreTlog, o.UseSignedTimestamps = true, !logged, stamped
		return nil
	}
	o.IgnoreSCT = len(b.root.material.CTLogs()) == 0
	o.IgnoreTlog = len(b.root.material.RekorLogs()) == 0
	o.UseSignedTimestamps = o.IgnoreTlog || stamped
	if c.bundle != nil {
		needed, err := needsStamps(c)
		o.UseSignedTimestamps = o.UseSignedTimestamps || needed
		return err
	}
	if len(times) == 0 {
		return errNoTime // the library gives up in a worse way
	}
	return nil
}

// needsStamps says whether a bundle must be held against timestamps: it has some, or it has a log entry without a time,
// as Rekor 2 makes them. This is the rule by which all vectors of sigstore-conformance come out right.
func needsStamps(c *Candidate) (bool, error) {
	stamps, err := c.bundle.Timestamps()
	if err != nil || len(stamps) > 0 {
		return len(stamps) > 0, err
	}
	entries, err := c.bundle.TlogEntries()
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if e.IntegratedTime().IsZero() {
			return true, nil
		}
	}
	return false, nil
}

// annotated verifies what is no bundle with all that its annotations hold.
func (b byCertificate) annotated(ctx context.Context, c *Candidate, d mirror.Digest, o *cosign.CheckOpts) error {
	certificate, err := c.withCertificate()
	if err != nil {
		return err
	}
	besides := []static.Option{certificate}
	if c.entry != nil {
		besides = append(besides, static.WithBundle(c.entry))
	}
	if c.stamp != nil && o.UseSignedTimestamps {
		besides = append(besides, static.WithRFC3161Timestamp(c.stamp))
	}
	sig, err := c.signature(besides...)
	if err != nil {
		return err
	}
	return c.verify(ctx, sig, d, o)
}

// lived gives the moments at which the certificate must have been valid.
func (b byCertificate) lived(times []Time, at time.Time) []Time {
	if len(times) == 0 && !b.keyless && !at.IsZero() {
		return []Time{{At: at}}
	}
	return times
}

// inTime holds the whole chain against each moment at which the signature is known to have existed. The library holds
// only the leaf of an annotated certificate against it, and accepts authorities that had expired long before
// (CVE-2026-24122, not mended in its second version); of several timestamps by one authority it looks at the first. It
// gives the first moment at which the chain is not valid any more.
func inTime(c *Candidate, m root.TrustedMaterial, times []Time) (ends time.Time, err error) {
	if len(times) == 0 {
		return ends, errNoTime
	}
	for _, t := range times {
		chains, err := verify.VerifyLeafCertificate(t.At, c.leaf, m)
		if err != nil {
			return ends, fmt.Errorf("at %s the certificate or its authorities were not valid: %w", t.At.UTC().Format(time.RFC3339), err)
		}
		for _, chain := range chains { // the earliest of all: what another chain proves longer is judged again then
			for _, cert := range chain {
				if end := cert.NotAfter.Add(time.Second); ends.IsZero() || end.Before(ends) {
					ends = end
				}
			}
		}
	}
	return ends, nil
}
