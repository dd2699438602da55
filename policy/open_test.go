package policy_test

import (
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/policy/trust"
	"github.com/poundlock/poundlock/testenv"
)

// What somebody else laid beside an image keeps nobody from looking again; what a wanted signer did wrong does.
func TestVerdict_IsOpenWhereAWantedSignatureMayStillCome(t *testing.T) {
	another := testenv.ForDigest(mirror.DigestOf([]byte("other")))
	for name, c := range map[string]struct {
		sign func(w *world, wanted, stranger *testenv.Signer)
		code mirror.ReasonCode
		open bool
	}{
		"nothing":                {func(*world, *testenv.Signer, *testenv.Signer) {}, mirror.NoSignature, true},
		"a stranger":             {func(w *world, _, s *testenv.Signer) { w.legacy(s); w.bundle(s) }, mirror.BadSignature, true},
		"a stranger of another":  {func(w *world, _, s *testenv.Signer) { w.legacy(s, another) }, mirror.BadSignature, true},
		"tampered":               {func(w *world, s, _ *testenv.Signer) { w.legacy(s, testenv.Tampered()) }, mirror.BadSignature, true},
		"another digest":         {func(w *world, s, _ *testenv.Signer) { w.legacy(s, another) }, mirror.BadSignature, false},
		"another digest, bundle": {func(w *world, s, _ *testenv.Signer) { w.bundle(s, another) }, mirror.BadSignature, false},
		"another name":           {func(w *world, s, _ *testenv.Signer) { w.legacy(s, testenv.Claiming("x.example/a")) }, mirror.BadSignature, false},
		"malformed": {func(w *world, s, _ *testenv.Signer) {
			w.legacy(s, testenv.Annotated("dev.sigstore.cosign/bundle", "["))
		}, mirror.BadSignature, false},
		"a stranger and a flaw":   {func(w *world, s, other *testenv.Signer) { w.legacy(other); w.legacy(s, another) }, mirror.BadSignature, false},
		"enough":                  {func(w *world, s, other *testenv.Signer) { w.legacy(other); w.legacy(s) }, mirror.Signed, false},
		"enough, beside it wrong": {func(w *world, s, _ *testenv.Signer) { w.legacy(s, another); w.legacy(s) }, mirror.Signed, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newAPIWorld(t)
			wanted, stranger := newSigner(t, "p256"), newSigner(t, "p256")
			c.sign(w, wanted, stranger)
			v := w.verify(trusting(t, wanted))
			if v.Reason.Code != c.code || v.Open != c.open {
				t.Errorf("got %s, open %t (%s); want %s, %t", v.Reason.Code, v.Open, v.Reason, c.code, c.open)
			}
		})
	}
}

func TestVerdict_IsOpenForTheSignersThatAreMissing(t *testing.T) {
	w := newAPIWorld(t)
	alice, bob, carol := newSigner(t, "p256"), newSigner(t, "p256"), newSigner(t, "p256")
	p := load(t, map[string]*testenv.Signer{"alice": alice, "bob": bob, "carol": carol}, "rules:\n  - match: docker.io/**\n    require: {signers: [alice, bob, carol], count: 2}\n")
	w.legacy(carol, testenv.Claiming("x.example/a")) // the same content under another name
	w.legacy(carol)
	v := w.verify(p)
	wantOutcome(t, v, mirror.OutcomeRejected, mirror.NoSignature)
	wantDetail(t, v, "wants 2 of alice, bob, carol, has carol; 1 more of alice, bob is missing")
	if !v.Open {
		t.Error("bob may still sign")
	}
	w.legacy(bob)
	wantOutcome(t, w.verify(p), mirror.OutcomeSigned, mirror.Signed)
}

func TestVerdict_IsOpenForAttestations(t *testing.T) {
	w := newAPIWorld(t)
	ci, stranger := newSigner(t, "p256"), newSigner(t, "p256")
	p := attested(t, ci, ", where: 'predicate.runDetails.builder.id == \"corp-ci\"'")
	open := func(code mirror.ReasonCode, want bool) {
		t.Helper()
		v := w.verify(p)
		wantOutcome(t, v, mirror.OutcomeRejected, code)
		if v.Open != want {
			t.Errorf("open %t: %s", v.Open, v.Reason)
		}
	}
	open(mirror.NoAttestation, true)
	w.attest(stranger, false, provenanceType, builtBy("corp-ci"))
	open(mirror.BadAttestation, true)
	w.attest(ci, true, provenanceType, builtBy("a laptop"))
	open(mirror.BadAttestation, false)
}

// Whom deny.signers names is no wanted signer.
func TestVerdict_IsOpenBesideADeniedSigner(t *testing.T) {
	w := newAPIWorld(t)
	s, denied := newSigner(t, "p256"), newSigner(t, "p256")
	w.legacy(denied)
	v := w.verify(load(t, map[string]*testenv.Signer{"release": s, "old": denied}, oneOfRelease+"deny: {signers: [old]}\n"))
	wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
	if !v.Open {
		t.Errorf("not open: %s", v.Reason)
	}
}

func TestVerdict_StatementsOfThisSiteAreNoFlaw(t *testing.T) {
	w := newAPIWorld(t)
	s, ours := newSigner(t, "p256"), newSigner(t, "p256")
	w.legacy(ours)
	w.bundle(ours)
	site, err := trust.NewKey("this site", []byte(ours.PublicPEM()), trust.KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	judge := func(o policy.Options) mirror.Verdict {
		t.Helper()
		o.At = now
		v, err := trusting(t, s).Verifier(o).Verify(t.Context(), action(w.image), w.client)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	wantOutcome(t, judge(policy.Options{}), mirror.OutcomeRejected, mirror.BadSignature)
	v := judge(policy.Options{Site: []trust.Signer{site}})
	wantOutcome(t, v, mirror.OutcomeRejected, mirror.NoSignature)
	if !v.Open || len(v.Findings) > 0 {
		t.Errorf("open %t, findings %q", v.Open, v.Findings)
	}
	w.legacy(s, testenv.ForDigest(mirror.DigestOf([]byte("other"))))
	if v = judge(policy.Options{Site: []trust.Signer{site}}); v.Open || len(v.Findings) != 1 {
		t.Errorf("open %t, findings %q", v.Open, v.Findings)
	}
}
