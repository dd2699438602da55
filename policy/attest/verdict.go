package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// VerdictType is the predicate type of a verdict. Source of its form: slsa.dev/spec/v1.1/verification_summary.
const VerdictType = "https://slsa.dev/verification_summary/v1"

// Verdict is a judgement to be attested.
type Verdict struct {
	Verifier string           // the URI of who judged
	Image    mirror.Reference // what was judged, with digest, as it is called upstream
	Key      string           // of the verdict: what all it depends on
	Verdict  mirror.Verdict   // as it was reached
}

// summary is the predicate. What the specification has no field for stands in an extension, as it allows.
type summary struct {
	Verifier     uri        `json:"verifier"`
	TimeVerified time.Time  `json:"timeVerified"`
	Resource     string     `json:"resourceUri"`
	Policy       resource   `json:"policy"`
	Inputs       []resource `json:"inputAttestations,omitempty"`
	Result       string     `json:"verificationResult"`
	Levels       []string   `json:"verifiedLevels"`
	Details      details    `json:"https://poundlock.dev/verdict/v1"`
}

type uri struct {
	ID string `json:"id"`
}

type resource struct {
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest"`
}

// details are what the verdict is remembered by, and all of the verdict: signers with what proves them, times and
// who says so, hashes of rules and trust, the exception.
type details struct {
	Key     string         `json:"key"`
	Verdict mirror.Verdict `json:"verdict"`
}

const (
	passed      = "PASSED"
	unevaluated = "SLSA_BUILD_LEVEL_UNEVALUATED" // we judge who signed, not how it was built
)

// VerdictMark is the mark of the verdict that is remembered under key.
func VerdictMark(key string) Mark { return Mark("verdict " + key) }

// Attestable says whether a verdict is one to be attested: an admission that policy stands behind. What is admitted
// only because policy is not enforced has not passed.
func Attestable(v mirror.Verdict) bool {
	return v.Outcome.Admits() && v.Outcome != mirror.OutcomeWarn
}

// Verdict signs a verdict that is attestable.
func (k *Key) Verdict(v Verdict) (Statement, error) {
	if !Attestable(v.Verdict) || !v.Image.HasDigest() || v.Key == "" {
		return Statement{}, fmt.Errorf("attest %s: %w", v.Image, errors.New("only a verdict that admits a digest, and that has a key, is attested"))
	}
	s := summary{Verifier: uri{v.Verifier}, TimeVerified: v.Verdict.At.UTC(), Resource: "oci://" + v.Image.String(), Result: passed, Levels: []string{unevaluated},
		Policy: resource{mirror.PolicyFile, digests(v.Verdict.RuleHash)}, Details: details{v.Key, v.Verdict}}
	for _, e := range v.Verdict.Evidence {
		at := v.Image.AtDigest(e.Digest)
		if !e.In.IsZero() {
			at = e.In.AtDigest(e.Digest)
		}
		s.Inputs = append(s.Inputs, resource{"oci://" + at.String(), digests(e.Digest)})
	}
	return k.state(VerdictMark(v.Key), VerdictType, v.Image.Digest, v.Verdict.At, s)
}

// verdict takes the verdict out of a predicate that the site's key signed.
func verdict(predicate []byte, key string) (mirror.Verdict, error) {
	var s summary
	if err := json.Unmarshal(predicate, &s); err != nil {
		return mirror.Verdict{}, fmt.Errorf("predicate: %w", err)
	}
	v := s.Details.Verdict
	switch {
	case s.Details.Key != key:
		return mirror.Verdict{}, errors.New("it is a verdict by other rules, by other trust or of another image")
	case s.Result != passed || !Attestable(v):
		return mirror.Verdict{}, errors.New("it admits nothing")
	}
	v.Attested = true
	return v, nil
}

func digests(d mirror.Digest) map[string]string {
	if d == (mirror.Digest{}) {
		return map[string]string{}
	}
	return map[string]string{d.Algorithm: d.Hex}
}
