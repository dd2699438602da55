package policy_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

const provenanceType = "https://slsa.dev/provenance/v1"

// attested is a policy that wants one provenanceType by ci, with more keys of the attestation behind it.
func attested(t *testing.T, ci *testenv.Signer, more string) policy.Policy {
	t.Helper()
	return load(t, map[string]*testenv.Signer{"ci": ci}, "rules:\n  - match: docker.io/**\n    attestations:\n      - {type: \""+provenanceType+"\", by: [ci]"+more+"}\n")
}

func builtBy(id string) map[string]any {
	return map[string]any{"runDetails": map[string]any{"builder": map[string]any{"id": id}}}
}

// attest states a provenanceType of the world's image, in one of the two forms.
func (w *world) attest(s *testenv.Signer, legacy bool, kind string, predicate any, twists ...testenv.Twist) {
	w.t.Helper()
	make := s.AttestBundle
	if legacy {
		make = s.AttestLegacy
	}
	if err := make(w.t.Context(), w.ref, w.image.Digest, kind, predicate, twists...); err != nil {
		w.t.Fatal(err)
	}
}

// asked judges and gives how many requests that took.
func (w *world) asked(v mirror.Verifier, c mirror.Content) (mirror.Verdict, int) {
	w.t.Helper()
	w.server.Proxy().Reset()
	verdict, err := v.Verify(w.t.Context(), action(w.image), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return verdict, w.server.Proxy().Counts().Total()
}

func TestVerifier_CountsAttestationsInBothForms(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy %v", legacy), func(t *testing.T) {
			eachRegistry(t, func(t *testing.T, w *world) {
				ci, stranger := newSigner(t, "p256"), newSigner(t, "p256")
				p := attested(t, ci, "")
				wantOutcome(t, w.verify(p), mirror.OutcomeRejected, mirror.NoAttestation)
				w.attest(ci, legacy, "https://example.org/scan/v1", map[string]any{})
				w.bundle(ci) // a signature is no attestation
				wantOutcome(t, w.verify(p), mirror.OutcomeRejected, mirror.NoAttestation)
				w.attest(stranger, legacy, provenanceType, builtBy("x"))
				wantOutcome(t, w.verify(p), mirror.OutcomeRejected, mirror.BadAttestation)
				w.attest(ci, legacy, provenanceType, builtBy("x"), testenv.Tampered())
				w.attest(ci, legacy, provenanceType, builtBy("x"), testenv.ForDigest(mirror.DigestOf([]byte("other"))))
				wantOutcome(t, w.verify(p), mirror.OutcomeRejected, mirror.BadAttestation)
				w.attest(ci, legacy, provenanceType, builtBy("x"))
				v := w.verify(p)
				wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
				wantDetail(t, v, "attested by ci")
				if len(v.Proofs) != 1 || v.Proofs[0].Type != provenanceType || len(v.Evidence) != 1 {
					t.Errorf("got proofs %v, evidence %v", v.Proofs, v.Evidence)
				}
			})
		})
	}
}

func TestVerifier_ConditionsDecideOverAttestations(t *testing.T) {
	w := newAPIWorld(t)
	ci := newSigner(t, "p256")
	p := attested(t, ci, ", where: 'predicate.runDetails.builder.id == \"corp-ci\"'")
	w.attest(ci, true, provenanceType, builtBy("a laptop"))
	v := w.verify(p)
	wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadAttestation)
	wantDetail(t, v, mirror.PolicyFile+":7")
	w.attest(ci, true, provenanceType, map[string]any{})
	wantOutcome(t, w.verify(p), mirror.OutcomeRejected, mirror.BadAttestation)
	w.attest(ci, false, provenanceType, builtBy("corp-ci"))
	wantOutcome(t, w.verify(p), mirror.OutcomeSigned, mirror.Signed)
}

func TestVerifier_ConditionThatCostsTooMuchIsRefusedWithItsLine(t *testing.T) {
	w := newAPIWorld(t)
	ci := newSigner(t, "p256")
	p := attested(t, ci, ", where: 'predicate.l.all(a, predicate.l.all(b, a + b != 1))'")
	many := slices.Repeat([]int{7}, 20_000)
	w.attest(ci, true, provenanceType, map[string]any{"l": many})
	begun := time.Now()
	v := w.verify(p)
	wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadAttestation)
	wantDetail(t, v, mirror.PolicyFile+":7")
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestVerifier_WhatADeniedSignerSignsNeverCounts(t *testing.T) {
	w := newAPIWorld(t)
	s, other := newSigner(t, "p256"), newSigner(t, "p256")
	w.legacy(s)
	keys := map[string]*testenv.Signer{"release": s, "alias": s, "other": other}
	known := memory{}
	one := func(more string) policy.Policy {
		return load(t, keys, "rules:\n  - match: docker.io/**\n    require: {signers: [release, other]}\n"+more)
	}
	if v, _ := w.asked(one("").Verifier(policy.Options{At: now, Known: known}), w.client); v.Outcome != mirror.OutcomeSigned || len(known) != 1 {
		t.Fatalf("got %s, %d memories", v.Outcome, len(known))
	}
	for _, name := range []string{"release", "alias"} {
		p := one("deny: {signers: [" + name + "]}\n")
		v := w.verify(p)
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
		wantDetail(t, v, "deny.signers")
		if v, _ = w.asked(p.Verifier(policy.Options{At: now, Known: known}), w.client); v.Outcome.Admits() {
			t.Errorf("denied %s, and an earlier verdict still counts", name)
		}
	}
	v := w.verify(one("deny: {signers: [other]}\n"))
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
}

func TestVerifier_RemapComparesAnotherName(t *testing.T) {
	w := newAPIWorld(t)
	s := newSigner(t, "p256")
	p := load(t, map[string]*testenv.Signer{"release": s}, oneOfRelease+"    reference: {remap: {from: docker.io/library, to: ghcr.io/vendor}}\n")
	w.legacy(s) // under its own name
	wantOutcome(t, w.verify(p), mirror.OutcomeRejected, mirror.BadSignature)
	w.legacy(s, testenv.Claiming("ghcr.io/vendor/app:3"))
	wantOutcome(t, w.verify(p), mirror.OutcomeSigned, mirror.Signed)
}

func TestVerifier_EachPlatformHasToBeSigned(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		w.becomesAnIndex()
		s := newSigner(t, "p256")
		p := load(t, map[string]*testenv.Signer{"release": s}, oneOfRelease+"    platforms: each\n")
		first := true
		err := testenv.EachManifest(t.Context(), w.ref, w.image.Digest, func(one mirror.Digest) error {
			v := w.verify(p)
			wantOutcome(t, v, mirror.OutcomeRejected, mirror.NoSignature)
			if first = !first; first {
				return s.SignBundle(t.Context(), w.ref, one)
			}
			return s.SignLegacy(t.Context(), w.ref, one, testenv.Claiming("docker.io/library/app"))
		})
		if err != nil {
			t.Fatal(err)
		}
		v := w.verify(p)
		wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
		about := map[mirror.Digest]bool{}
		for _, e := range v.Evidence {
			about[e.Of] = true
		}
		if len(about) != len(v.Evidence) || !about[mirror.Digest{}] || len(about) < 3 {
			t.Errorf("got evidence %v; want one for the index and one for each manifest", v.Evidence)
		}
	})
}

func TestVerifier_AWarningOfOneLayerHidesNoPlatformFromAnother(t *testing.T) {
	w := newAPIWorld(t)
	w.becomesAnIndex()
	s := newSigner(t, "p256")
	w.legacy(s) // the index alone
	fleet := load(t, map[string]*testenv.Signer{"other": newSigner(t, "p256")}, "mode: warn\nrules:\n  - match: docker.io/**\n    require: {signers: [other]}\n")
	wantOutcome(t, w.verify(fleet), mirror.OutcomeWarn, mirror.Warned)
	floor := load(t, map[string]*testenv.Signer{"release": s}, oneOfRelease+"    platforms: each\n")
	wantOutcome(t, w.verify(fleet.WithFloor(floor)), mirror.OutcomeRejected, mirror.NoSignature)
}

func TestVerifier_PlatformsThatCannotBeListedAreNotAdmitted(t *testing.T) {
	w := newAPIWorld(t)
	w.becomesAnIndex()
	s := newSigner(t, "p256")
	w.legacy(s)
	p := load(t, map[string]*testenv.Signer{"release": s}, oneOfRelease+"    platforms: each\n")
	for status, want := range map[int]mirror.Outcome{503: mirror.OutcomeUnknown, 404: mirror.OutcomeRejected} {
		w.server.Proxy().Break(testenv.Always(func(r *http.Request) bool {
			return strings.HasSuffix(r.URL.Path, "/manifests/"+w.image.Digest.String())
		}, testenv.Fault{Status: status}))
		v, err := p.Verifier(policy.Options{At: now}).Verify(t.Context(), action(w.image), w.client)
		if v.Outcome != want || (err != nil) != (want == mirror.OutcomeUnknown) {
			t.Errorf("%d: got %s (%s), %v; want %s", status, v.Outcome, v.Reason, err, want)
		}
	}
}

func TestVerifier_ReadsTheSignatureRepositoryUpstreamOnly(t *testing.T) {
	w := newAPIWorld(t)
	s := newSigner(t, "p256")
	p := load(t, map[string]*testenv.Signer{"release": s}, oneOfRelease+"    signatures: docker.io/team/signatures\n")
	w.legacy(s) // beside the image, where nobody looks
	wantOutcome(t, w.verify(p), mirror.OutcomeRejected, mirror.NoSignature)
	if err := s.SignLegacy(t.Context(), w.server.Host()+"/team/signatures", w.image.Digest, testenv.Claiming("docker.io/library/app")); err != nil {
		t.Fatal(err)
	}
	v := w.verify(p)
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
	if len(v.Evidence) != 1 || v.Evidence[0].In.Name() != "docker.io/team/signatures" {
		t.Errorf("got evidence %v, want it in the signature repository", v.Evidence)
	}
	copied := action(w.image)
	copied.From = mirror.Reference{Host: "docker.io", Repository: "elsewhere/app"}
	v, err := p.Verifier(policy.Options{At: now}).Verify(t.Context(), copied, w.client)
	if err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, v, mirror.OutcomeRejected, mirror.NoSignature)
}

func TestVerifier_HasItsOwnLimits(t *testing.T) {
	s := newSigner(t, "p256")
	for name, c := range map[string]struct {
		limits policy.Limits
		sign   func(*world)
		detail string
	}{
		"payload":     {policy.Limits{Payload: 10}, func(w *world) { w.legacy(s) }, "at most 10 are read"},
		"bundle":      {policy.Limits{Bundle: 10}, func(w *world) { w.bundle(s) }, "at most 10 are read"},
		"manifest":    {policy.Limits{Manifest: 10}, func(w *world) { w.legacy(s) }, "larger than the limit"},
		"signatures":  {policy.Limits{Signatures: 1}, func(w *world) { w.legacy(newSigner(t, "p256")); w.legacy(s) }, "the limit is 1"},
		"referrers":   {policy.Limits{Referrers: 1}, func(w *world) { w.bundle(s); w.bundle(newSigner(t, "p256")) }, "too many referrers, the limit is 1"},
		"attestation": {policy.Limits{Attestation: 10}, func(w *world) { w.attest(s, true, provenanceType, builtBy("x")) }, "at most 10 are read"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newAPIWorld(t)
			c.sign(w)
			p := trusting(t, s)
			if name == "attestation" {
				p = attested(t, s, "")
			}
			if v := w.verify(p); !v.Outcome.Admits() {
				t.Errorf("with the limits by default: %s", v.Reason)
			}
			v, err := p.Verifier(policy.Options{At: now, Limits: c.limits}).Verify(t.Context(), action(w.image), w.client)
			if err != nil || v.Outcome.Admits() {
				t.Errorf("got %s, %v; want a refusal", v.Outcome, err)
			}
			wantDetail(t, v, c.detail)
		})
	}
}

func TestVerifier_TimeIsLimited(t *testing.T) {
	w := newAPIWorld(t)
	s := newSigner(t, "p256")
	w.legacy(s)
	v, err := trusting(t, s).Verifier(policy.Options{At: now, Limits: policy.Limits{Time: time.Nanosecond}}).Verify(t.Context(), action(w.image), w.client)
	if v.Outcome != mirror.OutcomeUnknown || err == nil {
		t.Errorf("got %s, %v; want unknown", v.Outcome, err)
	}
}

func TestAttack_GzipBombCostsNoMemory(t *testing.T) {
	w := newAPIWorld(t)
	body := bomb(t, 16)
	for _, kind := range []string{testenv.BundleType, "application/vnd.dsse.envelope.v1+json"} {
		if err := testenv.PutReferrer(t.Context(), w.ref, w.image.Digest, testenv.BundleType, nil, kind, body, nil); err != nil {
			t.Fatal(err)
		}
	}
	p := attested(t, newSigner(t, "p256"), "")
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	v := w.verify(p)
	runtime.ReadMemStats(&after)
	wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadAttestation)
	used := (after.TotalAlloc - before.TotalAlloc) >> 20
	t.Logf("%d bytes that inflate to a GiB: %d MiB allocated in all, registry included", len(body), used)
	if used > 32 {
		t.Errorf("judging allocated %d MiB, want at most 32", used)
	}
}

func TestVerifier_ARememberedVerdictEndsByTime(t *testing.T) {
	w := newAPIWorld(t)
	s := newSigner(t, "p256")
	p := load(t, map[string]*testenv.Signer{"release": s}, oneOfRelease+
		"exceptions: [{match: docker.io/library/app, skip: [signatures], until: 2026-11-22, reason: VEND-1, approvedBy: alice}]\n")
	known := memory{}
	at := func(now time.Time, c mirror.Content) mirror.Verdict {
		v, _ := p.Verifier(policy.Options{At: now, Known: known}).Verify(t.Context(), action(w.image), c)
		return v
	}
	v := at(now, w.client)
	wantOutcome(t, v, mirror.OutcomeException, mirror.Excepted)
	end := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	if !v.Until.Equal(end) || v.Exception == nil || v.Exception.ApprovedBy != "alice" || len(v.Warnings) != 1 {
		t.Errorf("got until %s, exception %v, warnings %q", v.Until, v.Exception, v.Warnings)
	}
	if v = at(now.Add(time.Minute), nil); v.Outcome != mirror.OutcomeException || len(v.Warnings) != 1 {
		t.Errorf("remembered: got %s with warnings %q", v.Outcome, v.Warnings)
	}
	clear(known)
	wantOutcome(t, at(end.Add(-time.Nanosecond), w.client), mirror.OutcomeException, mirror.Excepted)
	wantOutcome(t, at(end, w.client), mirror.OutcomeRejected, mirror.NoSignature)

	clear(known)
	wantOutcome(t, at(now, w.client), mirror.OutcomeException, mirror.Excepted)
	w.legacy(s) // comes late
	wantOutcome(t, at(now.Add(time.Minute), w.client), mirror.OutcomeException, mirror.Excepted)
	wantOutcome(t, at(now.Add(time.Hour), w.client), mirror.OutcomeSigned, mirror.Signed)
}

func TestVerifier_TakesWhatThisSiteAttested(t *testing.T) {
	w := newAPIWorld(t)
	s := newSigner(t, "p256")
	w.legacy(s)
	p, known := trusting(t, s), memory{}
	first, _ := w.asked(p.Verifier(policy.Options{At: now, Known: known}), w.client)
	for name, c := range map[string]struct {
		edit func(*mirror.Verdict)
		used bool
	}{
		"as it was":      {func(*mirror.Verdict) {}, true},
		"other rules":    {func(v *mirror.Verdict) { v.RuleHash = mirror.DigestOf(nil) }, false},
		"fewer signers":  {func(v *mirror.Verdict) { v.Signers = nil }, false},
		"ended":          {func(v *mirror.Verdict) { v.Until = now }, false},
		"another signer": {func(v *mirror.Verdict) { v.Proofs = slices.Clone(v.Proofs); v.Proofs[0].Identity = "key x" }, false},
	} {
		asked := 0
		fresh := memory{}
		o := policy.Options{At: now, Known: fresh, Attested: func(_ context.Context, key string, a mirror.Action, _ mirror.Content) (mirror.Verdict, bool) {
			asked++
			v := known[key]
			c.edit(&v)
			return v, true
		}}
		v, n := w.asked(p.Verifier(o), w.client)
		wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
		if v.Attested != c.used || (n == 0) != c.used || asked != 1 || len(fresh) != 1 {
			t.Errorf("%s: attested %v after %d requests, asked %d times, remembered %d", name, v.Attested, n, asked, len(fresh))
		}
		w.asked(p.Verifier(o), w.client)
		if asked != 1 {
			t.Errorf("%s: asked again although it is known", name)
		}
	}
	if first.Attested {
		t.Error("what was judged is called attested")
	}
}

func TestVerifier_FirstSeenDatesWhatNobodyElseDates(t *testing.T) {
	w := newAPIWorld(t)
	authority, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	plain, stamped := newSigner(t, "p256"), authority.Timestamped(newSigner(t, "p256"))
	files := policyFiles(map[string]*testenv.Signer{"plain": plain, "stamped": stamped}, "roots: {corp: {file: root.json}}\nrules:\n  - match: docker.io/**\n    require: {signers: [stamped]}\n    minAge: 72h\n")
	files["desired/root.json"] = authority.TrustedRoot()
	files[mirror.PolicyFile] = []byte(strings.Replace(string(files[mirror.PolicyFile]), "keys/stamped.pub", "keys/stamped.pub, root: corp", 1))
	p, problems := policy.Load(files, commit)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	w.bundle(stamped)
	signed := testenv.SignedAt
	for _, c := range []struct {
		name    string
		at      time.Time
		outcome mirror.Outcome
		until   time.Time
	}{
		{"just signed", signed.Add(time.Hour), mirror.OutcomeRejected, signed.Add(72 * time.Hour)},
		{"old enough", signed.Add(72 * time.Hour), mirror.OutcomeSigned, time.Time{}},
	} {
		v, err := p.Verifier(policy.Options{At: c.at}).Verify(t.Context(), action(w.image), w.client)
		if err != nil || v.Outcome != c.outcome || !v.Until.Equal(c.until) {
			t.Errorf("%s: got %s (%s) until %s, %v", c.name, v.Outcome, v.Reason, v.Until, err)
		}
		if len(v.Proofs) != 1 || v.Proofs[0].Source != "timestamp authority" || !v.Proofs[0].Time.Equal(signed) {
			t.Errorf("%s: got proofs %+v", c.name, v.Proofs)
		}
	}
}
