package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

var (
	noon   = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	day    = 24 * time.Hour
	judgee = mirror.Reference{Host: "docker.io", Repository: "library/app", Tag: "1.0", Digest: mirror.DigestOf([]byte("app"))}
)

const slsa = "https://slsa.dev/provenance/v1"

// signedBy is a valid signature as it comes out of verification; with a time, a timestamp authority vouches for that.
func signedBy(name string, times ...time.Time) proof {
	p := proof{signer: name, sight: mirror.DigestOf([]byte("signature by " + name)), manifest: mirror.Descriptor{Digest: mirror.DigestOf([]byte(name))},
		Proof: trust.Proof{Identity: "key " + name, Names: []string{"docker.io/library/app"}}}
	for _, t := range times {
		p.Times = append(p.Times, trust.Time{At: t, Source: "timestamp authority"})
	}
	return p
}

func attestedBy(name, kind string, met error) proof {
	p := signedBy(name)
	p.Type, p.met = kind, map[string]error{attestation{Type: kind}.id(): met}
	return p
}

// scene is what a case of the table starts from: one rule that wants release, image and signatures seen for a year.
type scene struct {
	q       question
	sighted time.Time // when we first saw the signatures
	proofs  []proof
	flaws   []flaw
	trouble error
}

func (s *scene) rule() *rule { return &s.q.asked[0].rules[0] }

func (s *scene) signs(p proof) { s.proofs = append(s.proofs, p) }

func (s *scene) excuses(until time.Time, skip ...skip) {
	s.q.asked[0].exceptions = append(s.q.asked[0].exceptions, exception{Name: judgee.Name(), Skip: skip, Until: until, Reason: "VEND-123", ApprovedBy: "alice"})
}

func (s *scene) floor(x asked) *asked {
	x.layer.file, x.layer.floor = "floor.yaml", true
	s.q.asked = append(s.q.asked, x)
	return &s.q.asked[len(s.q.asked)-1]
}

func newScene() *scene {
	signers := map[string]signer{"release": {}, "sec-a": {}, "sec-b": {}, "ci": {}, "old": {until: noon.Add(-30 * day)}, "new": {notBefore: noon.Add(-30 * day)}, "leaving": {until: noon.Add(30 * day)}}
	r := rule{Match: "docker.io/**", Signers: []string{"release"}, Count: 1, Reference: nameRepository}
	return &scene{sighted: noon.Add(-365 * day), q: question{image: judgee, source: judgee.AtDigest(mirror.Digest{}), stage: "production", now: noon, seen: noon.Add(-365 * day),
		asked: []asked{{layer: layer{file: mirror.PolicyFile, signers: signers}, rules: []rule{r}, mode: modeEnforce}}}}
}

func (s *scene) verdict() mirror.Verdict {
	at := spot{s.q.source, judgee.Digest}
	for i := range s.proofs {
		s.proofs[i].seen = s.sighted
	}
	found := evidence{subjects: []subject{{digest: judgee.Digest}}, spots: map[spot]*beside{at: {items: len(s.proofs), proofs: s.proofs, flaws: s.flaws}}}
	v, _ := s.q.settle(found, s.trouble, mirror.Verdict{})
	return v
}

func TestSettle_JudgesByValuesAlone(t *testing.T) {
	trouble := errors.New("registry is away")
	for _, c := range []struct {
		name    string
		arrange func(*scene)
		outcome mirror.Outcome
		code    mirror.ReasonCode
		detail  string
		until   time.Time
	}{
		{"signed", func(s *scene) { s.signs(signedBy("release")) }, mirror.OutcomeSigned, mirror.Signed, "signed by release", time.Time{}},
		{"signed by somebody else", func(s *scene) { s.signs(signedBy("sec-a")) }, mirror.OutcomeRejected, mirror.NoSignature, "missing", time.Time{}},
		{"nothing there", func(*scene) {}, mirror.OutcomeRejected, mirror.NoSignature, "no signature found", time.Time{}},
		{"something wrong there", func(s *scene) { s.flaws = []flaw{{about: aboutSignatures, text: "tampered"}} }, mirror.OutcomeRejected, mirror.BadSignature, "tampered", time.Time{}},
		{"a flaw of an attestation is none of a signature", func(s *scene) { s.flaws = []flaw{{about: aboutAttestations, text: "tampered"}} }, mirror.OutcomeRejected, mirror.NoSignature, "", time.Time{}},

		{"two of one key under two names", func(s *scene) {
			s.rule().Signers, s.rule().Count = []string{"sec-a", "sec-b"}, 2
			a, b := signedBy("sec-a"), signedBy("sec-b")
			b.Identity = a.Identity
			s.proofs = []proof{a, a, b}
		}, mirror.OutcomeRejected, mirror.NoSignature, "wants 2 of", time.Time{}},
		{"two of one signature", func(s *scene) {
			s.rule().Signers, s.rule().Count = []string{"sec-a", "sec-b"}, 2
			a, b := signedBy("sec-a"), signedBy("sec-b")
			b.sight = a.sight
			s.proofs = []proof{a, b}
		}, mirror.OutcomeRejected, mirror.NoSignature, "wants 2 of", time.Time{}},
		{"two of one key, once in a certificate", func(s *scene) {
			s.rule().Signers, s.rule().Count = []string{"sec-a", "sec-b"}, 2
			a, b := signedBy("sec-a"), signedBy("sec-b")
			a.Key, b.Key = mirror.DigestOf([]byte("key")), mirror.DigestOf([]byte("key"))
			s.proofs = []proof{a, b}
		}, mirror.OutcomeRejected, mirror.NoSignature, "wants 2 of", time.Time{}},
		{"two of two", func(s *scene) {
			s.rule().Signers, s.rule().Count = []string{"sec-a", "sec-b"}, 2
			s.proofs = []proof{signedBy("sec-a"), signedBy("sec-b")}
		}, mirror.OutcomeSigned, mirror.Signed, "signed by sec-a, sec-b", time.Time{}},

		{"retired, seen before its end", func(s *scene) { s.rule().Signers = []string{"old"}; s.signs(signedBy("old")) }, mirror.OutcomeSigned, mirror.Signed, "", time.Time{}},
		{"retired, seen after its end", func(s *scene) {
			s.rule().Signers, s.sighted = []string{"old"}, noon // the image itself we know for a year
			s.signs(signedBy("old"))
		}, mirror.OutcomeRejected, mirror.BadSignature, "counts only before", time.Time{}},
		{"retired, seen at the very end", func(s *scene) {
			s.rule().Signers, s.sighted = []string{"old"}, noon.Add(-30*day)
			s.signs(signedBy("old"))
		}, mirror.OutcomeRejected, mirror.BadSignature, "counts only before", time.Time{}},
		{"retired, timestamped before its end", func(s *scene) {
			s.rule().Signers, s.sighted = []string{"old"}, noon
			s.signs(signedBy("old", noon.Add(-31*day)))
		}, mirror.OutcomeSigned, mirror.Signed, "", time.Time{}},
		{"a good proof beside a late one of the same key", func(s *scene) {
			s.rule().Signers, s.sighted = []string{"old"}, noon
			s.proofs = []proof{signedBy("old"), signedBy("old", noon.Add(-31*day))}
		}, mirror.OutcomeSigned, mirror.Signed, "", time.Time{}},
		{"retires later, as we saw it", func(s *scene) { s.rule().Signers = []string{"leaving"}; s.signs(signedBy("leaving")) }, mirror.OutcomeSigned, mirror.Signed, "", noon.Add(30 * day)},
		{"retires later, timestamped", func(s *scene) { s.rule().Signers = []string{"leaving"}; s.signs(signedBy("leaving", noon)) }, mirror.OutcomeSigned, mirror.Signed, "", time.Time{}},
		{"before its time", func(s *scene) {
			s.rule().Signers = []string{"new"}
			s.signs(signedBy("new", noon.Add(-31*day)))
		}, mirror.OutcomeRejected, mirror.BadSignature, "counts from", time.Time{}},
		{"a beginning that no timestamp proves", func(s *scene) {
			s.rule().Signers, s.sighted = []string{"new"}, noon
			s.signs(signedBy("new"))
		}, mirror.OutcomeRejected, mirror.BadSignature, "nothing that is trusted says when", time.Time{}},
		{"by a certificate that ends", func(s *scene) {
			p := signedBy("release")
			p.Until = noon.Add(day)
			s.signs(p)
		}, mirror.OutcomeSigned, mirror.Signed, "", noon.Add(day)},
		{"from its first moment on", func(s *scene) {
			s.rule().Signers = []string{"new"}
			s.signs(signedBy("new", noon.Add(-30*day)))
		}, mirror.OutcomeSigned, mirror.Signed, "", time.Time{}},

		{"too young as we saw it", func(s *scene) { s.rule().MinAge, s.q.seen = 72*time.Hour, noon.Add(-day); s.signs(signedBy("release")) }, mirror.OutcomeRejected, mirror.TooYoung, "first seen", noon.Add(2 * day)},
		{"old enough at the moment", func(s *scene) {
			s.rule().MinAge, s.q.seen = 72*time.Hour, noon.Add(-3*day)
			s.signs(signedBy("release"))
		}, mirror.OutcomeSigned, mirror.Signed, "", time.Time{}},
		{"old by its timestamp", func(s *scene) {
			s.rule().MinAge, s.q.seen = 72*time.Hour, noon
			s.signs(signedBy("release", noon.Add(-4*day)))
		}, mirror.OutcomeSigned, mirror.Signed, "", time.Time{}},
		{"young by its timestamp, however long we know the digest", func(s *scene) { s.rule().MinAge = 72 * time.Hour; s.signs(signedBy("release", noon.Add(-day))) }, mirror.OutcomeRejected, mirror.TooYoung, "timestamp authority", noon.Add(2 * day)},
		{"old by the timestamp of somebody who does not count", func(s *scene) {
			s.rule().MinAge, s.q.seen = 72*time.Hour, noon
			s.proofs = []proof{signedBy("release"), signedBy("sec-a", noon.Add(-4*day))}
		}, mirror.OutcomeRejected, mirror.TooYoung, "", noon.Add(3 * day)},
		{"young and unsigned waits for the signature", func(s *scene) { s.rule().MinAge, s.q.seen = 72*time.Hour, noon }, mirror.OutcomeRejected, mirror.NoSignature, "", time.Time{}},
		{"age alone vouches for nothing", func(s *scene) { *s.rule() = rule{Match: "**", MinAge: time.Hour} }, mirror.OutcomeRejected, mirror.NoRule, "age alone", time.Time{}},

		{"age alone vouches for nothing, also where an exception lifts it", func(s *scene) {
			*s.rule(), s.q.seen = rule{Match: "**", MinAge: time.Hour}, noon
			s.excuses(noon.Add(day), skipAge)
		}, mirror.OutcomeRejected, mirror.NoRule, "age alone", time.Time{}},
		{"an exception for the age that the floor asks", func(s *scene) {
			s.signs(signedBy("release"))
			s.q.seen = noon
			s.floor(asked{rules: []rule{{Match: "**", MinAge: time.Hour}}, mode: modeEnforce,
				exceptions: []exception{{Name: judgee.Name(), Skip: []skip{skipAge}, Until: noon.Add(day), Reason: "VEND-123", ApprovedBy: "alice"}}})
		}, mirror.OutcomeException, mirror.Excepted, "VEND-123", noon.Add(day)},
		{"exception", func(s *scene) { s.excuses(noon.Add(day), skipSignatures) }, mirror.OutcomeException, mirror.Excepted, "VEND-123", noon.Add(day)},
		{"exception at its end", func(s *scene) { s.excuses(noon, skipSignatures) }, mirror.OutcomeRejected, mirror.NoSignature, "VEND-123 ended", time.Time{}},
		{"exception for something else", func(s *scene) { s.excuses(noon.Add(day), skipAttestations, skipPinned, skipAge) }, mirror.OutcomeRejected, mirror.NoSignature, "", time.Time{}},
		{"exception lifts what is wrong too", func(s *scene) {
			s.flaws = []flaw{{about: aboutSignatures, text: "tampered"}}
			s.excuses(noon.Add(day), skipSignatures)
		}, mirror.OutcomeException, mirror.Excepted, "", noon.Add(day)},
		{"exception that is not needed", func(s *scene) { s.excuses(noon.Add(day), skipSignatures); s.signs(signedBy("release")) }, mirror.OutcomeSigned, mirror.Signed, "", time.Time{}},
		{"two exceptions together end with the first", func(s *scene) {
			s.rule().MinAge, s.q.seen = 72*time.Hour, noon
			s.excuses(noon.Add(5*day), skipSignatures)
			s.excuses(noon.Add(4*day), skipAge)
		}, mirror.OutcomeException, mirror.Excepted, "", noon.Add(4 * day)},
		{"exception of the fleet does not lift the floor", func(s *scene) {
			s.excuses(noon.Add(day), skipSignatures)
			s.floor(asked{layer: s.q.asked[0].layer, rules: s.q.asked[0].rules, mode: modeEnforce})
		}, mirror.OutcomeRejected, mirror.NoSignature, "floor.yaml", time.Time{}},
		{"exception lifts no missing rule", func(s *scene) { s.q.asked[0].rules = nil; s.excuses(noon.Add(day), skipSignatures) }, mirror.OutcomeRejected, mirror.NoRule, "", time.Time{}},

		{"warn", func(s *scene) { s.q.asked[0].mode = modeWarn }, mirror.OutcomeWarn, mirror.Warned, "not enforced at stage production: no signature found", time.Time{}},
		{"audit", func(s *scene) { s.q.asked[0].mode = modeAudit }, mirror.OutcomeWarn, mirror.Warned, "audit only", time.Time{}},
		{"warn where no rule matches", func(s *scene) { s.q.asked[0].mode, s.q.asked[0].rules = modeWarn, nil }, mirror.OutcomeWarn, mirror.Warned, "no rule", time.Time{}},
		{"warn of an age that is reached", func(s *scene) {
			s.q.asked[0].mode, s.rule().MinAge, s.q.seen = modeWarn, time.Hour, noon
			s.signs(signedBy("release"))
		}, mirror.OutcomeWarn, mirror.Warned, "", noon.Add(time.Hour)},
		{"warn in the fleet, enforced by the floor", func(s *scene) {
			s.floor(asked{layer: s.q.asked[0].layer, rules: s.q.asked[0].rules, mode: modeEnforce})
			s.q.asked[0].mode = modeWarn
		}, mirror.OutcomeRejected, mirror.NoSignature, "", time.Time{}},

		{"trouble", func(s *scene) { s.trouble = trouble }, mirror.OutcomeUnknown, mirror.NotVerified, "registry is away", time.Time{}},
		{"trouble beside enough", func(s *scene) { s.trouble = trouble; s.signs(signedBy("release")) }, mirror.OutcomeSigned, mirror.Signed, "", time.Time{}},
		{"trouble where it is not enforced", func(s *scene) { s.trouble, s.q.asked[0].mode = trouble, modeWarn }, mirror.OutcomeUnknown, mirror.NotVerified, "", time.Time{}},
		{"trouble beside what is certain, where it is not enforced", func(s *scene) {
			s.trouble, s.q.asked[0].mode, s.rule().Pinned = trouble, modeWarn, true
			s.q.vouch.reason = mirror.Because(mirror.NotPinned, "nobody names it")
		}, mirror.OutcomeUnknown, mirror.NotVerified, "registry is away", time.Time{}},
		{"who could not be asked, where it is only audited", func(s *scene) {
			s.q.asked[0].mode, s.rule().Pinned = modeAudit, true
			s.q.vouch.err = trouble
		}, mirror.OutcomeUnknown, mirror.NotVerified, "registry is away", time.Time{}},
		{"trouble beside what is certain, enforced", func(s *scene) {
			s.trouble, s.rule().Pinned = trouble, true
			s.q.vouch.reason = mirror.Because(mirror.NotPinned, "nobody names it")
		}, mirror.OutcomeRejected, mirror.NotPinned, "", time.Time{}},
		{"trouble with what an exception lifts", func(s *scene) { s.trouble = trouble; s.excuses(noon.Add(day), skipSignatures) }, mirror.OutcomeException, mirror.Excepted, "", noon.Add(day)},
		{"trouble with what no exception lifts", func(s *scene) {
			s.trouble = trouble
			s.rule().Attestations = []attestation{{Type: slsa, By: []string{"ci"}, Count: 1}}
			s.excuses(noon.Add(day), skipSignatures)
		}, mirror.OutcomeUnknown, mirror.NotVerified, "", time.Time{}},

		{"open floor that says nothing", func(s *scene) {
			s.signs(signedBy("release"))
			s.floor(asked{layer: layer{open: true}, mode: modeEnforce})
		}, mirror.OutcomeSigned, mirror.Signed, "", time.Time{}},
		{"closed floor that says nothing", func(s *scene) {
			s.signs(signedBy("release"))
			s.floor(asked{mode: modeEnforce})
		}, mirror.OutcomeRejected, mirror.NoRule, "floor.yaml", time.Time{}},
		{"open floor alone", func(s *scene) { s.q.asked[0].open, s.q.asked[0].rules = true, nil }, mirror.OutcomeRejected, mirror.NoRule, "", time.Time{}},
		{"floor asks for age alone", func(s *scene) {
			s.signs(signedBy("release"))
			s.floor(asked{rules: []rule{{Match: "**", MinAge: time.Hour}}, mode: modeEnforce})
		}, mirror.OutcomeSigned, mirror.Signed, "", time.Time{}},
		{"signed for the fleet, pinned for the floor", func(s *scene) {
			s.signs(signedBy("release"))
			s.q.vouch = vouching{by: "abc"}
			s.floor(asked{rules: []rule{{Match: "**", Pinned: true}}, mode: modeEnforce})
		}, mirror.OutcomePinned, mirror.PinnedCommit, "", time.Time{}},
		{"signed for the fleet, warned of by the floor", func(s *scene) {
			s.signs(signedBy("release"))
			s.floor(asked{layer: s.q.asked[0].layer, rules: []rule{{Match: "**", Signers: []string{"sec-a"}, Count: 1}}, mode: modeWarn})
		}, mirror.OutcomeWarn, mirror.Warned, "", time.Time{}},

		{"attested", func(s *scene) {
			*s.rule() = rule{Match: "**", Attestations: []attestation{{Type: slsa, By: []string{"ci"}, Count: 1}}}
			s.signs(attestedBy("ci", slsa, nil))
		}, mirror.OutcomeSigned, mirror.Signed, "attested by ci", time.Time{}},
		{"a signature is no attestation", func(s *scene) {
			s.rule().Attestations = []attestation{{Type: slsa, By: []string{"release"}, Count: 1}}
			s.signs(signedBy("release"))
		}, mirror.OutcomeRejected, mirror.NoAttestation, slsa, time.Time{}},
		{"an attestation is no signature", func(s *scene) { s.signs(attestedBy("release", slsa, nil)) }, mirror.OutcomeRejected, mirror.NoSignature, "", time.Time{}},
		{"an attestation of another type", func(s *scene) {
			*s.rule() = rule{Match: "**", Attestations: []attestation{{Type: slsa, By: []string{"ci"}, Count: 1}}}
			s.signs(attestedBy("ci", "https://other", nil))
		}, mirror.OutcomeRejected, mirror.NoAttestation, "", time.Time{}},
		{"an attestation whose condition is false", func(s *scene) {
			*s.rule() = rule{Match: "**", Attestations: []attestation{{Type: slsa, By: []string{"ci"}, Count: 1}}}
			s.signs(attestedBy("ci", slsa, errors.New("desired/policy.yaml:9: it is false")))
		}, mirror.OutcomeRejected, mirror.BadAttestation, "desired/policy.yaml:9", time.Time{}},
		{"names are not compared for attestations", func(s *scene) {
			*s.rule() = rule{Match: "**", Reference: nameExact, Attestations: []attestation{{Type: slsa, By: []string{"ci"}, Count: 1}}}
			p := attestedBy("ci", slsa, nil)
			p.Names = []string{"elsewhere/app"}
			s.signs(p)
		}, mirror.OutcomeSigned, mirror.Signed, "", time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene()
			c.arrange(s)
			v := s.verdict()
			if v.Outcome != c.outcome || v.Reason.Code != c.code || !strings.Contains(v.Reason.Detail, c.detail) || !v.Until.Equal(c.until) {
				t.Errorf("got %s, %s (%s) until %s\nwant %s, %s (%s) until %s", v.Outcome, v.Reason.Code, v.Reason, v.Until, c.outcome, c.code, c.detail, c.until)
			}
			if !v.Outcome.Admits() && len(v.Signers)+len(v.Evidence) > 0 {
				t.Errorf("a refusal names signers %v and evidence %v", v.Signers, v.Evidence)
			}
			if (v.Exception != nil) != (v.Outcome == mirror.OutcomeException) {
				t.Errorf("outcome %s with exception %v", v.Outcome, v.Exception)
			}
			if warned := s.q.asked[0].mode == modeWarn && v.Outcome == mirror.OutcomeWarn; warned && len(v.Warnings) != 1 {
				t.Errorf("got warnings %q, want the refusal", v.Warnings)
			}
			if s.q.asked[0].mode == modeAudit && len(v.Warnings) > 0 {
				t.Errorf("got warnings %q from an audit", v.Warnings)
			}
			s.explains(t, v)
		})
	}
}

// explains holds what people are told of each requirement against the verdict: an admission by evidence has all of
// them met, a refusal for want of something has one that is not.
func (s *scene) explains(t *testing.T, v mirror.Verdict) {
	t.Helper()
	admitted := v.Outcome == mirror.OutcomeSigned || v.Outcome == mirror.OutcomePinned
	if refused := v.Outcome == mirror.OutcomeRejected && v.Reason.Code != mirror.NoRule; !admitted && !refused {
		return
	}
	v.VouchedBy = s.q.vouch.by
	met := true
	for _, x := range s.q.asked {
		x.layer.rules = x.rules
		for _, e := range (Policy{layers: []layer{x.layer}}).Explain(judgee, s.q.stage, v, noon) {
			for _, r := range e.Rules {
				met = met && !slices.ContainsFunc(r.Wants, func(w Want) bool { return w.State != WantMet })
			}
		}
	}
	if met != admitted {
		t.Errorf("%s (%s) is explained as all requirements met: %v", v.Outcome, v.Reason, met)
	}
}

func TestSettle_AZeroPolicyAdmitsNothing(t *testing.T) {
	if v, err := (question{image: judgee}).settle(evidence{}, nil, mirror.Verdict{}); v.Outcome != mirror.OutcomeRejected || v.Reason.Code != mirror.NoRule || err != nil {
		t.Errorf("got %s, %s, %v; want no-rule", v.Outcome, v.Reason.Code, err)
	}
}

func TestSettle_ProofsSayWhoSignedWhatAndWhen(t *testing.T) {
	s := newScene()
	s.rule().Signers = []string{"release", "sec-a"}
	s.rule().Count = 2
	s.proofs = []proof{signedBy("release"), signedBy("sec-a", noon.Add(-day))}
	v := s.verdict()
	want := []mirror.Proof{
		{Signer: "release", Identity: "key release", Manifest: s.proofs[0].manifest.Digest, Time: s.sighted, Source: "first seen"},
		{Signer: "sec-a", Identity: "key sec-a", Manifest: s.proofs[1].manifest.Digest, Time: noon.Add(-day), Source: "timestamp authority"},
	}
	if len(v.Proofs) != len(want) {
		t.Fatalf("got %v", v.Proofs)
	}
	for i, p := range v.Proofs {
		if p.Names = nil; p.Signer != want[i].Signer || p.Identity != want[i].Identity || p.Manifest != want[i].Manifest || !p.Time.Equal(want[i].Time) || p.Source != want[i].Source {
			t.Errorf("got %+v, want %+v", p, want[i])
		}
	}
}

func TestEnding_WarnsFromFourteenDaysBefore(t *testing.T) {
	v := mirror.Verdict{Exception: &mirror.Exception{Match: "quay.io/x/y", Until: noon, Reason: "VEND-123", ApprovedBy: "alice"}}
	for before, want := range map[time.Duration]int{15 * day: 0, 14*day + time.Second: 0, 14 * day: 1, time.Second: 1} {
		if got := ending(v, noon.Add(-before)); len(got) != want {
			t.Errorf("%s before its end: got %q, want %d warnings", before, got, want)
		}
	}
	if ending(mirror.Verdict{}, noon) != nil {
		t.Error("a warning without an exception")
	}
}

func TestRemap_ReplacesWholePathElements(t *testing.T) {
	m := remap{From: "registry.corp/mirror", To: "ghcr.io/vendor"}
	for image, want := range map[string]string{
		"registry.corp/mirror/app":     "ghcr.io/vendor/app",
		"registry.corp/mirror":         "ghcr.io/vendor",
		"registry.corp/mirrored/app":   "registry.corp/mirrored/app",
		"docker.io/library/app":        "docker.io/library/app",
		"x/registry.corp/mirror/thing": "x/registry.corp/mirror/thing",
	} {
		if got := m.name(image); got != want {
			t.Errorf("%s: got %s, want %s", image, got, want)
		}
	}
}

func TestQuestion_SignatureRepositoryCountsUpstreamOnly(t *testing.T) {
	r := rule{Beside: mirror.Reference{Host: "registry.corp", Repository: "signatures"}}
	for name, c := range map[string]struct {
		from mirror.Reference
		want string
	}{
		"upstream, not said":    {mirror.Reference{}, "registry.corp/signatures"},
		"upstream":              {judgee, "registry.corp/signatures"},
		"from the local mirror": {mirror.Reference{Host: "local.example", Repository: "mirror/app"}, "local.example/mirror/app"},
	} {
		q := verifier{}.question(mirror.Action{Image: judgee, From: c.from})
		if got := q.spot(r, judgee.Digest).repository.Name(); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestSettle_EverySubjectNeedsItsOwnSignatures(t *testing.T) {
	child := subject{mirror.DigestOf([]byte("child")), true}
	for _, each := range []bool{false, true} {
		s := newScene()
		s.rule().Each = each
		found := evidence{subjects: []subject{{digest: judgee.Digest}, child}, spots: map[spot]*beside{
			{s.q.source, judgee.Digest}: {items: 1, proofs: []proof{signedBy("release")}}}}
		v, _ := s.q.settle(found, nil, mirror.Verdict{})
		if admits := !each; v.Outcome.Admits() != admits {
			t.Errorf("each %v: got %s (%s)", each, v.Outcome, v.Reason)
		}
		found.spots[spot{s.q.source, child.digest}] = &beside{items: 1, proofs: []proof{signedBy("release")}}
		v, _ = s.q.settle(found, nil, mirror.Verdict{})
		if !v.Outcome.Admits() || each != slices.ContainsFunc(v.Proofs, func(p mirror.Proof) bool { return p.Of == child.digest }) {
			t.Errorf("each %v: got %s with proofs %v", each, v.Outcome, v.Proofs)
		}
		found.unlisted = "index: more than 100 manifests"
		for _, known := range [][]subject{found.subjects, found.subjects[:1]} {
			found.subjects = known
			if v, _ = s.q.settle(found, nil, mirror.Verdict{}); v.Outcome.Admits() == each {
				t.Errorf("each %v, %d subjects, platforms unknown: got %s", each, len(known), v.Outcome)
			}
		}
		if v, _ = s.q.settle(found, nil, mirror.Verdict{}); v.Outcome.Admits() == each {
			t.Errorf("each %v, platforms unknown: got %s", each, v.Outcome)
		}
	}
}

// How old the manifests of an index are says nothing of the index, which somebody may have made of them today.
func TestSettle_AnIndexIsAsOldAsItself(t *testing.T) {
	s := newScene()
	s.rule().Each, s.rule().MinAge, s.q.seen = true, 72*time.Hour, noon
	old, fresh := subject{mirror.DigestOf([]byte("old")), true}, subject{mirror.DigestOf([]byte("fresh")), true}
	found := evidence{subjects: []subject{{digest: judgee.Digest}, old, fresh}, spots: map[spot]*beside{
		{s.q.source, judgee.Digest}: {items: 1, proofs: []proof{signedBy("release")}},
		{s.q.source, fresh.digest}:  {items: 1, proofs: []proof{signedBy("release")}},
		{s.q.source, old.digest}:    {items: 1, proofs: []proof{signedBy("release", noon.Add(-400*day))}},
	}}
	if v, _ := s.q.settle(found, nil, mirror.Verdict{}); v.Reason.Code != mirror.TooYoung || !v.Until.Equal(noon.Add(3*day)) {
		t.Errorf("got %s (%s) until %s", v.Outcome, v.Reason, v.Until)
	}
}

func TestSettle_AnExceptionForSignaturesLiftsNoAttestationsOfUnknownPlatforms(t *testing.T) {
	s := newScene()
	s.rule().Each = true
	s.rule().Attestations = []attestation{{Type: slsa, By: []string{"ci"}, Count: 1}}
	s.excuses(noon.Add(day), skipSignatures)
	found := evidence{subjects: []subject{{digest: judgee.Digest}}, spots: map[spot]*beside{
		{s.q.source, judgee.Digest}: {items: 1, proofs: []proof{attestedBy("ci", slsa, nil)}}}}
	if v, _ := s.q.settle(found, nil, mirror.Verdict{}); v.Outcome != mirror.OutcomeException {
		t.Errorf("all platforms known: got %s (%s)", v.Outcome, v.Reason)
	}
	found.unlisted = "index: more than 100 manifests"
	if v, _ := s.q.settle(found, nil, mirror.Verdict{}); v.Outcome != mirror.OutcomeRejected || v.Reason.Code != mirror.BadAttestation {
		t.Errorf("platforms unknown: got %s (%s)", v.Outcome, v.Reason)
	}
}
