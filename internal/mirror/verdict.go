package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Outcome is what policy says of a digest.
type Outcome string

// The outcomes. Only the first four admit; the zero value admits nothing.
const (
	OutcomeSigned    Outcome = "signed"
	OutcomePinned    Outcome = "pinned"
	OutcomeException Outcome = "exception"
	OutcomeWarn      Outcome = "warn"
	OutcomeRejected  Outcome = "rejected"
	OutcomeUnknown   Outcome = "unknown" // could not be checked: never copies, never deletes
)

// Admits says whether the outcome lets content move.
func (o Outcome) Admits() bool {
	switch o {
	case OutcomeSigned, OutcomePinned, OutcomeException, OutcomeWarn:
		return true
	}
	return false
}

// Verdict is a judgement of one digest for one stage, with its basis.
type Verdict struct {
	Outcome   Outcome    `json:"outcome"`
	Reason    Reason     `json:"reason"`
	Signers   []string   `json:"signers,omitempty"`   // names of the signers that count
	Evidence  []Evidence `json:"evidence,omitempty"`  // manifests of the signatures and attestations that it stands on
	RuleHash  Digest     `json:"ruleHash,omitzero"`   // of the rules that matched
	TrustHash Digest     `json:"trustHash,omitzero"`  // of the trust files that those rules use
	VouchedBy string     `json:"vouchedBy,omitempty"` // the commit that names the digest, where pinned
	At        time.Time  `json:"at"`

	Rules     []string   `json:"rules,omitempty"`     // what matched, in words: the globs, with their file
	Proofs    []Proof    `json:"proofs,omitempty"`    // who is proven to have signed what
	Exception *Exception `json:"exception,omitempty"` // what admits it in spite of the rules
	Seen      time.Time  `json:"seen,omitzero"`       // when we first saw the digest
	Until     time.Time  `json:"until,omitzero"`      // when time alone may change the verdict; zero: never
	Warnings  []string   `json:"warnings,omitempty"`  // what people should know although it is admitted
	Open      bool       `json:"open,omitempty"`      // of a refusal: a wanted signature or attestation may still come
	Findings  []string   `json:"findings,omitempty"`  // what was found and does not count, and why; never more than a few
	Attested  bool       `json:"attested,omitempty"`  // it was read from an attestation of this site, not judged again
}

// Evidence is a manifest that holds a signature or an attestation that a verdict stands on.
type Evidence struct {
	Descriptor
	Of Digest    `json:"of,omitzero"` // the manifest it is about where that is a child of the image's index
	In Reference `json:"in,omitzero"` // the repository it lies in where that is not the image's
}

// Proof is who is proven to have signed a digest, or to have stated something of it, and when.
type Proof struct {
	Signer   string    `json:"signer"`           // name in the policy
	Identity string    `json:"identity"`         // key sha256:..., or issuer and subject of a certificate
	Type     string    `json:"type,omitempty"`   // predicate type of an attestation; "" for a signature
	Of       Digest    `json:"of,omitzero"`      // what was signed where that is a child of the image's index
	Manifest Digest    `json:"manifest"`         // that holds it
	Sight    Digest    `json:"sight,omitzero"`   // of the signature itself, by which its first sight is remembered
	Key      Digest    `json:"key,omitzero"`     // of the public key that verified it
	Names    []string  `json:"names,omitempty"`  // what it calls the image; none where it does not say
	Time     time.Time `json:"time,omitzero"`    // when it was made at the latest
	Source   string    `json:"source,omitempty"` // who says so: timestamp authority, transparency log, first seen
}

// Exception is a line of policy that lifts requirements.
type Exception struct {
	Match      string    `json:"match"`
	Skip       []string  `json:"skip"`
	Until      time.Time `json:"until"` // the first moment at which it does not hold any more
	Reason     string    `json:"reason"`
	ApprovedBy string    `json:"approvedBy"`
}

// Basis says in words what the admission stands on, for the record.
func (v Verdict) Basis() string { return v.Reason.String() }

// Verifier judges the content that an action would move. An error means that it could not be judged.
type Verifier interface {
	Verify(ctx context.Context, a Action, c Content) (Verdict, error)
}

// ErrRefused is in the chain of every error that means: policy does not admit this.
var ErrRefused = errors.New("refused by policy")

// Verified is an action whose content policy admits for its stage. It is the only thing that transfer and
// promote accept, it is made only by Verify, and it is never serialised.
type Verified struct {
	action  Action
	verdict Verdict
}

// Verify asks the verifier and gives a Verified only for an admitting verdict on a complete action. The
// verdict comes back in each case, so that a refusal can be shown with its reason.
func Verify(ctx context.Context, v Verifier, a Action, c Content) (Verified, Verdict, error) {
	if v == nil {
		return Verified{}, Verdict{Outcome: OutcomeUnknown, Reason: Because(NotVerified, "no verifier")}, fmt.Errorf("verify %s: no verifier: %w", a.Image, ErrRefused)
	}
	if a.New == (Digest{}) || a.Image.Digest != a.New {
		return Verified{}, Verdict{Outcome: OutcomeUnknown, Reason: Because(NotVerified, "no digest")}, fmt.Errorf("verify %s: the action names no digest: %w", a.Image, ErrRefused)
	}
	verdict, err := v.Verify(ctx, a, c)
	if err != nil {
		return Verified{}, verdict, fmt.Errorf("verify %s: %w", a.Image, err)
	}
	if !verdict.Outcome.Admits() {
		return Verified{}, verdict, fmt.Errorf("verify %s: %s: %w", a.Image, verdict.Reason, ErrRefused)
	}
	return Verified{action: a, verdict: verdict}, verdict, nil
}

// Action gives what was verified.
func (v Verified) Action() Action { return v.action }

// Verdict gives why it was admitted.
func (v Verified) Verdict() Verdict { return v.verdict }

// Admits says whether v really was verified; transfer and promote ask it, since a zero value is possible.
func (v Verified) Admits() bool { return v.verdict.Outcome.Admits() && v.action.New != (Digest{}) }
