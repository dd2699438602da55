package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

// chained makes an X.509 chain and who signs with its leaf.
func chained(t *testing.T, o testenv.ChainOptions) (*testenv.Chain, *testenv.Signer) {
	t.Helper()
	o.Subject = "release@corp.example"
	chain, err := testenv.NewChain(o)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := chain.Signer()
	if err != nil {
		t.Fatal(err)
	}
	return chain, signer
}

func TestCount_OneKeyIsOneSignerBareAndInACertificate(t *testing.T) {
	chain, s := chained(t, testenv.ChainOptions{})
	w := newAPIWorld(t)
	w.legacy(s)
	w.bundle(s)
	other := newSigner(t, "p256")
	p := loaded(t, mirror.Files{"desired/a.pub": []byte(s.PublicPEM()), "desired/ca.pem": chain.CA(), "desired/c.pub": []byte(other.PublicPEM()),
		mirror.PolicyFile: []byte("version: 1\nroots: {pki: {ca: ca.pem}}\nsigners:\n  alice: {key: a.pub}\n  bob: {certificate: {root: pki, subject: release@corp.example}}\n  carol: {key: c.pub}\n" +
			"rules:\n  - match: docker.io/**\n    require: {signers: [alice, bob, carol], count: 2}\n")})
	v := w.verify(p)
	wantOutcome(t, v, mirror.OutcomeRejected, mirror.NoSignature)
	w.legacy(other)
	wantOutcome(t, w.verify(p), mirror.OutcomeSigned, mirror.Signed)
}

func TestCount_OneAddressIsOnePersonInAnySpelling(t *testing.T) {
	a, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	w := newAPIWorld(t)
	w.legacy(a.Person("https://oidc.corp", "alice@corp.example"))
	w.bundle(a.Person("https://oidc.corp", "Alice@Corp.example"))
	p := loaded(t, mirror.Files{"desired/root.json": a.TrustedRoot(),
		mirror.PolicyFile: []byte("version: 1\nroots: {corp: {file: root.json}}\nsigners:\n  people: {keyless: {root: corp, issuer: https://oidc.corp, subjectRegexp: \"^(?i:[a-z]+@corp[.]example)$\"}}\n" +
			"rules:\n  - match: docker.io/**\n    require: {signers: [people], count: 2}\n")})
	v := w.verify(p)
	wantOutcome(t, v, mirror.OutcomeRejected, mirror.NoSignature)
	w.bundle(a.Person("https://oidc.corp", "bob@corp.example"))
	wantOutcome(t, w.verify(p), mirror.OutcomeSigned, mirror.Signed)
}

// A key that is retired, or was stolen, signs an image that we know for long.
func TestUntil_ARetiredKeySignsNothingMore(t *testing.T) {
	w := newAPIWorld(t)
	s := newSigner(t, "p256")
	files := policyFiles(map[string]*testenv.Signer{"release": s}, oneOfRelease)
	files[mirror.PolicyFile] = []byte(strings.Replace(string(files[mirror.PolicyFile]), "release.pub", "release.pub, until: 2026-06-30", 1))
	p := loaded(t, files)
	june := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	sights := map[mirror.Digest]time.Time{}
	judge := func(at time.Time) mirror.Verdict {
		v, err := p.Verifier(policy.Options{At: at, Seen: func(d mirror.Digest) time.Time {
			if _, ok := sights[d]; !ok {
				sights[d] = at
			}
			return sights[d]
		}}).Verify(t.Context(), action(w.image), w.client)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	wantOutcome(t, judge(june), mirror.OutcomeRejected, mirror.NoSignature)
	w.legacy(s)
	v := judge(now)
	wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
	wantDetail(t, v, "counts only before 2026-07-01")

	// What we saw in its time keeps counting, wherever it lies and whatever came to lie beside it.
	clear(sights)
	wantOutcome(t, judge(june), mirror.OutcomeSigned, mirror.Signed)
	w.legacy(newSigner(t, "p256"))
	v = judge(now)
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
	if len(v.Proofs) != 1 || !v.Proofs[0].Time.Equal(june) || !v.Seen.Equal(june) {
		t.Errorf("got proofs %+v, seen %s", v.Proofs, v.Seen)
	}
}

// A timestamp is not signed by the key, so that whoever stores the signature may leave it out.
func TestNotBefore_IsNotLiftedByLeavingOutATimestamp(t *testing.T) {
	a, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	s := newSigner(t, "p256")
	for begin, want := range map[string]mirror.Outcome{"2026-09-01": mirror.OutcomeRejected, "2026-05-01": mirror.OutcomeSigned} {
		files := policyFiles(map[string]*testenv.Signer{"release": s}, "roots: {corp: {file: root.json}}\n"+oneOfRelease)
		files["desired/root.json"] = a.TrustedRoot()
		files[mirror.PolicyFile] = []byte(strings.Replace(string(files[mirror.PolicyFile]), "release.pub", "release.pub, root: corp, notBefore: "+begin, 1))
		p := loaded(t, files)
		w := newAPIWorld(t)
		w.legacy(a.Timestamped(s)) // in June
		if v := w.verify(p); v.Outcome != want {
			t.Errorf("from %s on, timestamped: got %s (%s)", begin, v.Outcome, v.Reason)
		}
		w = newAPIWorld(t)
		w.legacy(s)
		v := w.verify(p)
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
		wantDetail(t, v, "nothing that is trusted says when")
	}
}

func TestVerifier_WhatIsRememberedEndsWithItsCertificate(t *testing.T) {
	leaf, authority := now.Add(48*time.Hour), now.Add(24*time.Hour)
	chain, s := chained(t, testenv.ChainOptions{Until: leaf, CAUntil: authority})
	w := newAPIWorld(t)
	w.legacy(s, testenv.At(now))
	p := loaded(t, mirror.Files{"desired/ca.pem": chain.CA(),
		mirror.PolicyFile: []byte("version: 1\nroots: {pki: {ca: ca.pem}}\nsigners:\n  release: {certificate: {root: pki, subject: release@corp.example}}\n" + oneOfRelease)})
	known := memory{}
	judge := func(at time.Time) mirror.Verdict {
		v, err := p.Verifier(policy.Options{At: at, Known: known}).Verify(t.Context(), action(w.image), w.client)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := judge(now)
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
	if end := authority.Add(time.Second); !v.Until.Equal(end) {
		t.Errorf("got until %s, want %s", v.Until, end)
	}
	wantOutcome(t, judge(authority), mirror.OutcomeSigned, mirror.Signed)
	wantOutcome(t, judge(v.Until), mirror.OutcomeRejected, mirror.BadSignature)
}
