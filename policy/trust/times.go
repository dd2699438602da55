package trust

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// maxStamps is how many timestamps of one bundle are looked at, as the library itself has it.
const maxStamps = 32

// Sources of times.
const (
	SourceAuthority = "timestamp authority"
	SourceLog       = "transparency log"
)

// times gives all moments that the root vouches for that the signature existed. What it cannot vouch for gives none,
// and an error that says why: whether one is needed is the caller's to say. key is the signer's, nil where a
// certificate says who signed.
//
// A time is bound to the bytes of the signature, so it says nothing before the signature itself is verified.
func (c *Candidate) times(m root.TrustedMaterial, key signature.Verifier) ([]Time, error) {
	if m == nil {
		return nil, nil
	}
	if key != nil {
		m = withPublicKey{m, key}
	}
	sources := []func() ([]Time, error){
		func() ([]Time, error) { return c.annotatedStamp(m) },
		func() ([]Time, error) { return c.annotatedEntry(m, key) },
	}
	if c.bundle != nil {
		sources = []func() ([]Time, error){
			func() ([]Time, error) { return c.bundleStamps(m) },
			func() ([]Time, error) { return c.bundleEntries(m) },
		}
	}
	var found []Time
	var faults []error
	for _, source := range sources {
		faults = append(faults, guarded(func() error {
			times, err := source()
			if err == nil {
				found = append(found, times...)
			}
			return err
		}))
	}
	return found, errors.Join(faults...)
}

// bundleStamps gives the times of all timestamps, also where one authority made several.
func (c *Candidate) bundleStamps(m root.TrustedMaterial) ([]Time, error) {
	stamps, err := c.bundle.Timestamps()
	if err != nil || len(stamps) == 0 {
		return nil, err
	}
	content, err := c.bundle.SignatureContent()
	if err != nil {
		return nil, err
	}
	if len(stamps) > maxStamps {
		return nil, fmt.Errorf("%d timestamps where at most %d are read", len(stamps), maxStamps)
	}
	var times []Time
	var faults []error
	for _, stamp := range stamps {
		t, err := stampedAt(m, stamp, content.Signature())
		if err != nil {
			faults = append(faults, err)
			continue
		}
		times = append(times, t)
	}
	if len(times) == 0 {
		return nil, errors.Join(faults...)
	}
	return times, nil
}

// stampedAt asks the authorities themselves: the library's function for annotations indexes into nothing when none of
// them made the timestamp.
func stampedAt(m root.TrustedMaterial, stamp, over []byte) (Time, error) {
	for _, authority := range m.TimestampingAuthorities() {
		if s, err := authority.Verify(stamp, over); err == nil {
			return Time{At: s.Time.UTC(), Source: SourceAuthority}, nil
		}
	}
	return Time{}, errors.New("no timestamp authority of the root made the timestamp")
}

// bundleEntries gives the times of log entries that the log promised. The time beside a mere proof of inclusion is
// signed by nobody, and entries of Rekor v2 have none.
func (c *Candidate) bundleEntries(m root.TrustedMaterial) ([]Time, error) {
	stamps, err := verify.VerifyTlogEntry(c.bundle, m, 1, true)
	var times []Time
	for _, s := range stamps {
		times = append(times, Time{At: s.Time.UTC(), Source: SourceLog})
	}
	return times, err
}

func (c *Candidate) annotatedStamp(m root.TrustedMaterial) ([]Time, error) {
	if c.stamp == nil {
		return nil, nil
	}
	over := c.item.Body // of an envelope
	if c.item.Form == Payload {
		var err error
		if over, err = base64.StdEncoding.DecodeString(c.item.Signature); err != nil {
			return nil, err
		}
	}
	t, err := stampedAt(m, c.stamp.SignedRFC3161Timestamp, over)
	if err != nil {
		return nil, err
	}
	return []Time{t}, nil
}

// annotatedEntry verifies that the log entry is of this very signature, by this very key or certificate, and that the
// log promised it.
func (c *Candidate) annotatedEntry(m root.TrustedMaterial, key signature.Verifier) ([]Time, error) {
	if c.entry == nil || len(m.RekorLogs()) == 0 {
		return nil, nil
	}
	besides := []static.Option{static.WithBundle(c.entry)}
	if key == nil {
		certificate, err := c.withCertificate()
		if err != nil {
			return nil, err
		}
		besides = append(besides, certificate)
	}
	sig, err := c.signature(besides...)
	if err != nil {
		return nil, err
	}
	o := checkOpts(m, c.item.Form, &Proof{})
	o.SigVerifier = key
	if ok, err := cosign.VerifyBundle(sig, o); err != nil || !ok {
		return nil, err
	}
	return []Time{{At: time.Unix(c.entry.Payload.IntegratedTime, 0).UTC(), Source: SourceLog}}, nil
}

// from says whether one of the times is of the source.
func from(times []Time, source string) bool {
	for _, t := range times {
		if t.Source == source {
			return true
		}
	}
	return false
}

// withPublicKey is trusted material with a key besides, under any name: which key signed is settled already.
type withPublicKey struct {
	root.TrustedMaterial
	key signature.Verifier
}

func (w withPublicKey) PublicKeyVerifier(string) (root.TimeConstrainedVerifier, error) {
	return root.NewExpiringKey(w.key, time.Time{}, time.Time{}), nil
}
