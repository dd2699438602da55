package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// PromotionType is the predicate type of a promotion: our own.
const PromotionType = "https://poundlock.dev/promotion/v1"

// Promotion says why a digest came to stand at a stage.
type Promotion struct {
	Promoter   string           `json:"promoter"`            // the URI of who moved it
	Set        string           `json:"set"`                 //
	Entry      string           `json:"entry"`               //
	Source     mirror.Reference `json:"source"`              // as it is called upstream, with digest
	Image      mirror.Reference `json:"image"`               // where it stands: local repository and stage tag, with digest
	From       mirror.Stage     `json:"fromStage"`           //
	To         mirror.Stage     `json:"toStage"`             //
	Commit     string           `json:"approvedBy"`          // the commit of the fleet repository that asks for it
	Policy     mirror.Digest    `json:"policy,omitzero"`     // hash of all of the policy in force
	Outcome    mirror.Outcome   `json:"outcome"`             // of the verdict for the stage
	Basis      string           `json:"basis"`               // the same in words
	Identities []string         `json:"identities"`          // who is proven to have signed, or the commit that pins it
	Below      time.Time        `json:"stoodSince,omitzero"` // since when it stood at the stage below; zero: not known
}

// Mark is the mark of the promotion: the same entry may come to a stage again, by another commit.
func (p Promotion) Mark() Mark {
	return Mark("promotion " + mirror.DigestOf(fmt.Appendf(nil, "%s\n%s\n%s\n%s\n%s", p.Set, p.Entry, p.To, p.Source, p.Commit)).Hex)
}

// Identities lists who a verdict stands on, each once.
func Identities(v mirror.Verdict) []string {
	all := []string{}
	for _, p := range v.Proofs {
		all = append(all, p.Identity)
	}
	if v.VouchedBy != "" {
		all = append(all, "commit "+v.VouchedBy)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Promotion signs a promotion; at is when it was made.
func (k *Key) Promotion(p Promotion, at time.Time) (Statement, error) {
	if !p.Source.HasDigest() || p.To == "" {
		return Statement{}, errors.New("a promotion is of a digest, to a stage")
	}
	return k.state(p.Mark(), PromotionType, p.Source.Digest, at, p)
}

// promotion takes the promotion out of a predicate that the site's key signed.
func promotion(predicate []byte) (Promotion, error) {
	var p Promotion
	if err := json.Unmarshal(predicate, &p); err != nil {
		return p, fmt.Errorf("predicate: %w", err)
	}
	return p, nil
}
