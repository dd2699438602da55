package git

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxBrought is how many bytes of a pack a proposal may add to the clone: anybody can make one.
const maxBrought = 64 << 20

// Bring fetches a commit that a ref of the remote names, with its history, into the clone, unless it is there. Where
// the ref is elsewhere by now it is ErrRejected. A clone that is made anew does not have the commit any more.
func (r *Repo) Bring(ctx context.Context, ref, commit string) error {
	id := plumbing.NewHash(commit)
	if id.String() != commit {
		return fmt.Errorf("malformed commit id %q", commit)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	r.network.Lock()
	defer r.network.Unlock()
	return r.remoteError(ctx, "fetch a proposal from", r.bring(ctx, ref, id))
}

func (r *Repo) bring(ctx context.Context, ref string, id plumbing.Hash) error {
	r.mu.Lock()
	have := r.damage == nil && r.holdsCommit(id.String())
	haves := r.haves()
	r.mu.Unlock()
	if have {
		return nil
	}
	s, err := r.remote.upload(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	adv, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return err
	}
	if at := adv.References[ref]; at != id {
		return moved(at)
	}
	if len(adv.Shallows) > 0 {
		return errShallow
	}
	if err := os.MkdirAll(r.opts.Dir, 0o700); err != nil {
		return err
	}
	if len(haves) == 0 { // the clone is damaged or in too many pieces: our branch comes along
		head, err := r.headIn(adv.References)
		if err != nil {
			return err
		}
		tips := r.tips(head, adv.References)
		pack, err := r.download(ctx, s, adv, append(commitsOf(tips), id), nil, maxPack)
		if err != nil {
			return err
		}
		defer os.Remove(pack)
		if err := checkPack(pack); err != nil {
			return err
		}
		return r.replaceClone(pack, tips)
	}
	pack, err := r.download(ctx, s, adv, []plumbing.Hash{id}, haves, maxBrought)
	if err != nil {
		return err
	}
	defer os.Remove(pack)
	if err := checkPack(pack); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.takePack(pack); err != nil {
		return err
	}
	if !r.holdsCommit(id.String()) {
		return permanentError("ref " + mirror.OneLine(ref) + " names no commit")
	}
	return nil
}

// Branch makes a commit with the change on parent and pushes it to a branch other than those we follow, which must be at old ("":
// must not exist); ErrRejected where it is elsewhere. It gives the commit; parent itself, and nothing is sent, where
// the change changes nothing. The branch need not have named parent: so a proposal is made anew on a later head.
func (r *Repo) Branch(ctx context.Context, name, old, parent string, c Change) (commit string, err error) {
	ref, at, err := r.other(name, old)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	r.network.Lock()
	defer r.network.Unlock()
	b, err := r.build(parent, c)
	if err != nil {
		return "", fmt.Errorf("commit on %s: %w", parent, err)
	}
	if b.commit == b.parent {
		return parent, nil
	}
	if err := r.push(ctx, b.onto(ref, at)); err != nil {
		return "", r.pushError(ctx, "push a branch to", ref, err)
	}
	return b.commit.String(), nil
}

// DeleteBranch deletes a branch other than those we follow that is at old; ErrRejected where it is elsewhere. One that is gone
// already is no error.
func (r *Repo) DeleteBranch(ctx context.Context, name, old string) error {
	ref, at, err := r.other(name, old)
	if err != nil {
		return err
	}
	if at.IsZero() {
		return errors.New("a branch that is deleted is at a commit")
	}
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	r.network.Lock()
	defer r.network.Unlock()
	err = r.push(ctx, update{ref: ref, old: at})
	if errors.Is(err, errGone) {
		return nil
	}
	return r.pushError(ctx, "delete a branch of", ref, err)
}

// other checks the name of a branch that is none of those we follow, and the commit that it is to be at.
func (r *Repo) other(name, at string) (plumbing.ReferenceName, plumbing.Hash, error) {
	id := plumbing.NewHash(at)
	switch ref := plumbing.NewBranchReferenceName(name); {
	case !mirror.IsBranch(name):
		return "", id, fmt.Errorf("malformed branch name %q", name)
	case ref == r.branch, ref == r.state:
		return "", id, fmt.Errorf("branch %s is changed by commits on its head alone", name)
	case at != "" && id.String() != at:
		return "", id, fmt.Errorf("malformed commit id %q", at)
	default:
		return ref, id, nil
	}
}
