package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// gate is one entry of gates: what has to be true, besides the rules, before something changes at a stage. Its JSON
// form is what its hash is of.
type gate struct {
	Sets      []string       `json:"sets,omitempty"` // globs; empty: every set
	Stages    []mirror.Stage `json:"stages"`
	Soak      time.Duration  `json:"soak,omitempty"`
	Windows   windows        `json:"windows,omitempty"`
	Freezes   []freeze       `json:"freezes,omitempty"`
	Approvals *approvals     `json:"approvals,omitempty"`
	Statuses  []string       `json:"statuses,omitempty"`
	Calls     []string       `json:"calls,omitempty"`
	Forward   bool           `json:"forward,omitempty"` // no older version
	Immutable bool           `json:"immutable,omitempty"`
	Whole     bool           `json:"whole,omitempty"`
	Within    time.Duration  `json:"within,omitempty"` // 0: the default

	where mirror.Position
	sets  []mirror.Position // of the globs
}

// approvals says how many people must have approved a proposal.
type approvals struct {
	Count  int  `json:"count"`
	Owners bool `json:"owners,omitempty"` // only those count whom CODEOWNERS names
}

// applyWithin is how long a promotion waits for its time where no gate says so.
const applyWithin = 72 * time.Hour

func (g gate) matches(set string, stage mirror.Stage) bool {
	return slices.Contains(g.Stages, stage) && (len(g.Sets) == 0 ||
		slices.ContainsFunc(g.Sets, func(pattern string) bool { return doublestar.MatchUnvalidated(pattern, set) }))
}

// demands are what all gates of all documents together ask at a stage of a set.
type demands struct {
	soak                      time.Duration
	windows                   []windows // each of them has to be open
	freezes                   []freeze
	approvals                 []approvals
	statuses, calls           []string
	forward, immutable, whole bool
	within                    time.Duration
}

func (p Policy) demands(set string, stage mirror.Stage) (d demands) {
	for _, l := range p.layers {
		for _, g := range l.gates {
			if !g.matches(set, stage) {
				continue
			}
			d.soak = max(d.soak, g.Soak)
			if len(g.Windows) > 0 {
				d.windows = append(d.windows, g.Windows)
			}
			d.freezes = append(d.freezes, g.Freezes...)
			if g.Approvals != nil {
				d.approvals = append(d.approvals, *g.Approvals)
			}
			d.statuses, d.calls = append(d.statuses, g.Statuses...), append(d.calls, g.Calls...)
			d.forward, d.immutable, d.whole = d.forward || g.Forward, d.immutable || g.Immutable, d.whole || g.Whole
			if g.Within > 0 && (d.within == 0 || g.Within < d.within) {
				d.within = g.Within
			}
		}
	}
	d.statuses, d.calls = sorted(d.statuses), sorted(d.calls)
	d.within = cmp.Or(d.within, applyWithin)
	return d
}

// guarded says whether any gate is for the stage.
func (d demands) guarded() bool {
	return d.timed() || len(d.approvals) > 0 || len(d.statuses) > 0 || len(d.calls) > 0 || d.forward || d.immutable || d.whole
}

// timed says whether there is anything that time alone opens.
func (d demands) timed() bool { return d.soak > 0 || len(d.windows) > 0 || len(d.freezes) > 0 }

// Wants gives what the gates of a stage need to know of a promotion besides the record.
func (p Policy) Wants(set string, stage mirror.Stage) Wants {
	d := p.demands(set, stage)
	return Wants{
		Proposal: len(d.approvals) > 0, Owners: slices.ContainsFunc(d.approvals, func(a approvals) bool { return a.Owners }),
		Statuses: d.statuses, Calls: d.calls,
	}
}

// Calls gives the names of all who are asked by a gate, sorted.
func (p Policy) Calls() (names []string) {
	for _, l := range p.layers {
		for _, g := range l.gates {
			names = append(names, g.Calls...)
		}
	}
	return sorted(names)
}

// sorted gives each name once, in order.
func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}
