package trust_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
	"github.com/poundlock/poundlock/testenv"
)

func TestVerifyBundle_WantsOneWhoSignedAndALogThatKnows(t *testing.T) {
	a, _ := newAuthority(t, testenv.AuthorityOptions{})
	uncertain, _ := newAuthority(t, testenv.AuthorityOptions{WithoutCT: true})
	key, stranger := newSigner(t, "ed25519"), newSigner(t, "p256")
	hollow := []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)
	person := trust.BundleCheck{Issuer: issuer, Subject: subject, Root: a.TrustedRoot()}
	byKey := func(s *testenv.Signer, root []byte) trust.BundleCheck {
		return trust.BundleCheck{Key: []byte(s.PublicPEM()), Root: root}
	}
	with := func(c trust.BundleCheck, change func(*trust.BundleCheck)) trust.BundleCheck { change(&c); return c }
	for name, c := range map[string]struct {
		signer *testenv.Signer
		twists []testenv.Twist
		check  trust.BundleCheck
		want   string
	}{
		"person":                      {a.Person(issuer, subject), nil, person, ""},
		"person, rekor v2":            {a.Person(issuer, subject), []testenv.Twist{testenv.WitnessedBy(testenv.RekorV2)}, person, ""},
		"person without a log":        {a.Person(issuer, subject), []testenv.Twist{testenv.WitnessedBy(testenv.Stamp)}, person, "log inclusion"},
		"certificate in no log":       {uncertain.Person(issuer, subject), nil, with(person, func(c *trust.BundleCheck) { c.Root = uncertain.TrustedRoot() }), "signed certificate timestamp"},
		"another issuer":              {a.Person(issuer, subject), nil, with(person, func(c *trust.BundleCheck) { c.Issuer = "https://other" }), "issuer"},
		"a glob is no name":           {a.Person(issuer, subject), nil, with(person, func(c *trust.BundleCheck) { c.Subject = "https://**" }), "SAN"},
		"the public sigstore":         {a.Person(issuer, subject), nil, with(person, func(c *trust.BundleCheck) { c.Root = nil }), "log inclusion"},
		"key":                         {key, nil, byKey(key, a.TrustedRoot()), ""},
		"key and a hollow root":       {key, nil, byKey(key, hollow), ""},
		"key and no root":             {key, nil, byKey(key, nil), ""},
		"key and log":                 {a.Timestamped(stranger), []testenv.Twist{testenv.WitnessedBy(testenv.RekorV1)}, byKey(stranger, a.TrustedRoot()), ""},
		"key and the log of a nobody": {a.Timestamped(stranger), []testenv.Twist{testenv.WitnessedBy(testenv.RekorV1)}, byKey(stranger, uncertain.TrustedRoot()), "log inclusion"},
		"another key":                 {key, nil, byKey(stranger, a.TrustedRoot()), "verify signature"},
		"key for a person":            {a.Person(issuer, subject), nil, byKey(stranger, a.TrustedRoot()), "certificate"},
		"person for a key":            {key, nil, person, "no certificate"},
		"tampered":                    {a.Person(issuer, subject), []testenv.Twist{testenv.Tampered()}, person, "does not match"},
		"key and name":                {key, nil, with(byKey(key, nil), func(c *trust.BundleCheck) { c.Issuer, c.Subject = issuer, subject }), trust.ErrBundleCheck.Error()},
		"key and half a name":         {key, nil, with(byKey(key, nil), func(c *trust.BundleCheck) { c.Subject = subject }), trust.ErrBundleCheck.Error()},
		"half a name":                 {key, nil, trust.BundleCheck{Subject: subject}, trust.ErrBundleCheck.Error()},
		"nobody":                      {key, nil, trust.BundleCheck{}, trust.ErrBundleCheck.Error()},
		"a root that is none":         {key, nil, byKey(key, []byte("{")), "trusted root"},
		"root whose logs never began": {key, nil, byKey(key, without(t, a.TrustedRoot(), "start")), "trusted root"},
	} {
		t.Run(name, func(t *testing.T) {
			image := newImage(t)
			if err := c.signer.AttestBundle(t.Context(), image.repo, image.digest, slsa, map[string]any{}, c.twists...); err != nil {
				t.Fatal(err)
			}
			c.check.Digest = image.digest
			body := image.only(t).Body
			who, err := trust.VerifyBundle(t.Context(), body, c.check)
			wantError(t, err, c.want)
			if (who == "") != (err != nil) {
				t.Errorf("got %q, %v", who, err)
			}
			if err != nil {
				return
			}
			c.check.Digest = mirror.DigestOf([]byte("another"))
			if _, err := trust.VerifyBundle(t.Context(), body, c.check); err == nil {
				t.Error("it verifies for another artifact")
			}
			c.check.Artifact = strings.NewReader("another")
			if _, err := trust.VerifyBundle(t.Context(), body, c.check); err == nil {
				t.Error("it verifies for another file")
			}
		})
	}
}

func TestVerifyBundle_HostileBytesAreErrors(t *testing.T) {
	check := trust.BundleCheck{Issuer: issuer, Subject: subject, Digest: mirror.DigestOf(nil)}
	for _, body := range []string{"", "{}", "[]", `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`,
		`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"AAAA"}},"messageSignature":{}}`,
		`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{}},"dsseEnvelope":{}}`} {
		if _, err := trust.VerifyBundle(t.Context(), []byte(body), check); err == nil || errors.Is(err, trust.ErrBundleCheck) {
			t.Errorf("%s: got %v", body, err)
		}
	}
}
