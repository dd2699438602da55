package testenv

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// ForgeProposal is a pull request or merge request.
type ForgeProposal struct {
	Number      int
	Title, Body string
	Labels      []string
	Author      string
	Head        string // branch, with its owner and a colon before it where it is one of a fork
	HeadCommit  string
	Base        string
	Draft       bool
	Open        bool
	Merged      bool
	MergeCommit string // what the merge put onto the base
	EndedBy     string
	Created     time.Time
	Updated     time.Time
	Ended       time.Time
	Reviews     []ForgeReview
	Comments    []ForgeComment

	id       int64
	method   string      // how it was merged
	brought  []string    // commits that the merge put onto the base
	baseAt   string      // the base when it ended
	versions []forgeHead // what its head was, oldest first
}

type forgeHead struct {
	id     int64
	commit string
	at     time.Time
}

// ForgeReview is what somebody said of a proposal: approved, changes-requested, commented or dismissed.
type ForgeReview struct {
	By, Verdict, Commit, Body string
	At                        time.Time
	id                        int64
}

// ForgeComment is a comment on a proposal.
type ForgeComment struct {
	ID               int64
	By, Body         string
	Created, Updated time.Time
}

// ForgeStatus is a check of a commit: pending, success, failure or error.
type ForgeStatus struct {
	Context, State, Text, URL, By string
	At                            time.Time
	id                            int64
}

// Opening is a proposal to be opened.
type Opening struct {
	By          string
	Head        string // a branch, or owner:branch for one of a fork
	Base        string // main when empty
	Title, Body string
	Labels      []string
	Draft       bool
}

// What people may hear from a Forge.
var (
	ErrForgeThere    = errors.New("a proposal of that branch is open already")
	ErrForgeConflict = errors.New("the proposal cannot be merged: both changed the same file")
	ErrForgeRefused  = errors.New("the branch is protected, and approvals are missing")
	ErrForgeMissing  = errors.New("there is no such thing")
	ErrForgeOver     = errors.New("the proposal is over, or nothing is to be done")
)

// Open opens a proposal and gives its number.
func (f *Forge) Open(o Opening) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.open(o)
	if err != nil {
		return 0, fmt.Errorf("testenv: open a proposal of %s: %w", o.Head, err)
	}
	return p.Number, nil
}

func (f *Forge) open(o Opening) (*ForgeProposal, error) {
	if o.Base == "" {
		o.Base = gitBranch
	}
	at, branches := f.forks[o.Head], f.branches()
	if at == "" {
		at = branches[o.Head]
	}
	switch {
	case at == "" || branches[o.Base] == "":
		return nil, ErrForgeMissing
	case slices.ContainsFunc(f.proposals, func(p *ForgeProposal) bool { return p.Open && p.Head == o.Head && p.Base == o.Base }):
		return nil, ErrForgeThere
	case f.contains(branches[o.Base], at):
		return nil, ErrForgeOver
	}
	now := f.now()
	p := &ForgeProposal{Number: len(f.proposals) + 1, Title: o.Title, Body: o.Body, Author: o.By, Head: o.Head, HeadCommit: at, Base: o.Base,
		Draft: o.Draft, Open: true, Created: now, Updated: now, id: f.nextID(), versions: []forgeHead{{f.nextID(), at, now}}}
	f.setLabels(p, o.Labels)
	if err := f.pointHead(p); err != nil {
		return nil, err
	}
	f.proposals = append(f.proposals, p)
	f.tellProposal("opened", p, o.By)
	return p, nil
}

// setLabels gives a proposal its labels and makes those that the repository does not have.
func (f *Forge) setLabels(p *ForgeProposal, labels []string) {
	p.Labels = slices.Compact(slices.Sorted(slices.Values(labels)))
	for _, l := range p.Labels {
		f.label(l)
	}
}

func (f *Forge) label(name string) forgeLabel {
	if i := slices.IndexFunc(f.labels, func(l forgeLabel) bool { return l.name == name }); i >= 0 {
		return f.labels[i]
	}
	l := forgeLabel{f.nextID(), name}
	f.labels = append(f.labels, l)
	return l
}

// HeadRef names the ref under which the head of a proposal is kept.
func (f *Forge) HeadRef(number int) string {
	if f.kind == "gitlab" {
		return fmt.Sprintf("refs/merge-requests/%d/head", number)
	}
	return fmt.Sprintf("refs/pull/%d/head", number)
}

func (f *Forge) pointHead(p *ForgeProposal) error {
	name, store := plumbing.ReferenceName(f.HeadRef(p.Number)), f.git.store()
	from := plumbing.ZeroHash
	if ref, err := store.Reference(name); err == nil {
		from = ref.Hash()
	}
	return f.git.move(name, from, plumbing.NewHash(p.HeadCommit))
}

// Proposal gives a copy of a proposal; nil when there is none.
func (f *Forge) Proposal(number int) *ForgeProposal {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.proposal(number)
	if err != nil {
		return nil
	}
	c := *p
	c.Labels, c.Reviews, c.Comments = slices.Clone(p.Labels), slices.Clone(p.Reviews), slices.Clone(p.Comments)
	return &c
}

// Proposals gives copies of all proposals, oldest first.
func (f *Forge) Proposals() []*ForgeProposal {
	f.mu.Lock()
	n := len(f.proposals)
	f.mu.Unlock()
	var all []*ForgeProposal
	for i := range n {
		all = append(all, f.Proposal(i+1))
	}
	return all
}

// Comments gives the comments on a proposal, oldest first.
func (f *Forge) Comments(number int) []ForgeComment {
	if p := f.Proposal(number); p != nil {
		return p.Comments
	}
	return nil
}

// Statuses gives the newest status of each context of a commit, by context.
func (f *Forge) Statuses(commit string) map[string]ForgeStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	newest := map[string]ForgeStatus{}
	for _, s := range f.statuses[commit] {
		newest[s.Context] = s
	}
	return newest
}

func (f *Forge) proposal(number int) (*ForgeProposal, error) {
	if number < 1 || number > len(f.proposals) {
		return nil, ErrForgeMissing
	}
	return f.proposals[number-1], nil
}

// approvals counts who approves of a proposal as it is.
func (f *Forge) approvals(p *ForgeProposal) int {
	last := map[string]string{}
	for _, r := range p.Reviews {
		if r.Verdict != "commented" {
			last[r.By] = r.Verdict
		}
	}
	n := 0
	for _, v := range last {
		if v == "approved" {
			n++
		}
	}
	return n
}
