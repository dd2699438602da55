package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// maxHaves is how many commits of each of our branches the server is told of, so that a branch that was reset a little
// still costs little.
const maxHaves = 64

const errShallow = permanentError("the remote is a shallow clone without its history: use a complete repository")

// Fetch brings the clone up to the remote's head and gives its commit, with all of its history, and that of
// Options.State. A clone that is missing, damaged, left locked or in too many pieces is made anew.
func (r *Repo) Fetch(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	r.network.Lock()
	defer r.network.Unlock()
	head, err := r.fetch(ctx)
	if err != nil {
		return "", r.remoteError(ctx, "fetch", err)
	}
	return head.String(), nil
}

func (r *Repo) fetch(ctx context.Context) (plumbing.Hash, error) {
	s, err := r.remote.upload(ctx)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer s.Close()
	adv, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	head, err := r.headIn(adv.References)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if len(adv.Shallows) > 0 {
		return plumbing.ZeroHash, errShallow
	}
	tips := r.tips(head, adv.References)
	wants, haves := r.missing(tips)
	if len(wants) == 0 {
		return head, nil
	}
	if err := os.MkdirAll(r.opts.Dir, 0o700); err != nil { // somebody may have deleted it with the clone
		return plumbing.ZeroHash, err
	}
	pack, err := r.download(ctx, s, adv, wants, haves, maxPack)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer os.Remove(pack)
	if err := checkPack(pack); err != nil {
		return plumbing.ZeroHash, err
	}
	if len(haves) == 0 {
		return head, r.replaceClone(pack, tips)
	}
	return head, r.addPack(pack, tips)
}

// missing gives the commits that the clone does not have, and those of ours that a server may build upon. Where the
// clone has all, it notes where the branches are; where it is to be made anew, all are missing and there is nothing to
// build upon. A commit that is here is here with its history: a pack is taken in whole or not at all, and what Commit
// writes stands on a commit that was here.
func (r *Repo) missing(tips []tip) (wants, haves []plumbing.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.damage != nil || r.store == nil {
		return commitsOf(tips), nil
	}
	for _, id := range commitsOf(tips) {
		if r.store.HasEncodedObject(id) != nil {
			wants = append(wants, id)
		}
	}
	if len(wants) == 0 {
		if r.damage = r.moveTo(tips); r.damage == nil {
			return nil, nil
		}
	}
	if haves = r.haves(); len(haves) == 0 {
		return commitsOf(tips), nil
	}
	return wants, haves
}

// haves gives commits of ours that a server may build upon; none where the clone is to be made anew. The caller holds mu.
func (r *Repo) haves() []plumbing.Hash {
	if r.damage != nil || r.store == nil {
		return nil
	}
	if packs, err := r.store.ObjectPacks(); err != nil || len(packs) >= maxPacks || r.loose >= maxLoose {
		return nil
	}
	var haves []plumbing.Hash
	for _, ref := range []plumbing.ReferenceName{r.branch, r.state} {
		next, err := r.localAt(ref)
		for n := 0; err == nil && !next.IsZero() && n < maxHaves; n++ {
			c, readErr := r.commit(next)
			if errors.Is(readErr, ErrDamaged) {
				r.damage = readErr
				return nil
			}
			haves = append(haves, next)
			if readErr != nil || len(c.ParentHashes) == 0 {
				break
			}
			next = c.ParentHashes[0]
		}
	}
	return haves
}

// download spools the pack into a file of ours, so that a slow or broken line never holds or harms the
// clone.
func (r *Repo) download(ctx context.Context, s transport.UploadPackSession, adv *packp.AdvRefs, wants, haves []plumbing.Hash, limit int64) (name string, err error) {
	req := packp.NewUploadPackRequestFromCapabilities(adv.Capabilities)
	if adv.Capabilities.Supports(capability.NoProgress) {
		_ = req.Capabilities.Set(capability.NoProgress)
	}
	req.Wants = wants
	req.Haves = haves
	res, err := s.UploadPack(ctx, req)
	if err != nil {
		return "", fmt.Errorf("ask for the pack: %w", err)
	}
	defer res.Close()
	var body io.Reader = res
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		body = sideband.NewDemuxer(sideband.Sideband64k, res)
	case req.Capabilities.Supports(capability.Sideband):
		body = sideband.NewDemuxer(sideband.Sideband, res)
	}
	f, err := os.CreateTemp(r.opts.Dir, "incoming-*")
	if err != nil {
		return "", err
	}
	n, err := io.Copy(f, io.LimitReader(body, limit+1))
	if n > limit {
		err = permanentError(fmt.Sprintf("what is to be fetched is larger than %d MiB", limit>>20))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("receive the pack: %w", err)
	}
	return f.Name(), nil
}

// addPack takes the pack into the clone. The refs move last: a crash before it leaves an unused pack.
func (r *Repo) addPack(pack string, tips []tip) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.takePack(pack); err != nil {
		return err
	}
	r.damage = r.moveTo(tips)
	return r.damage
}

// takePack adds the objects of a pack. The caller holds mu.
func (r *Repo) takePack(pack string) error {
	if r.store == nil {
		return fmt.Errorf("%w: no clone is open", ErrDamaged)
	}
	err := importPack(r.store, pack)
	if err != nil {
		r.damage = err
	}
	return err
}
