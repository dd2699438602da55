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
	Outcome   Outcome      `json:"outcome"`
	Reason    Reason       `json:"reason"`
	Signers   []string     `json:"signers,omitempty"`   // names of distinct signers that count
	Evidence  []Descriptor `json:"evidence,omitempty"`  // manifests of the signatures that were verified
	RuleHash  Digest       `json:"ruleHash,omitzero"`   // of the rules that matched
	TrustHash Digest       `json:"trustHash,omitzero"`  // of the trust files that those rules use
	VouchedBy string       `json:"vouchedBy,omitempty"` // the commit that names the digest, where pinned
	At        time.Time    `json:"at"`
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
