package policy_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

// loaded gives the policy of files, and floored one with a floor over files of its own.
func loaded(t *testing.T, files mirror.Files) policy.Policy {
	t.Helper()
	p, problems := policy.Load(files, commit)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

func floored(t *testing.T, p policy.Policy, files mirror.Files) policy.Policy {
	t.Helper()
	floor, problems := policy.LoadFloor("/etc/floor.yaml", files)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return p.WithFloor(floor)
}

// Who may write the fleet's policy may name a key that the floor denies under any name and any hash.
func TestDeny_AKeyIsDeniedWhateverHashItSignsOver(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	image := mirror.Reference{Host: "docker.io", Repository: "library/app", Tag: "1.0", Digest: mirror.DigestOf([]byte("stolen"))}
	for hash, h := range map[string]crypto.Hash{"sha256": crypto.SHA256, "sha512": crypto.SHA512} {
		fleet := loaded(t, mirror.Files{"desired/nice.pub": public,
			mirror.PolicyFile: []byte("version: 1\nsigners:\n  nice: {key: nice.pub, hash: " + hash + "}\n" + strings.ReplaceAll(oneOfRelease, "release", "nice"))})
		both := floored(t, fleet, mirror.Files{"/etc/stolen.pub": public,
			"/etc/floor.yaml": []byte("version: 1\ndefault: fleet\nsigners:\n  stolen: {key: stolen.pub}\ndeny: {signers: [stolen]}\n")})
		known := memory{}
		judge := func(p policy.Policy) mirror.Verdict {
			v, err := p.Verifier(policy.Options{At: now, Known: known}).Verify(t.Context(), action(image), signedByHand(t, key, h, image))
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		wantOutcome(t, judge(fleet), mirror.OutcomeSigned, mirror.Signed)
		v := judge(both)
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
		wantDetail(t, v, "by stolen, whom deny.signers names")
	}
}

// signedByHand is a registry that holds one legacy signature over an image.
func signedByHand(t *testing.T, key crypto.PrivateKey, h crypto.Hash, image mirror.Reference) liar {
	t.Helper()
	signer, err := signature.LoadSigner(key, h)
	if err != nil {
		t.Fatal(err)
	}
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"}}`, image.Name(), image.Digest)
	sig, err := signer.SignMessage(bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":%q,"size":%d,"annotations":{"dev.cosignproject.cosign/signature":%q}}]}`,
		mirror.DigestOf(payload), len(payload), base64.StdEncoding.EncodeToString(sig))
	return liar{manifest: manifest, blob: bytes.NewReader(payload)}
}

// A root of the fleet that asks for less would prove what the floor's root does not.
func TestDeny_APersonIsDeniedWhateverRootProvesIt(t *testing.T) {
	a, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(a.TrustedRoot(), &doc); err != nil {
		t.Fatal(err)
	}
	delete(doc, "tlogs")
	logless, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	w := newAPIWorld(t)
	w.legacy(a.Person("https://oidc.corp", "Alice@corp.example"), testenv.WitnessedBy(testenv.Stamp))
	text := "version: 1\nroots: {corp: {file: root.json}}\nsigners:\n  ci: {keyless: {root: corp, issuer: https://oidc.corp, subject: Alice@corp.example}}\n"
	fleet := loaded(t, mirror.Files{"desired/root.json": logless, mirror.PolicyFile: []byte(text + strings.ReplaceAll(oneOfRelease, "release", "ci"))})
	wantOutcome(t, w.verify(fleet), mirror.OutcomeSigned, mirror.Signed)
	for _, subject := range []string{"Alice@corp.example", "alice@corp.example", "'*@corp.example'"} {
		v := w.verify(floored(t, fleet, mirror.Files{"/etc/root.json": a.TrustedRoot(),
			"/etc/floor.yaml": []byte(strings.ReplaceAll(text, "Alice@corp.example", subject) + "default: fleet\ndeny: {signers: [ci]}\n")}))
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
		wantDetail(t, v, "whom deny.signers names")
	}
	v := w.verify(floored(t, fleet, mirror.Files{"/etc/root.json": a.TrustedRoot(),
		"/etc/floor.yaml": []byte(strings.ReplaceAll(text, "Alice@", "bob@") + "default: fleet\ndeny: {signers: [ci]}\n")}))
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
}

func TestDeny_AnIndexWithADeniedManifestIsDenied(t *testing.T) {
	w := newAPIWorld(t)
	d, err := testenv.Push(t.Context(), w.server.Host(), "library/app", "2.0", testenv.Index("multi"))
	if err != nil {
		t.Fatal(err)
	}
	w.image.Tag, w.image.Digest = "2.0", d
	s := newSigner(t, "p256")
	w.legacy(s)
	var child mirror.Digest
	err = testenv.EachManifest(t.Context(), w.ref, d, func(one mirror.Digest) error { child = one; return nil })
	if err != nil || child == d {
		t.Fatal(child, err)
	}
	denying := func(rules string, d mirror.Digest) policy.Policy {
		return load(t, map[string]*testenv.Signer{"release": s}, rules+"deny: {digests: ['"+d.String()+"']}\n")
	}
	pinned := "rules:\n  - {match: docker.io/**, require: {pinned: true}}\n"
	a := action(w.image)
	a.Vouch = commit
	for rules, want := range map[string]mirror.Outcome{oneOfRelease: mirror.OutcomeSigned, pinned: mirror.OutcomePinned} {
		known := memory{}
		judge := func(p policy.Policy) (mirror.Verdict, int) {
			w.server.Proxy().Reset()
			v, err := p.Verifier(policy.Options{At: now, Known: known}).Verify(t.Context(), a, w.client)
			if err != nil {
				t.Fatal(err)
			}
			return v, w.server.Proxy().Counts().Total()
		}
		v, _ := judge(denying(rules, mirror.DigestOf([]byte("another"))))
		if v.Outcome != want {
			t.Errorf("another is denied: got %s (%s), want %s", v.Outcome, v.Reason, want)
		}
		if v, n := judge(denying(rules, mirror.DigestOf([]byte("another")))); v.Outcome != want || n != 0 {
			t.Errorf("again: got %s (%s) after %d requests, want none", v.Outcome, v.Reason, n)
		}
		v, n := judge(denying(rules, child))
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.Denied)
		wantDetail(t, v, "deny.digests names "+child.String())
		if n != 1 {
			t.Errorf("%d requests, want the index alone", n)
		}
		w.server.Proxy().Break(testenv.Always(func(r *http.Request) bool { return true }, testenv.Fault{Status: 503}))
		if v, err := denying(rules, child).Verifier(policy.Options{At: now}).Verify(t.Context(), a, w.client); v.Outcome != mirror.OutcomeUnknown || err == nil {
			t.Errorf("index that cannot be read: got %s, %v", v.Outcome, err)
		}
		w.server.Proxy().Break(nil)
	}
}

func TestDeny_AKeyIsDeniedInACertificateToo(t *testing.T) {
	chain, s := chained(t, testenv.ChainOptions{})
	w := newAPIWorld(t)
	w.legacy(s)
	with := func(deny string) policy.Policy {
		return loaded(t, mirror.Files{"desired/lost.pub": []byte(s.PublicPEM()), "desired/ca.pem": chain.CA(),
			mirror.PolicyFile: []byte("version: 1\nroots: {pki: {ca: ca.pem}}\nsigners:\n  lost: {key: lost.pub}\n  release: {certificate: {root: pki, subject: release@corp.example}}\n" + oneOfRelease + deny)})
	}
	known := memory{}
	v, _ := w.asked(with("").Verifier(policy.Options{At: now, Known: known}), w.client)
	wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
	denied := with("deny: {signers: [lost]}\n")
	wantOutcome(t, w.verify(denied), mirror.OutcomeRejected, mirror.BadSignature)
	if v, _ = w.asked(denied.Verifier(policy.Options{At: now, Known: known}), w.client); v.Outcome.Admits() || len(known) != 1 {
		t.Errorf("what was judged before still counts: %s; %d are remembered", v.Reason, len(known))
	}
}
