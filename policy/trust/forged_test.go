package trust_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	sigdsse "github.com/sigstore/sigstore/pkg/signature/dsse"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
	"github.com/poundlock/poundlock/testenv"
)

// A statement of a version that nobody knows may mean anything, also where it is signed.
func TestStatements_OnlyKnownVersionsCount(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	envelopes, err := dsse.NewEnvelopeSigner(&sigdsse.SignerAdapter{SignatureSigner: signer})
	if err != nil {
		t.Fatal(err)
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	s, err := trust.NewKey("release", pem, trust.KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d := mirror.DigestOf([]byte("image"))
	for name, c := range map[string]struct{ version, payloadType, want string }{
		"first":         {`"_type":"https://in-toto.io/Statement/v0.1",`, "application/vnd.in-toto+json", ""},
		"second":        {`"_type":"https://in-toto.io/Statement/v1",`, "application/vnd.in-toto+json", ""},
		"unknown":       {`"_type":"https://in-toto.io/Statement/v9",`, "application/vnd.in-toto+json", "version"},
		"none":          {``, "application/vnd.in-toto+json", "version"},
		"other payload": {`"_type":"https://in-toto.io/Statement/v1",`, "text/plain", "ayload"},
	} {
		t.Run(name, func(t *testing.T) {
			body := fmt.Sprintf(`{%s"predicateType":%q,"subject":[{"digest":{"sha256":%q}}],"predicate":{"n":12345678901234567890}}`, c.version, slsa, d.Hex)
			e, err := envelopes.SignPayload(t.Context(), c.payloadType, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			envelope, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			bundle := []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"x"}},"dsseEnvelope":` + string(envelope) + `}`)
			for form, body := range map[trust.Form][]byte{trust.Envelope: envelope, trust.Bundle: bundle} {
				p, err := prove(t, trust.Item{Form: form, Body: body}, s, d)
				wantError(t, err, c.want)
				if err == nil && string(p.Predicate) != `{"n":12345678901234567890}` {
					t.Errorf("got predicate %s", p.Predicate) // to the last figure
				}
			}
			_, err = trust.VerifyBundle(t.Context(), bundle, trust.BundleCheck{Key: pem, Digest: d})
			wantError(t, err, c.want)
		})
	}
}

// A signature over the bytes of a manifest says nothing of what it is for.
func TestBundle_BareSignatureIsNoStatement(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.SignMessage(strings.NewReader("image"))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	d, other := mirror.DigestOf([]byte("image")), mirror.DigestOf([]byte("other"))
	bundle := func(said mirror.Digest) []byte {
		body, err := json.Marshal(map[string]any{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
			"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "x"}},
			"messageSignature":     map[string]any{"signature": sig, "messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": raw(t, said)}}})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	s, err := trust.NewKey("release", pem, trust.KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = prove(t, trust.Item{Form: trust.Bundle, Body: bundle(d)}, s, d)
	wantError(t, err, "holds no statement")
	for name, c := range map[string]struct {
		said, asked mirror.Digest
		content     string
		want        string
	}{
		"digest":                     {said: d, asked: d},
		"file":                       {said: d, content: "image"},
		"another digest is asked":    {said: d, asked: other, want: "does not match"},
		"another digest is said":     {said: other, content: "image", want: "does not match"},
		"another file":               {said: d, content: "other", want: "verify"},
		"another digest is in there": {said: other, asked: other, want: "verify"},
	} {
		t.Run(name, func(t *testing.T) {
			check := trust.BundleCheck{Key: pem, Digest: c.asked}
			if c.content != "" {
				check.Artifact = strings.NewReader(c.content)
			}
			_, err := trust.VerifyBundle(t.Context(), bundle(c.said), check)
			wantError(t, err, c.want)
		})
	}
}

func raw(t *testing.T, d mirror.Digest) []byte {
	t.Helper()
	var b []byte
	if _, err := fmt.Sscanf(d.Hex, "%x", &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// Where the root knows certificate logs, a certificate that none of them has seen may be one that an authority made in
// secret.
func TestKeyless_CertificateThatNoLogHasSeen(t *testing.T) {
	quiet, _ := newAuthority(t, testenv.AuthorityOptions{WithoutCT: true})
	open, _ := newAuthority(t, testenv.AuthorityOptions{})
	trusted := change(t, quiet.TrustedRoot(), func(doc, of map[string]any) { doc["ctlogs"] = of["ctlogs"] }, open.TrustedRoot())
	wantRefused(t, quiet, trusted, testenv.WitnessedBy(testenv.RekorV1))
}

// A timestamp that no authority of the root made is no mere ornament of a bundle.
func TestKeyless_TimestampOfAStranger(t *testing.T) {
	a, _ := newAuthority(t, testenv.AuthorityOptions{})
	trusted := change(t, a.TrustedRoot(), func(doc, _ map[string]any) { delete(doc, "timestampAuthorities") }, []byte("{}"))
	wantRefused(t, a, trusted, testenv.WitnessedBy(testenv.RekorV1, testenv.Stamp))
}

// wantRefused signs a bundle as a person and holds it against a trusted root that has become another.
func wantRefused(t *testing.T, a *testenv.Authority, trusted []byte, twist testenv.Twist) {
	t.Helper()
	image := newImage(t)
	if err := a.Person(issuer, subject).SignBundle(t.Context(), image.repo, image.digest, twist); err != nil {
		t.Fatal(err)
	}
	for body, fine := range map[*[]byte]bool{&trusted: false, ptr(a.TrustedRoot()): true} {
		root, err := trust.ParseRoot(*body)
		if err != nil {
			t.Fatal(err)
		}
		s, err := trust.NewKeyless("ci", root, ci)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := prove(t, image.only(t), s, image.digest); (err == nil) != fine {
			t.Errorf("got %v", err)
		}
	}
}

func ptr(b []byte) *[]byte { return &b }

// change rewrites a trusted root with the help of another.
func change(t *testing.T, body []byte, f func(doc, of map[string]any), other []byte) []byte {
	t.Helper()
	var doc, of map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(other, &of); err != nil {
		t.Fatal(err)
	}
	f(doc, of)
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// Of several timestamps under one address the library looks at the first. One of them is of a moment at which the
// certificate was no longer valid.
func TestKeyless_EveryTimestampMustFitTheCertificate(t *testing.T) {
	a, _ := newAuthority(t, testenv.AuthorityOptions{})
	late, err := ca.NewVirtualSigstore() // which stamps with the time that it is
	if err != nil {
		t.Fatal(err)
	}
	clock := late.TimestampingAuthorities()[0].(*root.SigstoreTimestampingAuthority)
	clock.URI = "https://time.authority.example"
	other, err := root.NewTrustedRoot(root.TrustedRootMediaType01, nil, nil, []root.TimestampingAuthority{clock}, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := other.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	trusted := change(t, a.TrustedRoot(), func(doc, of map[string]any) {
		doc["timestampAuthorities"] = append(doc["timestampAuthorities"].([]any), of["timestampAuthorities"].([]any)...)
	}, second)
	parsed, err := trust.ParseRoot(trusted)
	if err != nil {
		t.Fatal(err)
	}
	s, err := trust.NewKeyless("ci", parsed, ci)
	if err != nil {
		t.Fatal(err)
	}
	image := newImage(t)
	if err := a.Person(issuer, subject).SignBundle(t.Context(), image.repo, image.digest, testenv.WitnessedBy(testenv.RekorV2)); err != nil {
		t.Fatal(err)
	}
	it := image.only(t)
	if _, err := prove(t, it, s, image.digest); err != nil {
		t.Fatal(err)
	}
	it.Body = change(t, it.Body, func(doc, _ map[string]any) {
		sig := doc["dsseEnvelope"].(map[string]any)["signatures"].([]any)[0].(map[string]any)["sig"]
		var bytes []byte
		body, _ := json.Marshal(sig)
		if err := json.Unmarshal(body, &bytes); err != nil {
			t.Fatal(err)
		}
		stamp, err := late.TimestampResponse(bytes)
		if err != nil {
			t.Fatal(err)
		}
		data := doc["verificationMaterial"].(map[string]any)["timestampVerificationData"].(map[string]any)
		data["rfc3161Timestamps"] = append(data["rfc3161Timestamps"].([]any), map[string]any{"signedTimestamp": stamp})
	}, []byte("{}"))
	_, err = prove(t, it, s, image.digest)
	wantError(t, err, "the certificate or its authorities were not valid")
	_, err = trust.VerifyBundle(t.Context(), it.Body, trust.BundleCheck{Issuer: issuer, Subject: subject, Digest: image.digest, Root: trusted})
	wantError(t, err, "the certificate or its authorities were not valid")
}
