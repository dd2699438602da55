package daemon

import (
	"context"
	"fmt"

	"github.com/poundlock/poundlock/internal/forge"
)

// maxCarried bounds how many commits are gone back over to find one that is not of a proposal.
const maxCarried = 250

// basesOf gives commits of the branch from before a proposal was merged; whoever is to count as an owner must be one at
// each of them. A proposal that was merged as several commits must not name, in the first of them, the owners who
// approve the last: then its own commits are gone behind, too.
func (l *Line) basesOf(ctx context.Context, q question, p forge.Proposal) ([]string, error) {
	if len(q.step.Parents) == 0 {
		return nil, nil
	}
	before := q.step.Parents[0]
	same, err := l.git.Ancestor(ctx, q.step.Commit, p.HeadCommit)
	if err != nil {
		return nil, err
	}
	if same { // the branch was moved onto what was proposed: from behind, only a commit of ours is known to be none of it
		ours, err := l.lastOfOurs(ctx, before)
		return []string{before, ours}, err
	}
	if len(q.step.Parents) > 1 {
		return []string{before}, nil
	}
	parted, err := l.git.MergeBase(ctx, before, p.HeadCommit)
	if err == nil && parted == "" {
		err = fmt.Errorf("proposal #%d has no history in common with the branch", p.Number)
	}
	return []string{before, parted}, err
}

// lastOfOurs gives the newest commit of ours in the first-parent history of a commit, or where that begins.
func (l *Line) lastOfOurs(ctx context.Context, commit string) (string, error) {
	for range maxCarried {
		step, err := l.git.Step(commit)
		if err != nil || len(step.Parents) == 0 {
			return commit, err
		}
		made, err := l.git.Made(commit, l.renderedDir())
		if err != nil || made {
			return commit, err
		}
		commit = step.Parents[0]
	}
	return "", fmt.Errorf("none of the last %d commits is known to be from before the proposal", maxCarried)
}
