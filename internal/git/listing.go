package git

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Listing is what the remote's refs name at one moment, by one request.
type Listing struct {
	Head string            // of our branch
	Refs map[string]string // commits by full name of the ref: branches, and heads of proposals such as refs/pull/7/head
}

// Listing asks for all refs, by one request. It is what Remote asks, with everything that it says. A branch of ours
// that is not there is ErrNoBranch.
func (r *Repo) Listing(ctx context.Context) (Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	refs, err := r.refs(ctx)
	if err != nil {
		return Listing{}, r.remoteError(ctx, "list refs of", err)
	}
	head, err := r.headIn(refs)
	if err != nil {
		return Listing{}, r.remoteError(ctx, "list refs of", err)
	}
	l := Listing{Head: head.String(), Refs: map[string]string{}}
	for name, id := range refs {
		if _, isProposal := ProposalOf(name); isProposal || plumbing.ReferenceName(name).IsBranch() {
			l.Refs[name] = id.String()
		}
	}
	return l, nil
}

// Branch gives the commit that a branch is at; "" where there is none of that short name.
func (l Listing) Branch(name string) string {
	return l.Refs[plumbing.NewBranchReferenceName(name).String()]
}

// Moved gives the numbers of the proposals whose heads are new since an earlier listing or moved, in their order.
func (l Listing) Moved(since Listing) []int {
	var moved []int
	for name, commit := range l.Refs {
		if number, ok := ProposalOf(name); ok && since.Refs[name] != commit {
			moved = append(moved, number)
		}
	}
	slices.Sort(moved)
	return slices.Compact(moved)
}

// ProposalOf gives the number of the proposal whose head a ref is: refs/pull/7/head as GitHub and Gitea call it, or
// refs/merge-requests/7/head as GitLab does.
func ProposalOf(ref string) (number int, ok bool) {
	rest, head := strings.CutSuffix(ref, "/head")
	digits, pull := strings.CutPrefix(rest, "refs/pull/")
	if !pull {
		if digits, pull = strings.CutPrefix(rest, "refs/merge-requests/"); !pull {
			return 0, false
		}
	}
	number, err := strconv.Atoi(digits)
	return number, head && err == nil && number > 0 && strconv.Itoa(number) == digits
}

// refs asks what every ref of the remote is at.
func (r *Repo) refs(ctx context.Context) (map[string]plumbing.Hash, error) {
	s, err := r.remote.upload(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	adv, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, err
	}
	return adv.References, nil
}
