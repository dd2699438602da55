package testenv

import (
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	cosignbundle "github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	cosigntypes "github.com/sigstore/cosign/v2/pkg/types"
	sigstorebundle "github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	anIssuer = "https://oidc.corp.example"
	aSubject = "https://git.corp.example/app/release@refs/tags/v1"
	slsa     = "https://slsa.dev/provenance/v1"
)

func newAuthority(t *testing.T, o AuthorityOptions) (*Authority, *root.TrustedRoot) {
	t.Helper()
	a, err := NewAuthorityWith(o)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := root.NewTrustedRootFromJSON(a.TrustedRoot())
	if err != nil {
		t.Fatalf("trusted root: %v", err)
	}
	return a, trusted
}

// bundles reads every referrer of d that is a bundle.
func bundles(t *testing.T, repo name.Repository, d mirror.Digest) []*sigstorebundle.Bundle {
	t.Helper()
	var found []*sigstorebundle.Bundle
	err := withRepository(repo.String(), func(repo name.Repository, opts ...remote.Option) error {
		index, err := remote.Referrers(repo.Digest(d.String()), append(opts, remote.WithContext(t.Context()))...)
		if err != nil {
			return err
		}
		list, err := index.IndexManifest()
		if err != nil {
			return err
		}
		for _, m := range list.Manifests {
			_, bodies := fetched(t, repo.Digest(m.Digest.String()))
			b := &sigstorebundle.Bundle{}
			if err := b.UnmarshalJSON([]byte(bodies[0])); err != nil {
				return err
			}
			found = append(found, b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAuthority_BundlesOfAPersonAreVerified(t *testing.T) {
	for name, c := range map[string]struct {
		subject string
		options AuthorityOptions
		twists  []Twist
		verify  []verify.VerifierOption
		fails   string
	}{
		"rekor v1":            {subject: aSubject, verify: []verify.VerifierOption{verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithIntegratedTimestamps(1)}},
		"rekor v2":            {subject: aSubject, twists: []Twist{WitnessedBy(RekorV2)}, verify: []verify.VerifierOption{verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithSignedTimestamps(1)}},
		"timestamp":           {subject: "person@corp.example", twists: []Twist{WitnessedBy(Stamp)}, verify: []verify.VerifierOption{verify.WithSignedCertificateTimestamps(1), verify.WithSignedTimestamps(1)}},
		"all":                 {subject: aSubject, twists: []Twist{WitnessedBy(RekorV1, Stamp), At(SignedAt.AddDate(-3, 0, 0))}, verify: []verify.VerifierOption{verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(2)}},
		"without CT":          {subject: aSubject, options: AuthorityOptions{WithoutCT: true}, verify: []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}},
		"expired authority":   {subject: aSubject, options: AuthorityOptions{Until: SignedAt.Add(-time.Hour)}, verify: []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}, fails: "not enough verified log entries"},
		"expired CA":          {subject: aSubject, options: AuthorityOptions{CAUntil: SignedAt.Add(-time.Hour)}, verify: []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}, fails: "failed to verify leaf certificate"},
		"nobody is a witness": {subject: aSubject, twists: []Twist{WitnessedBy()}, verify: []verify.VerifierOption{verify.WithObserverTimestamps(1)}, fails: "threshold"},
		"tampered":            {subject: aSubject, twists: []Twist{Tampered()}, verify: []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}, fails: "payload hash"},
	} {
		t.Run(name, func(t *testing.T) {
			a, trusted := newAuthority(t, c.options)
			repo, d := signedImage(t)
			if err := a.Person(anIssuer, c.subject).SignBundle(t.Context(), repo.String(), d, c.twists...); err != nil {
				t.Fatal(err)
			}
			v, err := verify.NewVerifier(trusted, c.verify...)
			if err != nil {
				t.Fatal(err)
			}
			raw, _ := hex.DecodeString(d.Hex)
			id, err := verify.NewShortCertificateIdentity(anIssuer, "", c.subject, "")
			if err != nil {
				t.Fatal(err)
			}
			result, err := v.Verify(bundles(t, repo, d)[0], verify.NewPolicy(verify.WithArtifactDigest("sha256", raw), verify.WithCertificateIdentity(id)))
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("got %v; want %q in it", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if result.Statement.GetPredicateType() != cosigntypes.CosignSignPredicateType {
				t.Errorf("got statement %q", result.Statement.GetPredicateType())
			}
		})
	}
}

// layersAt reads the layers of a manifest under a tag as cosign does.
func layersAt(t *testing.T, repo name.Repository, d mirror.Digest, suffix string) []oci.Signature {
	t.Helper()
	m, bodies := fetched(t, repo.Tag("sha256-"+d.Hex+suffix))
	var sigs []oci.Signature
	for i, body := range bodies {
		note := m.Layers[i].Annotations
		opts := []static.Option{static.WithLayerMediaType(m.Layers[i].MediaType), static.WithCertChain([]byte(note[static.CertificateAnnotationKey]), []byte(note[static.ChainAnnotationKey]))}
		if text := note[static.BundleAnnotationKey]; text != "" {
			var b cosignbundle.RekorBundle
			if err := json.Unmarshal([]byte(text), &b); err != nil {
				t.Fatal(err)
			}
			opts = append(opts, static.WithBundle(&b))
		}
		if text := note[static.RFC3161TimestampAnnotationKey]; text != "" {
			var b cosignbundle.RFC3161Timestamp
			if err := json.Unmarshal([]byte(text), &b); err != nil {
				t.Fatal(err)
			}
			opts = append(opts, static.WithRFC3161Timestamp(&b))
		}
		sig, err := static.NewSignature([]byte(body), note[static.SignatureAnnotationKey], opts...)
		if err != nil {
			t.Fatal(err)
		}
		sigs = append(sigs, sig)
	}
	return sigs
}

func TestAuthority_LegacySignaturesAndAttestationsOfAPersonAreVerified(t *testing.T) {
	for name, stamped := range map[string]bool{"rekor v1": false, "timestamp": true} {
		t.Run(name, func(t *testing.T) {
			a, trusted := newAuthority(t, AuthorityOptions{})
			repo, d := signedImage(t)
			p := a.Person(anIssuer, aSubject)
			var twists []Twist
			if stamped {
				twists = append(twists, WitnessedBy(Stamp))
			}
			if err := errors.Join(p.SignLegacy(t.Context(), repo.String(), d, twists...),
				p.AttestLegacy(t.Context(), repo.String(), d, slsa, map[string]any{"x": 1}, twists...)); err != nil {
				t.Fatal(err)
			}
			opts := &cosign.CheckOpts{TrustedMaterial: trusted, Offline: true, UseSignedTimestamps: stamped, IgnoreTlog: stamped,
				ClaimVerifier: cosign.SimpleClaimVerifier, Identities: []cosign.Identity{{Issuer: anIssuer, Subject: aSubject}}}
			if _, err := cosign.VerifyImageSignature(t.Context(), layersAt(t, repo, d, ".sig")[0], d, opts); err != nil {
				t.Errorf("signature: %v", err)
			}
			opts.ClaimVerifier = cosign.IntotoSubjectClaimVerifier
			if _, err := cosign.VerifyBlobAttestation(t.Context(), layersAt(t, repo, d, ".att")[0], d, opts); err != nil {
				t.Errorf("attestation: %v", err)
			}
			opts.Identities[0].Subject = "https://git.corp.example/other"
			if _, err := cosign.VerifyBlobAttestation(t.Context(), layersAt(t, repo, d, ".att")[0], d, opts); err == nil {
				t.Error("the attestation of somebody else was accepted")
			}
		})
	}
}

func TestSigner_AttestsInBothFormsByKey(t *testing.T) {
	repo, d := signedImage(t)
	for _, kind := range []string{"p256", "p384", "rsa", "ed25519"} {
		s, err := NewSigner(kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.AttestLegacy(t.Context(), repo.String(), d, slsa, map[string]any{"by": kind}),
			s.AttestBundle(t.Context(), repo.String(), d, slsa, map[string]any{"by": kind})); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(layersAt(t, repo, d, ".att")); got != 4 {
		t.Errorf("got %d attestations under the tag, want 4", got)
	}
	if got := len(bundles(t, repo, d)); got != 4 {
		t.Errorf("got %d bundles, want 4", got)
	}
}

func TestAuthority_TimestampsTheSignaturesOfAKey(t *testing.T) {
	a, trusted := newAuthority(t, AuthorityOptions{})
	for _, w := range [][]Witness{{Stamp}, {RekorV1}, {RekorV2}} {
		s, err := NewSigner("p256")
		if err != nil {
			t.Fatal(err)
		}
		repo, d := signedImage(t)
		if err := a.Timestamped(s).SignBundle(t.Context(), repo.String(), d, WitnessedBy(w...)); err != nil {
			t.Fatal(err)
		}
		key, err := signature.LoadVerifier(s.public, crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		material := root.TrustedMaterialCollection{trusted, root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
			return root.NewExpiringKey(key, time.Time{}, time.Time{}), nil
		})}
		opts := []verify.VerifierOption{verify.WithObserverTimestamps(1)}
		if w[0] != Stamp {
			opts = append(opts, verify.WithTransparencyLog(1))
		}
		v, err := verify.NewVerifier(material, opts...)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := hex.DecodeString(d.Hex)
		result, err := v.Verify(bundles(t, repo, d)[0], verify.NewPolicy(verify.WithArtifactDigest("sha256", raw), verify.WithKey()))
		if err != nil {
			t.Errorf("%v: %v", w, err)
			continue
		}
		if at := result.VerifiedTimestamps[0].Timestamp; !at.Equal(SignedAt) {
			t.Errorf("%v: got time %s, want %s", w, at, SignedAt)
		}
	}
}

func TestEachManifest_IsTheIndexAndItsChildren(t *testing.T) {
	repo, image := signedImage(t)
	index, err := Push(t.Context(), repo.RegistryStr(), repo.RepositoryStr(), "index", Index("app"))
	if err != nil {
		t.Fatal(err)
	}
	for d, want := range map[mirror.Digest]int{image: 1, index: 3} {
		seen := map[mirror.Digest]bool{}
		if err := EachManifest(t.Context(), repo.String(), d, func(one mirror.Digest) error { seen[one] = true; return nil }); err != nil {
			t.Fatal(err)
		}
		if len(seen) != want || !seen[d] {
			t.Errorf("got %v, want %d with %s", seen, want, d)
		}
	}
}
