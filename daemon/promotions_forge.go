package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
)

// ErrNoForge means that nobody can be asked about proposals.
var ErrNoForge = errors.New("no forge is configured")

// ProposalLook is what the forge says of a proposal, which Git does not tell before it is merged.
type ProposalLook struct {
	Number int    `json:"number"`
	State  string `json:"state"` // open, merged or declined
	Title  string `json:"title"`
	URL    string `json:"url"`
}

// Declined says whether it was closed and not merged.
func (p ProposalLook) Declined() bool { return p.State == string(forge.Declined) }

// Open says whether it may still be merged.
func (p ProposalLook) Open() bool { return p.State == string(forge.Open) }

// Proposal asks the forge about a proposal: ErrNoForge where none is configured.
func (l *Line) Proposal(ctx context.Context, number int) (ProposalLook, error) {
	if l.forge == nil {
		return ProposalLook{}, ErrNoForge
	}
	p, err := l.forge.Proposal(ctx, number)
	if err != nil {
		return ProposalLook{}, fmt.Errorf("proposal %d: %w", number, err)
	}
	return ProposalLook{Number: p.Number, State: string(p.State), Title: mirror.OneLine(p.Title), URL: mirror.OneLine(p.URL)}, nil
}
