package policy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

// Each test here is an attack that was seen to work on the library when it is called the easy way. That
// the test ends at all says that the process survives it.

func TestAttack_MangledLogEntryIsRefused(t *testing.T) {
	for _, entry := range []string{`{}`, `{"Payload":{"body":7}}`, `{"Payload":{"body":"not base64!"}}`, `[`} {
		t.Run(entry, func(t *testing.T) {
			eachRegistry(t, func(t *testing.T, w *world) {
				s := newSigner(t, "p256")
				w.legacy(s, testenv.Annotated("dev.sigstore.cosign/bundle", entry))
				v := w.verify(trusting(t, s))
				wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
				wantDetail(t, v, "log entry")
				w.legacy(s) // an honest one beside it
				wantOutcome(t, w.verify(trusting(t, s)), mirror.OutcomeSigned, mirror.Signed)
			})
		})
	}
}

func TestVerifier_IgnoresAHonestLogEntry(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		s := newSigner(t, "p256")
		w.legacy(s, testenv.Annotated("dev.sigstore.cosign/bundle",
			`{"SignedEntryTimestamp":"AAAA","Payload":{"body":"e30=","integratedTime":1,"logIndex":1,"logID":"00"}}`))
		wantOutcome(t, w.verify(trusting(t, s)), mirror.OutcomeSigned, mirror.Signed)
	})
}

func TestAttack_BogusTimestampIsRefused(t *testing.T) {
	for _, stamp := range []string{`{}`, `{"SignedRFC3161Timestamp":"AAAA"}`, `{"SignedRFC3161Timestamp":7}`} {
		t.Run(stamp, func(t *testing.T) {
			eachRegistry(t, func(t *testing.T, w *world) {
				s := newSigner(t, "p256")
				w.legacy(s, testenv.Annotated("dev.sigstore.cosign/rfc3161timestamp", stamp))
				v := w.verify(trusting(t, s))
				wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
				wantDetail(t, v, "timestamp")
			})
		})
	}
}

// bomb is gzip that inflates to a GiB; members of gzip may follow each other.
func bomb(t *testing.T, members int) []byte {
	t.Helper()
	var member bytes.Buffer
	w := gzip.NewWriter(&member)
	if _, err := io.CopyN(w, zeros{}, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(member.Bytes(), members)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAttack_CompressedBombIsNeverInflated(t *testing.T) {
	below, above := bomb(t, 15), bomb(t, 17) // just below and above the limit of a bundle
	eachRegistry(t, func(t *testing.T, w *world) {
		for _, body := range [][]byte{below, above} {
			if err := testenv.PutReferrer(t.Context(), w.ref, w.image.Digest, testenv.BundleType, nil, testenv.BundleType, body, nil); err != nil {
				t.Fatal(err)
			}
		}
		s := newSigner(t, "p256")
		p := trusting(t, s)
		w.server.Proxy().Reset()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v := w.verify(p)
		runtime.ReadMemStats(&after)
		if n := w.server.Proxy().Counts().Of(testenv.BlobGet); n != 1 {
			t.Errorf("%d blobs were read; want only the one that is within the limit", n)
		}
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
		// The registry runs in this process and its share is counted too.
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("judging allocated %d MiB, want at most 64", used>>20)
		}
		w.bundle(s)
		wantOutcome(t, w.verify(p), mirror.OutcomeSigned, mirror.Signed)
	})
}

func TestAttack_TooManyReferrersAreRefusedUnread(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		s := newSigner(t, "p256")
		w.bundle(s)
		junk := 300
		if w.fallback {
			junk = 60 // every push writes the whole fallback index anew
		}
		for i := range junk {
			if err := testenv.PutReferrer(t.Context(), w.ref, w.image.Digest, "application/vnd.junk", nil, "text/plain", fmt.Append(nil, i), nil); err != nil {
				t.Fatal(err)
			}
		}
		w.server.Proxy().Reset()
		v := w.verify(trusting(t, s))
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
		wantDetail(t, v, "too many referrers")
		if n := w.server.Proxy().Counts().Total(); n > 5 {
			t.Errorf("%d requests were made", n)
		}
	})
}

func TestAttack_TooManySignaturesAreRefused(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		stranger := newSigner(t, "ed25519")
		for range 50 {
			w.legacy(stranger, testenv.ForDigest(mirror.DigestOf([]byte("x"))))
		}
		s := newSigner(t, "p256")
		w.legacy(s)
		v := w.verify(trusting(t, s))
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
	})
}

func TestAttack_SignatureOfAnotherImageIsRefused(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		other := w.push("library/app", "other")
		s := newSigner(t, "p256")
		w.legacy(s, testenv.ForDigest(other.Digest))
		w.legacy(s, testenv.ForDigest(other.Digest), testenv.AsReferrer())
		w.bundle(s, testenv.ForDigest(other.Digest))
		wantOutcome(t, w.verify(trusting(t, s)), mirror.OutcomeRejected, mirror.BadSignature)
	})
}

func TestAttack_SignatureOfAnotherRepositoryIsRefusedUnlessAllowed(t *testing.T) {
	rules := "rules:\n  - match: docker.io/**\n    require: {signers: [release]}\n    reference: "
	for _, c := range []struct {
		reference, claimed string
		outcome            mirror.Outcome
	}{
		{"repository", "index.docker.io/library/app", mirror.OutcomeSigned},
		{"repository", "docker.io/library/app:9.9", mirror.OutcomeSigned},
		{"repository", "docker.io/library/other", mirror.OutcomeRejected},
		{"repository", "quay.io/library/app", mirror.OutcomeRejected},
		{"repository", "docker.io/library/app@" + mirror.DigestOf(nil).String(), mirror.OutcomeRejected},
		{"repository", "No Reference", mirror.OutcomeRejected},
		{"exact", "docker.io/library/app:1.0", mirror.OutcomeSigned},
		{"exact", "docker.io/library/app:9.9", mirror.OutcomeRejected},
		{"exact", "docker.io/library/app", mirror.OutcomeRejected},
		{"any", "quay.io/elsewhere", mirror.OutcomeSigned},
	} {
		t.Run(c.reference+" "+c.claimed, func(t *testing.T) {
			eachRegistry(t, func(t *testing.T, w *world) {
				s := newSigner(t, "p256")
				p := load(t, map[string]*testenv.Signer{"release": s}, rules+c.reference+"\n")
				w.legacy(s, testenv.Claiming(c.claimed))
				w.bundle(s, testenv.Claiming(c.claimed))
				if v := w.verify(p); v.Outcome != c.outcome {
					t.Errorf("got %s (%s), want %s", v.Outcome, v.Reason, c.outcome)
				}
			})
		})
	}
}

func TestAttack_PayloadWithoutANameIsRefused(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		s := newSigner(t, "p256")
		w.legacy(s, testenv.Claiming(""))
		wantOutcome(t, w.verify(trusting(t, s)), mirror.OutcomeRejected, mirror.BadSignature)
	})
}

func TestAttack_AttestationIsNoSignature(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		s := newSigner(t, "p256")
		w.bundle(s, testenv.OfType("https://cosign.sigstore.dev/attestation/vuln/v1"),
			testenv.Annotated("dev.sigstore.bundle.predicateType", "https://sigstore.dev/cosign/sign/v1"))
		w.legacy(s, testenv.OfType("atomic container signature"))
		v := w.verify(trusting(t, s))
		wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
		wantDetail(t, v, "is no image signature")
	})
}

func TestAttack_OneKeyCountsOnce(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		one, two := newSigner(t, "p256"), newSigner(t, "p384")
		p := load(t, map[string]*testenv.Signer{"release": one, "alias": one, "security": two},
			"rules:\n  - match: docker.io/**\n    require: {signers: [release, alias, security], count: 2}\n")
		w.legacy(one)
		w.legacy(one, testenv.Claiming("docker.io/library/app:1.0"))
		w.bundle(one)
		v := w.verify(p)
		if v.Outcome != mirror.OutcomeRejected {
			t.Fatalf("one key that signed three times was counted as two: %s", v.Reason)
		}
		w.bundle(two)
		wantOutcome(t, w.verify(p), mirror.OutcomeSigned, mirror.Signed)
	})
}

func TestAttack_SignedIndexDoesNotVouchForItsChild(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		index := testenv.Index("multi")
		d, err := testenv.Push(t.Context(), w.server.Host(), "library/app", "2.0", index)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		s := newSigner(t, "p256")
		w.image.Tag, w.image.Digest = "2.0", d
		w.legacy(s)
		wantOutcome(t, w.verify(trusting(t, s)), mirror.OutcomeSigned, mirror.Signed)
		w.image.Digest = manifest.Manifests[0].Digest
		wantOutcome(t, w.verify(trusting(t, s)), mirror.OutcomeRejected, mirror.NoSignature)
	})
}

func TestAttack_MovedTagChangesNothing(t *testing.T) {
	eachRegistry(t, func(t *testing.T, w *world) {
		s := newSigner(t, "p256")
		w.legacy(s)
		first := w.image
		moved := w.push("library/app", "moved") // 1.0 names other bytes now
		if moved.Digest == first.Digest {
			t.Fatal("the tag did not move")
		}
		verified, _, err := mirror.Verify(t.Context(), trusting(t, s).Verifier(policy.Options{At: now}), action(first), w.client)
		if err != nil || verified.Action().New != first.Digest {
			t.Errorf("got %v for %s; want the digest that was asked for", err, verified.Action().New)
		}
		if _, _, err := mirror.Verify(t.Context(), trusting(t, s).Verifier(policy.Options{At: now}), action(moved), w.client); err == nil {
			t.Error("what the tag names now was admitted by the signature of what it named before")
		}
	})
}

func TestAttack_LyingRegistryIsRefused(t *testing.T) {
	image := mirror.Reference{Host: "docker.io", Repository: "library/app", Tag: "1.0", Digest: mirror.DigestOf([]byte("app"))}
	p := trusting(t, newSigner(t, "p256"))
	honest := []byte(`{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","size":3,"digest":"` + mirror.DigestOf([]byte("abc")).String() + `"}]}`)
	misplaced := []byte(`{"schemaVersion":2,"artifactType":"` + testenv.BundleType + `","subject":{"digest":"` + mirror.DigestOf([]byte("other")).String() + `"}}`)
	for _, c := range []struct {
		name, detail string
		liar
	}{
		{"manifest of another digest", "does not match its digest", liar{manifest: []byte(`{"schemaVersion":2}`), digest: mirror.DigestOf([]byte("x"))}},
		{"manifest that is huge", "larger than the limit", liar{manifest: bytes.Repeat([]byte(" "), 5<<20)}},
		{"manifest that is said to be huge", "larger than the limit", liar{manifest: honest, size: 5 << 20}},
		{"manifest that is no JSON", "invalid character", liar{manifest: []byte(`}`)}},
		{"blob of another digest", "does not match its digest", liar{manifest: honest, blob: bytes.NewReader([]byte("abd"))}},
		{"blob without end", "larger than the limit", liar{manifest: honest, blob: zeros{}}},
		{"referrer of another image", "its subject is another image", liar{manifest: misplaced, referrers: 1}},
		{"referrers without end", "too many referrers", liar{manifest: misplaced, referrers: 1000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			v, err := p.Verifier(policy.Options{At: now}).Verify(t.Context(), action(image), c.liar)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Errorf("got error %v; want a refusal, since asking again gives the same", err)
			}
			wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
			wantDetail(t, v, c.detail)
			if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
				t.Errorf("judging allocated %d MiB", used>>20)
			}
		})
	}
}

// liar is a Content that checks nothing, as a faulty one would. It has a legacy tag, or else referrers.
type liar struct {
	manifest  []byte
	digest    mirror.Digest // what the manifest is said to have; computed when zero
	size      int64
	blob      io.Reader
	referrers int
}

func (l liar) descriptor() mirror.Descriptor {
	d := mirror.NewManifest("application/vnd.oci.image.manifest.v1+json", l.manifest).Descriptor
	if l.digest != (mirror.Digest{}) {
		d.Digest = l.digest
	}
	d.Size = l.size
	return d
}

func (l liar) Resolve(context.Context, mirror.Reference) (mirror.Descriptor, error) {
	if l.referrers > 0 {
		return mirror.Descriptor{}, mirror.ErrNotFound
	}
	return l.descriptor(), nil
}

func (l liar) Tagged(context.Context, mirror.Reference) (mirror.Manifest, error) {
	if l.referrers > 0 {
		return mirror.Manifest{}, mirror.ErrNotFound
	}
	return mirror.Manifest{Descriptor: l.descriptor(), Body: l.manifest}, nil
}

func (l liar) Manifest(context.Context, mirror.Reference, mirror.Digest) (mirror.Manifest, error) {
	return mirror.NewManifest("application/vnd.oci.image.manifest.v1+json", l.manifest), nil
}

func (l liar) Blob(context.Context, mirror.Reference, mirror.Digest, int64) (io.ReadCloser, error) {
	return io.NopCloser(l.blob), nil
}

func (l liar) Referrers(context.Context, mirror.Reference, mirror.Digest) ([]mirror.Descriptor, error) {
	return slices.Repeat([]mirror.Descriptor{l.descriptor()}, l.referrers), nil
}
