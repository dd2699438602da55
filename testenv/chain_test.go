package testenv

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/sigstore/cosign/v2/pkg/cosign"
)

func TestChain_SignsForWhomTheCAVouches(t *testing.T) {
	chain, err := NewChain(ChainOptions{Subject: "release@corp.example"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewChain(ChainOptions{Subject: "release@corp.example"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := chain.Signer()
	if err != nil {
		t.Fatal(err)
	}
	repo, d := signedImage(t)
	if err := s.SignLegacy(t.Context(), repo.String(), d); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		subject string
		of      *Chain
		fine    bool
	}{
		"itself":        {"release@corp.example", chain, true},
		"other subject": {"other@corp.example", chain, false},
		"other CA":      {"release@corp.example", other, false},
	} {
		opts := &cosign.CheckOpts{RootCerts: x509.NewCertPool(), IntermediateCerts: x509.NewCertPool(), IgnoreSCT: true, IgnoreTlog: true, Offline: true,
			ClaimVerifier: cosign.SimpleClaimVerifier, Identities: []cosign.Identity{{IssuerRegExp: ".*", Subject: c.subject}}}
		opts.RootCerts.AppendCertsFromPEM(c.of.RootPEM())
		opts.IntermediateCerts.AppendCertsFromPEM(c.of.CA())
		_, err := cosign.VerifyImageSignature(t.Context(), layersAt(t, repo, d, ".sig")[0], d, opts)
		if (err == nil) != c.fine {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestChain_ExpiresWhenItIsAskedTo(t *testing.T) {
	then := time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		options ChainOptions
		at      time.Time
		fine    bool
	}{
		"in its time":        {ChainOptions{Until: then, CAUntil: then}, then.Add(-time.Hour), true},
		"the leaf expired":   {ChainOptions{Until: then}, then.Add(time.Hour), false},
		"the CA expired":     {ChainOptions{CAUntil: then}, then.Add(time.Hour), false},
		"not yet valid":      {ChainOptions{From: then}, then.Add(-time.Hour), false},
		"not to sign code":   {ChainOptions{OtherPurpose: true}, then, false},
		"a URL as a subject": {ChainOptions{Subject: "https://corp.example/release"}, then, true},
	} {
		t.Run(name, func(t *testing.T) {
			chain, err := NewChain(c.options)
			if err != nil {
				t.Fatal(err)
			}
			o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: c.at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
			o.Roots.AppendCertsFromPEM(chain.RootPEM())
			o.Intermediates.AppendCertsFromPEM(chain.CA())
			if _, err := chain.leaf.cert.Verify(o); (err == nil) != c.fine {
				t.Errorf("got %v", err)
			}
		})
	}
}
