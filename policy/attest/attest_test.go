package attest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/cosign/v2/pkg/cosign"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const verdictKey = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

var (
	image   = mirror.Reference{Host: "docker.io", Repository: "library/app", Tag: "1", Digest: mirror.DigestOf([]byte("app"))}
	place   = mirror.Reference{Host: "registry.example", Repository: "mirror/docker.io/library/app", Digest: image.Digest}
	content = mirror.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: image.Digest, Size: 1234}
	signed  = mirror.Verdict{Outcome: mirror.OutcomeSigned, Reason: mirror.Because(mirror.Signed, "signed by release"), Signers: []string{"release"},
		RuleHash: mirror.DigestOf([]byte("rules")), TrustHash: mirror.DigestOf([]byte("trust")), At: now, Seen: now.Add(-time.Hour), Until: now.Add(24 * time.Hour),
		Evidence:  []mirror.Evidence{{Descriptor: mirror.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: mirror.DigestOf([]byte("sig")), Size: 9}}},
		Proofs:    []mirror.Proof{{Signer: "release", Identity: "key sha256:11", Manifest: mirror.DigestOf([]byte("sig")), Time: now.Add(-time.Minute), Source: "transparency log"}},
		Exception: &mirror.Exception{Match: "docker.io/library/app", Skip: []string{"age"}, Until: now.Add(24 * time.Hour), Reason: "VEND-1", ApprovedBy: "alice"}}
)

func newTestKey(t *testing.T) *Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := newKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *Key) testVerdict(t *testing.T, v Verdict) Statement {
	t.Helper()
	v.Verifier = "https://poundlock.example/berlin"
	s, err := k.Verdict(v)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func beside(t *testing.T, all ...Statement) mirror.Content {
	t.Helper()
	c, err := Beside(content, all...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// block writes a private key as PEM.
func block(kind string, der []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestLoadKey_ReadsEveryFormAndWhatItSignsIsVerifiedWithItsPublicHalf(t *testing.T) {
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(key crypto.PrivateKey) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return block("PRIVATE KEY", der, err)
	}
	ec, err := x509.MarshalECPrivateKey(p256)
	pair := must(cosign.GenerateKeyPair(func(bool) ([]byte, error) { return []byte("open sesame"), nil }))
	for name, c := range map[string]struct {
		key, password []byte
	}{
		"cosign":               {pair.PrivateBytes, []byte("open sesame")},
		"cosign, no line end":  {bytes.TrimSpace(pair.PrivateBytes), []byte("open sesame")},
		"PKCS #8 P-256":        {pkcs8(p256), nil},
		"PKCS #8 P-384":        {pkcs8(p384), nil},
		"PKCS #8 RSA":          {pkcs8(must(rsa.GenerateKey(rand.Reader, 2048))), nil},
		"PKCS #8 Ed25519":      {pkcs8(ed), nil},
		"EC":                   {block("EC PRIVATE KEY", ec, err), nil},
		"EC with its settings": {append([]byte("some words before\n"), block("EC PRIVATE KEY", ec, err)...), nil},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := LoadKey(c.key, c.password)
			if err != nil {
				t.Fatal(err)
			}
			v, err := k.ReadVerdict(t.Context(), beside(t, k.testVerdict(t, Verdict{Image: image, Key: verdictKey, Verdict: signed})), place, image.Digest, verdictKey)
			if err != nil || v.Outcome != mirror.OutcomeSigned || !v.Attested {
				t.Errorf("got %+v, %v", v, err)
			}
			one, two := must(k.Signature(place.Name(), image.Digest)), must(k.Signature(place.Name(), image.Digest))
			if !bytes.Equal(one.bundle, two.bundle) || !bytes.Equal(one.sig, two.sig) {
				t.Error("the same signature was made twice with other bytes")
			}
			public := must(trust.NewKey("site", k.PublicPEM(), trust.KeyOptions{}))
			for form, it := range map[string]trust.Item{"bundle": {Form: trust.Bundle, Body: one.bundle},
				"legacy": {Form: trust.Payload, Body: one.payload, Signature: one.encoded()}} {
				candidate := must(trust.Prepare(it))
				if p, err := candidate.Prove(t.Context(), public, image.Digest, now); err != nil || p.Type != "" || p.Identity != k.Identity() {
					t.Errorf("%s: got %+v, %v", form, p, err)
				}
				if _, err := candidate.Prove(t.Context(), public, mirror.DigestOf(nil), now); err == nil {
					t.Errorf("%s: it is accepted for another digest", form)
				}
			}
		})
	}
}

func TestLoadKey_SaysWhatIsWrongAndNothingOfTheKey(t *testing.T) {
	const password = "canary-password"
	pair := must(cosign.GenerateKeyPair(func(bool) ([]byte, error) { return []byte(password), nil }))
	der, err := x509.MarshalPKCS8PrivateKey(must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)))
	p521 := block("PRIVATE KEY", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
	plain := block("PRIVATE KEY", der, err)
	for name, c := range map[string]struct {
		key, password string
		want          error
	}{
		"nothing":                      {"", "", ErrNoKey},
		"text":                         {"canary-password", "", ErrNoKey},
		"public key":                   {string(pair.PublicBytes), "", ErrNoKey},
		"mangled":                      {"-----BEGIN PRIVATE KEY-----\nY2FuYXJ5LXBhc3N3b3Jk\n-----END PRIVATE KEY-----\n", "", ErrNoKey},
		"mangled, encrypted":           {"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nY2FuYXJ5LXBhc3N3b3Jk\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n", password, ErrPassword},
		"wrong password":               {string(pair.PrivateBytes), "canary-other", ErrPassword},
		"no password":                  {string(pair.PrivateBytes), "", ErrNoPassword},
		"password and no encryption":   {string(plain), password, ErrNotNeeded},
		"curve that nobody can verify": {string(p521), "", errUnsupported},
	} {
		_, err := LoadKey([]byte(c.key), []byte(c.password))
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestKey_ShowsNothingOfItsPrivateHalf(t *testing.T) {
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	k := must(newKey(private))
	inside := struct{ k *Key }{k}
	//lint:ignore SA9005 that it shows nothing is what is tested
	js, _ := json.Marshal(k)
	shown := fmt.Sprintf("%v %+v %#v %s %+v %#v", k, k, *k, js, inside, inside)
	raw := must(private.Bytes())
	//lint:ignore SA1019 D is what a printer would show
	for _, secret := range []string{fmt.Sprint(raw), fmt.Sprintf("%x", raw), fmt.Sprintf("%#v", raw), private.D.String()} {
		if strings.Contains(shown, secret) {
			t.Errorf("the private key is shown: %s", shown)
		}
	}
}

func TestVerdict_IsASummaryThatComesBackWhole(t *testing.T) {
	k := newTestKey(t)
	c := beside(t, k.testVerdict(t, Verdict{Image: image, Key: verdictKey, Verdict: signed}))
	v, err := k.ReadVerdict(t.Context(), c, place, image.Digest, verdictKey)
	if err != nil {
		t.Fatal(err)
	}
	want := signed
	want.Attested = true
	got, _ := json.Marshal(v)
	if wanted, _ := json.Marshal(want); !bytes.Equal(got, wanted) {
		t.Errorf("got  %s\nwant %s", got, wanted)
	}
	list, err := c.Referrers(t.Context(), place, image.Digest)
	if err != nil || len(list) != 1 {
		t.Fatalf("got %d referrers, %v", len(list), err)
	}
	p, err := k.prove(t.Context(), c, place, image.Digest, k.Marked(list)[0])
	if err != nil {
		t.Fatal(err)
	}
	var summary map[string]any
	if err := json.Unmarshal(p.Predicate, &summary); err != nil {
		t.Fatal(err)
	}
	inputs := []any{map[string]any{"uri": "oci://docker.io/library/app@" + signed.Evidence[0].Digest.String(), "digest": map[string]any{"sha256": signed.Evidence[0].Digest.Hex}}}
	for field, want := range map[string]any{
		"verifier":           map[string]any{"id": "https://poundlock.example/berlin"},
		"timeVerified":       "2026-11-21T12:00:00Z",
		"resourceUri":        "oci://" + image.String(),
		"policy":             map[string]any{"uri": mirror.PolicyFile, "digest": map[string]any{"sha256": signed.RuleHash.Hex}},
		"inputAttestations":  inputs,
		"verificationResult": "PASSED",
		"verifiedLevels":     []any{"SLSA_BUILD_LEVEL_UNEVALUATED"},
	} {
		if fmt.Sprint(summary[field]) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", field, summary[field], want)
		}
	}
	if p.Type != VerdictType || list[0].Annotations[kindKey] != VerdictType || string(list[0].ArtifactType) != bundleType {
		t.Errorf("got type %q, listed as %q with %v", p.Type, list[0].ArtifactType, list[0].Annotations)
	}
}

func TestVerdict_OnlyWhatPolicyStandsBehindIsAttested(t *testing.T) {
	k := newTestKey(t)
	for _, outcome := range []mirror.Outcome{"", mirror.OutcomeRejected, mirror.OutcomeUnknown, mirror.OutcomeWarn} {
		v := signed
		v.Outcome = outcome
		if _, err := k.Verdict(Verdict{Image: image, Key: verdictKey, Verdict: v}); err == nil {
			t.Errorf("a verdict %q was attested", outcome)
		}
	}
	if _, err := k.Verdict(Verdict{Image: image, Verdict: signed}); err == nil {
		t.Error("a verdict without key was attested")
	}
}

// relabelled lists statements under other annotations than they have, as whoever writes to a registry can.
type relabelled struct {
	mirror.Content
	mark Mark
	by   string
}

func (r relabelled) Referrers(ctx context.Context, at mirror.Reference, d mirror.Digest) ([]mirror.Descriptor, error) {
	list, err := r.Content.Referrers(ctx, at, d)
	list = slices.Clone(list)
	for i := range list {
		list[i].Annotations = map[string]string{markKey: string(r.mark), byKey: r.by}
	}
	return list, err
}

// broken serves other bytes than it lists.
type broken struct{ mirror.Content }

func (b broken) Blob(ctx context.Context, at mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	r, err := b.Content.Blob(ctx, at, d, offset)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r)
	return io.NopCloser(bytes.NewReader(bytes.Replace(body, []byte("a"), []byte("b"), 1))), err
}

func TestReadVerdict_ForgeriesAreRefused(t *testing.T) {
	k, other := newTestKey(t), newTestKey(t)
	statement := Verdict{Image: image, Key: verdictKey, Verdict: signed}
	const older = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	pretend := func(c mirror.Content) mirror.Content { return relabelled{c, VerdictMark(verdictKey), k.Identity()} }
	rejected := signed
	rejected.Outcome = mirror.OutcomeRejected
	elsewhere := image.WithDigest(mirror.DigestOf([]byte("another image")))
	stolen := k.testVerdict(t, Verdict{Image: elsewhere, Key: verdictKey, Verdict: signed})
	promoted := must(k.Promotion(Promotion{Source: image, To: "production"}, now))
	for name, c := range map[string]mirror.Content{
		"signed by another key":                        beside(t, other.testVerdict(t, statement)),
		"signed by another key, marked as ours":        pretend(beside(t, other.testVerdict(t, statement))),
		"of another digest, hung on this one":          beside(t, stolen),
		"replayed from an older policy":                beside(t, k.testVerdict(t, Verdict{Image: image, Key: older, Verdict: signed})),
		"replayed from an older policy, marked anew":   pretend(beside(t, k.testVerdict(t, Verdict{Image: image, Key: older, Verdict: signed}))),
		"a promotion, marked as verdict":               pretend(beside(t, promoted)),
		"a signature, marked as verdict":               pretend(beside(t, must(k.Signature(place.Name(), image.Digest)))),
		"a verdict that admits nothing, really signed": pretend(beside(t, must(k.state(VerdictMark(verdictKey), VerdictType, image.Digest, now, summary{Result: passed, Details: details{verdictKey, rejected}})))),
		"a summary that failed, really signed":         pretend(beside(t, must(k.state(VerdictMark(verdictKey), VerdictType, image.Digest, now, summary{Result: "FAILED", Details: details{verdictKey, signed}})))),
		"another type of predicate, really signed":     pretend(beside(t, must(k.state(VerdictMark(verdictKey), "https://example.org/v1", image.Digest, now, summary{Result: passed, Details: details{verdictKey, signed}})))),
		"bytes that were changed":                      broken{beside(t, k.testVerdict(t, statement))},
		"nothing at all":                               beside(t),
	} {
		if v, err := k.ReadVerdict(t.Context(), c, place, image.Digest, verdictKey); err == nil {
			t.Errorf("%s: it counts: %+v", name, v)
		}
	}
	if _, err := k.ReadVerdict(t.Context(), beside(t, k.testVerdict(t, statement)), place, elsewhere.Digest, verdictKey); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("another digest has it too: %v", err)
	}
}

func TestHas_BelievesTheStatementAndNotItsMark(t *testing.T) {
	k := newTestKey(t)
	p := Promotion{Set: "web", Entry: "app", Source: image, Image: place, From: "staging", To: "production", Commit: "c0ffee", Below: now}
	statements := []Statement{k.testVerdict(t, Verdict{Image: image, Key: verdictKey, Verdict: signed}), must(k.Promotion(p, now)), must(k.Signature(place.Name(), image.Digest))}
	c := beside(t, statements...)
	list, err := c.Referrers(t.Context(), place, image.Digest)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if has, err := k.Has(t.Context(), c, place, image.Digest, list, s.Mark()); err != nil || !has {
			t.Errorf("%s: got %v, %v", s.Mark(), has, err)
		}
		if has, err := newTestKey(t).Has(t.Context(), c, place, image.Digest, list, s.Mark()); err != nil || has {
			t.Errorf("%s counts for another key: %v", s.Mark(), err)
		}
		for _, mark := range []Mark{VerdictMark("sha256:00"), Promotion{To: "production"}.Mark(), "promotion", "verdict", "other"} {
			forged := relabelled{beside(t, s), mark, k.Identity()}
			list, err := forged.Referrers(t.Context(), place, image.Digest)
			if err != nil {
				t.Fatal(err)
			}
			if has, err := k.Has(t.Context(), forged, place, image.Digest, list, mark); err != nil || has {
				t.Errorf("%s passes as %s: %v", s.Mark(), mark, err)
			}
		}
	}
}

func TestMarked_NewestFirstAndOnlyOfThisKey(t *testing.T) {
	k, other := newTestKey(t), newTestKey(t)
	var all []Statement
	for i := range 3 {
		v := signed
		v.At = now.Add(time.Duration(i) * time.Hour)
		all = append(all, k.testVerdict(t, Verdict{Image: image, Key: fmt.Sprint("sha256:", i), Verdict: v}))
	}
	all = append(all, other.testVerdict(t, Verdict{Image: image, Key: verdictKey, Verdict: signed}))
	list, err := beside(t, all...).Referrers(t.Context(), place, image.Digest)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range k.Marked(list) {
		got = append(got, string(f.Mark))
	}
	if want := []string{"verdict sha256:2", "verdict sha256:1", "verdict sha256:0"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
