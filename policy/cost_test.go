package policy_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

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
	if policy.Cached(nil) != nil {
		t.Error("nothing to ask became something")
	}
}

func TestCached_TroubleIsNotRemembered(t *testing.T) {
	w := newAPIWorld(t)
	s := newSigner(t, "p256")
	w.legacy(s)
	content := policy.Cached(w.client)
	w.server.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Status: 503}))
	if v, err := trusting(t, s).Verifier(policy.Options{At: now}).Verify(t.Context(), action(w.image), content); v.Outcome != mirror.OutcomeUnknown || err == nil {
		t.Fatalf("got %s, %v", v.Outcome, err)
	}
	w.server.Proxy().Break(nil)
	v, _ := w.asked(trusting(t, s).Verifier(policy.Options{At: now}), content)
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
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
