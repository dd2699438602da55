package policy_test

import (
	"context"
	"fmt"
	"maps"
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
		d, err := testenv.Push(t.Context(), w.server.Host(), "library/app", "2.0", testenv.Index("multi"))
		if err != nil {
			t.Fatal(err)
		}
		w.image.Tag, w.image.Digest = "2.0", d
		s := newSigner(t, "p256")
		p := load(t, map[string]*testenv.Signer{"release": s}, oneOfRelease+"    platforms: each\n")
		first := true
		err = testenv.EachManifest(t.Context(), w.ref, d, func(one mirror.Digest) error {
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

func TestVerifier_WhatSaysThatNobodyAsksForItIsNotRead(t *testing.T) {
	w := newAPIWorld(t)
	s := newSigner(t, "p256")
	p := trusting(t, s)
	for range 5 {
		w.attest(s, false, "https://example.org/scan/v1", map[string]any{})
	}
	w.bundle(s)
	v, n := w.asked(p.Verifier(policy.Options{At: now}), w.client)
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
	if n > 4 {
		t.Errorf("%d requests; want the tag, the list, one manifest and one blob", n)
	}
	// A signature that says to be something else loses, and nothing that says to be a signature wins by it.
	w = newAPIWorld(t)
	w.bundle(s, testenv.Annotated("dev.sigstore.bundle.predicateType", "https://example.org/scan/v1"))
	wantOutcome(t, w.verify(p), mirror.OutcomeRejected, mirror.NoSignature)
}

func TestVerifier_FetchesOnceAndVerifiesMany(t *testing.T) {
	w := newAPIWorld(t)
	keys := map[string]*testenv.Signer{}
	for i := range 5 {
		name := fmt.Sprint("key", i)
		keys[name] = newSigner(t, "p256")
		w.legacy(keys[name], testenv.Claiming(fmt.Sprint("docker.io/library/app:", i))) // five payloads
	}
	names := strings.Join(slices.Sorted(maps.Keys(keys)), ", ")
	p := load(t, keys, "rules:\n  - match: docker.io/**\n    require: {signers: ["+names+"], count: 5}\n  - match: docker.io/library/*\n    require: {signers: ["+names+"], count: 3}\n")
	known := memory{}
	v, n := w.asked(p.Verifier(policy.Options{At: now, Known: known}), w.client)
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
	if n > 6 || len(v.Signers) != 5 {
		t.Errorf("%d requests for five signatures by five keys, want at most 6; signers %v", n, v.Signers)
	}
	if v, n = w.asked(p.Verifier(policy.Options{At: now, Known: known}), w.client); n != 0 || v.Outcome != mirror.OutcomeSigned {
		t.Errorf("again: %s after %d requests, want none", v.Outcome, n)
	}
	// A floor that asks for the same reads nothing twice.
	v, n = w.asked(p.WithFloor(p).Verifier(policy.Options{At: now}), w.client)
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
	if n > 6 {
		t.Errorf("%d requests with a floor, want at most 6", n)
	}
}

func TestVerifier_AnUnsignedImageCostsTwoRequests(t *testing.T) {
	w := newAPIWorld(t)
	v, n := w.asked(trusting(t, newSigner(t, "p256")).Verifier(policy.Options{At: now}), w.client)
	wantOutcome(t, v, mirror.OutcomeRejected, mirror.NoSignature)
	if n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestCached_ASecondLookCostsTheTagAndTheList(t *testing.T) {
	w := newAPIWorld(t)
	s, stranger := newSigner(t, "p256"), newSigner(t, "p256")
	for range 3 {
		w.legacy(stranger)
		w.bundle(stranger)
	}
	p := trusting(t, s)
	content := policy.Cached(w.client)
	look := func() (mirror.Verdict, int) { return w.asked(p.Verifier(policy.Options{At: now}), content) }
	if v, n := look(); v.Outcome.Admits() || n < 8 {
		t.Fatalf("first look: %s after %d requests", v.Outcome, n)
	}
	if v, n := look(); v.Outcome.Admits() || n != 2 {
		t.Errorf("second look: %s after %d requests, want 2", v.Outcome, n)
	}
	w.bundle(s) // a late signature
	if v, n := look(); v.Outcome != mirror.OutcomeSigned || n > 4 {
		t.Errorf("late signature: %s after %d requests, want signed after 4", v.Outcome, n)
	}
	if policy.Cached(nil) != nil || policy.Frozen(nil) != nil {
		t.Error("nothing to ask became something")
	}
}

func TestFrozen_TwoPoliciesAreJudgedByOneLook(t *testing.T) {
	w := newAPIWorld(t)
	s, other := newSigner(t, "p256"), newSigner(t, "p256")
	w.legacy(s)
	content := policy.Frozen(w.client)
	v, _ := w.asked(trusting(t, s).Verifier(policy.Options{At: now}), content)
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
	w.legacy(other) // after the first look
	v, n := w.asked(trusting(t, s).Verifier(policy.Options{At: now}), content)
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
	if n != 0 {
		t.Errorf("%d requests, want none", n)
	}
	v, n = w.asked(trusting(t, other).Verifier(policy.Options{At: now}), content)
	wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
	if n > 1 {
		t.Errorf("%d requests, want only the list that nobody asked for yet", n)
	}
}

func TestCached_TroubleIsNotRemembered(t *testing.T) {
	w := newAPIWorld(t)
	s := newSigner(t, "p256")
	w.legacy(s)
	content := policy.Frozen(w.client)
	w.server.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Status: 503}))
	if v, err := trusting(t, s).Verifier(policy.Options{At: now}).Verify(t.Context(), action(w.image), content); v.Outcome != mirror.OutcomeUnknown || err == nil {
		t.Fatalf("got %s, %v", v.Outcome, err)
	}
	w.server.Proxy().Break(nil)
	v, _ := w.asked(trusting(t, s).Verifier(policy.Options{At: now}), content)
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
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

// BenchmarkVerifier_Key is a check by one key on loopback.
func BenchmarkVerifier_Key(b *testing.B) {
	for _, form := range []string{"legacy", "bundle"} {
		b.Run(form, func(b *testing.B) {
			var took []time.Duration
			w, s := newAPIWorld(b), newSigner(b, "p256")
			p := trusting(b, s)
			if w.legacy(s); form == "bundle" {
				w = newAPIWorld(b)
				w.bundle(s)
			}
			for b.Loop() {
				begun := time.Now()
				v, err := p.Verifier(policy.Options{At: now}).Verify(b.Context(), action(w.image), w.client)
				if err != nil || !v.Outcome.Admits() {
					b.Fatal(v.Reason, err)
				}
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
		})
	}
}
