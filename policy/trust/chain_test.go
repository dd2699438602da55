package trust_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/poundlock/poundlock/policy/trust"
	"github.com/poundlock/poundlock/testenv"
)

func TestCertificate_MustBeValidWithItsAuthoritiesWhenItSigned(t *testing.T) {
	past, future := testenv.SignedAt.Add(-time.Hour), testenv.SignedAt.AddDate(10, 0, 0)
	for name, c := range map[string]struct {
		options testenv.ChainOptions
		at      time.Time // zero: when it was signed
		root    bool      // only the root is known, the intermediate certificate comes with the signature
		subject string
		legacy  string // what is wrong; "" for nothing
		bundle  string
	}{
		"all valid":                    {},
		"intermediate comes along":     {root: true, bundle: "leaf certificate verification failed"},
		"leaf has expired":             {options: testenv.ChainOptions{Until: past}, legacy: "expected a signed timestamp to verify an expired certificate", bundle: "leaf certificate verification failed"},
		"authorities have expired":     {options: testenv.ChainOptions{CAUntil: past}, legacy: "at 2026-06-01T12:00:00Z the certificate or its authorities were not valid", bundle: "leaf certificate verification failed"},
		"authorities expire until now": {options: testenv.ChainOptions{CAUntil: future}, at: future.Add(time.Second), legacy: "at 2036-06-01T12:00:01Z", bundle: "at 2036-06-01T12:00:01Z"},
		"not for code":                 {options: testenv.ChainOptions{OtherPurpose: true}, legacy: "leaf certificate verification failed", bundle: "leaf certificate verification failed"},
		"another subject":              {subject: "other@corp.example", legacy: "names", bundle: "names"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.options.Subject = "release@corp.example"; c.subject == "" {
				c.subject = c.options.Subject
			}
			if c.at.IsZero() {
				c.at = testenv.SignedAt
			}
			chain, signer := newChain(t, c.options)
			pem := chain.CA()
			if c.root {
				pem = chain.RootPEM()
			}
			root, err := trust.ParseCA(pem)
			if err != nil {
				t.Fatal(err)
			}
			s, err := trust.NewCertificate("team", root, trust.Identity{Subject: c.subject})
			if err != nil {
				t.Fatal(err)
			}
			for form, make := range makings {
				want := c.legacy
				if form == "bundle" || form == "attestation bundle" {
					want = c.bundle
				}
				image := newImage(t)
				if err := make(signer, t.Context(), image); err != nil {
					t.Fatal(err)
				}
				candidate, err := trust.Prepare(image.only(t))
				if err != nil {
					t.Fatal(err)
				}
				p, err := candidate.Prove(t.Context(), s, image.digest, c.at)
				wantError(t, err, want)
				if err == nil && (p.Identity != "certificate release@corp.example" || len(p.Times) > 0) {
					t.Errorf("%s: got identity %q and times %v", form, p.Identity, p.Times)
				}
				if _, err := candidate.Prove(t.Context(), s, image.digest, time.Time{}); err == nil {
					t.Errorf("%s: it was accepted for a time that nobody knows", form)
				}
			}
		})
	}
}

func TestCertificate_AnotherAuthorityOfTheSameNameIsRefused(t *testing.T) {
	_, signer := newChain(t, testenv.ChainOptions{Subject: "release@corp.example"})
	other, _ := newChain(t, testenv.ChainOptions{Subject: "release@corp.example"})
	root, err := trust.ParseCA(other.CA())
	if err != nil {
		t.Fatal(err)
	}
	s, err := trust.NewCertificate("team", root, trust.Identity{Subject: "**"})
	if err != nil {
		t.Fatal(err)
	}
	for form, make := range makings {
		image := newImage(t)
		if err := make(signer, t.Context(), image); err != nil {
			t.Fatal(err)
		}
		if _, err := prove(t, image.only(t), s, image.digest); !errors.Is(err, trust.ErrStranger) {
			t.Errorf("%s: the certificate of a stranger: got %v", form, err)
		}
	}
}

// The authority's certificates end between the making of the signer's certificate and the signature. The library holds
// only the leaf of a legacy signature against the moment of signing (CVE-2026-24122).
func TestKeyless_AuthorityThatEndedBeforeTheSignature(t *testing.T) {
	a, err := testenv.NewAuthorityWith(testenv.AuthorityOptions{Until: testenv.SignedAt.Add(-30 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	root, err := trust.ParseRoot(without(t, a.TrustedRoot(), "end"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := trust.NewKeyless("ci", root, ci)
	if err != nil {
		t.Fatal(err)
	}
	for form, make := range makings {
		for at, fine := range map[time.Time]bool{testenv.SignedAt: false, testenv.SignedAt.Add(-time.Minute): true} {
			image := newImage(t)
			if err := make(a.Person(issuer, subject), t.Context(), image, testenv.At(at)); err != nil {
				t.Fatal(err)
			}
			if _, err := prove(t, image.only(t), s, image.digest); (err == nil) != fine {
				t.Errorf("%s signed at %s: got %v", form, at, err)
			}
		}
	}
}

// without removes a key of a trusted root wherever it is, such as the ends of validity, so that only those in
// certificates count.
func without(t *testing.T, body []byte, key string) []byte {
	t.Helper()
	var doc any
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	var strip func(any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			delete(v, key)
			for _, below := range v {
				strip(below)
			}
		case []any:
			for _, below := range v {
				strip(below)
			}
		}
	}
	strip(doc)
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
