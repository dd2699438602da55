package policy_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

func TestVerifier_AcceptsEveryKeyTypeInEveryForm(t *testing.T) {
	forms := map[string]func(*world, *testenv.Signer){
		"legacy tag":      func(w *world, s *testenv.Signer) { w.legacy(s) },
		"legacy referrer": func(w *world, s *testenv.Signer) { w.legacy(s, testenv.AsReferrer()) },
		"bundle":          func(w *world, s *testenv.Signer) { w.bundle(s) },
	}
	for _, kind := range []string{"p256", "p384", "rsa", "ed25519"} {
		for form, sign := range forms {
			t.Run(kind+" "+form, func(t *testing.T) {
				eachRegistry(t, func(t *testing.T, w *world) {
					s := newSigner(t, kind)
					sign(w, s)
					v := w.verify(trusting(t, s))
					wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
					wantDetail(t, v, "signed by release")
					if len(v.Evidence) != 1 || !slices.Equal(v.Signers, []string{"release"}) {
						t.Errorf("got signers %v and evidence %v; want release and one manifest", v.Signers, v.Evidence)
					}
					for _, d := range v.Evidence {
						if _, err := w.client.Manifest(t.Context(), w.image, d.Digest); err != nil {
							t.Errorf("evidence: %v", err)
						}
					}
				})
			})
		}
	}
}

func TestVerifier_RefusesAnUnsignedImageAsMissingNotInvalid(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		v := w.verify(trusting(t, newSigner(t, "p256")))
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.NoSignature)
	})
}

func TestVerifier_RefusesTheWrongKey(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		stranger := newSigner(t, "p256")
		w.legacy(stranger)
		w.bundle(stranger)
		for _, kind := range []string{"p256", "p384", "rsa", "ed25519"} {
			v := w.verify(trusting(t, newSigner(t, kind)))
			wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
			if len(v.Signers) > 0 || len(v.Evidence) > 0 {
				t.Errorf("a refusal names signers %v and evidence %v", v.Signers, v.Evidence)
			}
		}
	})
}

func TestVerifier_RefusesWhatWasChangedAfterSigning(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		s := newSigner(t, "p256")
		w.legacy(s, testenv.Tampered())
		w.bundle(s, testenv.Tampered())
		wantOutcome(t, w.verify(trusting(t, s)), mirror.OutcomeRejected, mirror.BadSignature)
	})
}

func TestVerifier_CountsGoodSignaturesAmongBadOnes(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		s := newSigner(t, "p256")
		w.legacy(newSigner(t, "p256"))
		w.legacy(s, testenv.Tampered())
		w.legacy(s)
		wantOutcome(t, w.verify(trusting(t, s)), mirror.OutcomeSigned, mirror.Signed)
	})
}

func TestVerifier_EveryMatchingRuleMustBeSatisfied(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		release, security := newSigner(t, "p256"), newSigner(t, "ed25519")
		p := load(t, map[string]*testenv.Signer{"release": release, "security": security}, oneOfRelease+
			"  - match: docker.io/library/*\n    stages: [production]\n    require: {signers: [security]}\n")
		w.legacy(release)
		a := action(w.image)
		verify := func(stage mirror.Stage) mirror.Verdict {
			a.Stage = stage
			v, err := p.Verifier(policy.Options{At: now}).Verify(t.Context(), a, w.client)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		snapshot := verify("snapshot")
		wantOutcome(t, snapshot, mirror.OutcomeSigned, mirror.Signed)
		// Nothing there is invalid: the second signature may still come.
		wantOutcome(t, verify("production"), mirror.OutcomeRejected, mirror.NoSignature)
		w.bundle(security)
		production := verify("production")
		wantOutcome(t, production, mirror.OutcomeSigned, mirror.Signed)
		if !slices.Equal(production.Signers, []string{"release", "security"}) || len(production.Evidence) != 2 {
			t.Errorf("got signers %v, %d manifests; want both signers in two manifests", production.Signers, len(production.Evidence))
		}
		if production.RuleHash == snapshot.RuleHash || production.TrustHash == snapshot.TrustHash {
			t.Error("other rules and other keys have the same hashes")
		}
	})
}

func TestVerifier_DeniesWhatNoRuleMatchesAndWhatTheDenyListNames(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		s := newSigner(t, "p256")
		w.legacy(s)
		keys := map[string]*testenv.Signer{"release": s}
		v := w.verify(load(t, keys, "rules:\n  - match: quay.io/**\n    require: {signers: [release]}\n"))
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.NoRule)
		v = w.verify(load(t, keys, oneOfRelease+"deny: {digests: [\""+w.image.Digest.String()+"\"]}\n"))
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.Denied)
		v = w.verify(load(t, keys, oneOfRelease+"deny: {repos: [\"**/app\"]}\n"))
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.Denied)
	})
}

func TestVerifier_TroubleIsUnknownAndAnError(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		s := newSigner(t, "p256")
		w.legacy(s)
		w.server.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Status: 503}))
		v, err := trusting(t, s).Verifier(policy.Options{At: now}).Verify(t.Context(), action(w.image), w.client)
		wantOutcome(t, v, mirror.OutcomeUnknown, mirror.NotVerified)
		if err == nil || errors.Is(err, mirror.ErrRefused) {
			t.Errorf("got error %v; want one that is not a refusal", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if v, err = trusting(t, s).Verifier(policy.Options{At: now}).Verify(ctx, action(w.image), w.client); v.Outcome != mirror.OutcomeUnknown || err == nil {
			t.Errorf("cancelled: got %s, %v; want unknown and an error", v.Outcome, err)
		}
	})
}

func TestVerifier_TroubleWithTheRestDoesNotHideEnough(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		s := newSigner(t, "p256")
		w.bundle(s)
		w.server.Proxy().Break(testenv.Always(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".sig") }, testenv.Fault{Status: 503}))
		wantOutcome(t, w.verify(trusting(t, s)), mirror.OutcomeSigned, mirror.Signed)
	})
}

// memory is a Known that can be looked into.
type memory map[string]mirror.Verdict

func (m memory) Verdict(key string) (mirror.Verdict, bool)   { v, ok := m[key]; return v, ok }
func (m memory) Remember(key string, verdict mirror.Verdict) { m[key] = verdict }

func TestVerifier_RemembersAdmissionsOnlyAndAsksNothingAgain(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		s := newSigner(t, "p256")
		p, known := trusting(t, s), memory{}
		verifier := p.Verifier(policy.Options{Known: known, At: now})
		if v, _ := verifier.Verify(t.Context(), action(w.image), w.client); v.Outcome.Admits() || len(known) != 0 {
			t.Fatalf("a refusal was remembered: %v", known)
		}
		w.legacy(s)
		if _, err := verifier.Verify(t.Context(), action(w.image), w.client); err != nil || len(known) != 1 {
			t.Fatalf("got %d memories, error %v; want 1", len(known), err)
		}
		w.server.Proxy().Reset()
		higher := action(w.image)
		higher.Stage = "production"
		v, err := verifier.Verify(t.Context(), higher, nil)
		if err != nil || v.Outcome != mirror.OutcomeSigned || w.server.Proxy().Counts().Total() != 0 {
			t.Errorf("got %s, %v after %d requests; want signed from memory", v.Outcome, err, w.server.Proxy().Counts().Total())
		}

		for name, forget := range map[string]func() mirror.Verifier{
			"another key": func() mirror.Verifier {
				return trusting(t, newSigner(t, "p256")).Verifier(policy.Options{Known: known, At: now})
			},
			"an edited memory": func() mirror.Verifier {
				return p.Verifier(policy.Options{Known: edited(known, func(v *mirror.Verdict) { v.Signers = nil }), At: now})
			},
			"a memory of other rules": func() mirror.Verifier {
				return p.Verifier(policy.Options{Known: edited(known, func(v *mirror.Verdict) { v.RuleHash = mirror.DigestOf(nil) }), At: now})
			},
			"a memory of other trust": func() mirror.Verifier {
				return p.Verifier(policy.Options{Known: edited(known, func(v *mirror.Verdict) { v.TrustHash = mirror.DigestOf(nil) }), At: now})
			},
			"a foreign memory": func() mirror.Verifier {
				return p.Verifier(policy.Options{Known: edited(known, func(v *mirror.Verdict) { v.Outcome = mirror.OutcomeRejected }), At: now})
			},
		} {
			if v, err := forget().Verify(t.Context(), action(w.image), nil); v.Outcome != mirror.OutcomeUnknown || err == nil {
				t.Errorf("%s: got %s, %v; want unknown, since nothing may be asked", name, v.Outcome, err)
			}
		}
		denied := load(t, map[string]*testenv.Signer{"release": s}, oneOfRelease+"deny: {repos: [docker.io/library/app]}\n")
		v, _ = denied.Verifier(policy.Options{Known: known, At: now}).Verify(t.Context(), action(w.image), w.client)
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.Denied)
	})
}

func edited(m memory, change func(*mirror.Verdict)) memory {
	c := memory{}
	for key, v := range m {
		change(&v)
		c[key] = v
	}
	return c
}

func TestVerifier_PinnedNeedsACommitThatVouches(t *testing.T) {
	image := mirror.Reference{Host: "docker.io", Repository: "library/app", Tag: "1.0", Digest: mirror.DigestOf([]byte("app"))}
	p := load(t, nil, "rules:\n  - match: docker.io/**\n    require: {pinned: true}\n")
	old := "2222222222222222222222222222222222222222"
	asked := 0
	vouch := func(_ context.Context, by string, key mirror.Key, named mirror.Reference) (bool, error) {
		asked++
		if by == "unreachable" {
			return false, errors.New("no answer")
		}
		return by == old && key.Entry == "app" && named == image, nil
	}
	for _, c := range []struct {
		name    string
		vouch   string
		with    func(context.Context, string, mirror.Key, mirror.Reference) (bool, error)
		outcome mirror.Outcome
	}{
		{"tag only", "", vouch, mirror.OutcomeRejected},
		{"this commit, nobody to ask", commit, nil, mirror.OutcomePinned},
		{"another commit, nobody to ask", old, nil, mirror.OutcomeRejected},
		{"an ancestor that names it", old, vouch, mirror.OutcomePinned},
		{"this commit, which does not name it", commit, vouch, mirror.OutcomeRejected},
		{"a commit that cannot be read", "unreachable", vouch, mirror.OutcomeUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := action(image)
			a.Vouch = c.vouch
			known := memory{}
			v, err := p.Verifier(policy.Options{Known: known, Vouch: c.with, At: now}).Verify(t.Context(), a, nil)
			if v.Outcome != c.outcome || (err != nil) != (c.outcome == mirror.OutcomeUnknown) {
				t.Errorf("got %s (%s), %v; want %s", v.Outcome, v.Reason, err, c.outcome)
			}
			if v.Outcome == mirror.OutcomePinned && (v.VouchedBy != c.vouch || v.Basis() != "pinned") {
				t.Errorf("got vouched by %q, basis %q; want %q and pinned", v.VouchedBy, v.Basis(), c.vouch)
			}
			if len(known) != 0 {
				t.Error("a pinned verdict was remembered, although its commit may leave the history")
			}
		})
	}
	if asked == 0 {
		t.Error("nobody was asked")
	}
}

func TestVerify_AdmitsOnlyThroughTheVerifier(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		s := newSigner(t, "p256")
		if _, _, err := mirror.Verify(t.Context(), trusting(t, s).Verifier(policy.Options{At: now}), action(w.image), w.client); !errors.Is(err, mirror.ErrRefused) {
			t.Errorf("unsigned: got %v; want a refusal", err)
		}
		w.bundle(s)
		verified, _, err := mirror.Verify(t.Context(), trusting(t, s).Verifier(policy.Options{At: now}), action(w.image), w.client)
		if err != nil || !verified.Admits() {
			t.Errorf("signed: got %v; want a Verified", err)
		}
	})
}
