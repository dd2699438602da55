package git

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// tip is a branch that is followed, and the commit that the remote has it at; zero where it is not there.
type tip struct {
	ref plumbing.ReferenceName
	at  plumbing.Hash
}

// tips gives where the branches are that are followed.
func (r *Repo) tips(head plumbing.Hash, refs map[string]plumbing.Hash) []tip {
	tips := []tip{{r.branch, head}}
	if r.state != "" {
		tips = append(tips, tip{r.state, refs[r.state.String()]})
	}
	return tips
}

func commitsOf(tips []tip) []plumbing.Hash {
	var ids []plumbing.Hash
	for _, t := range tips {
		if !t.at.IsZero() {
			ids = append(ids, t.at)
		}
	}
	return ids
}

// moveTo notes where the remote's branches are. The caller holds mu.
func (r *Repo) moveTo(tips []tip) error {
	for _, t := range tips {
		was, err := r.localAt(t.ref)
		switch {
		case err == nil && was == t.at:
			continue
		case t.at.IsZero():
			err = r.store.RemoveReference(t.ref)
		default:
			err = r.store.SetReference(plumbing.NewHashReference(t.ref, t.at))
		}
		if err != nil {
			return err
		}
	}
	return r.readable()
}

// localAt gives where a branch was when it was fetched at last; zero where it was not there. The caller holds mu.
func (r *Repo) localAt(ref plumbing.ReferenceName) (plumbing.Hash, error) {
	if r.store == nil {
		return plumbing.ZeroHash, errors.New("there is no clone")
	}
	if ref == "" {
		return plumbing.ZeroHash, nil
	}
	found, err := r.store.Reference(ref)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return plumbing.ZeroHash, nil
	}
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("ref %s: %w", ref, err)
	}
	return found.Hash(), nil
}

// StateHead gives the commit that Options.State was fetched at last, or moved to by us; "" where it is not there.
func (r *Repo) StateHead() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.damage != nil {
		return "", fmt.Errorf("%w: %w", mirror.ErrOffline, r.damage)
	}
	at, err := r.localAt(r.state)
	if err != nil || at.IsZero() {
		return "", err
	}
	return at.String(), nil
}

// CommitState is Commit on the branch Options.State, for as long as Options.Branch is at head: where either moved it is
// ErrRejected. The empty parent makes the branch, with the change alone and without a history.
func (r *Repo) CommitState(ctx context.Context, head, parent string, c Change) (string, error) {
	if r.state == "" {
		return "", errors.New("no second branch is followed")
	}
	return r.commitTo(ctx, r.state, parent, head, c)
}
