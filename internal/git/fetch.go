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

// maxHaves is how many commits of ours the server is told of, so that a branch that was reset a little
// still costs little.
const maxHaves = 64

// Fetch brings the clone up to the remote's head and gives its commit, with all of its history. A clone
// that is missing, damaged, left locked or in too many pieces is made anew.
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
		return plumbing.ZeroHash, permanentError("the remote is a shallow clone without its history: use a complete repository")
	}
	haves, whole := r.holds(head)
	if whole {
		return head, nil
	}
	if err := os.MkdirAll(r.opts.Dir, 0o700); err != nil { // somebody may have deleted it with the clone
		return plumbing.ZeroHash, err
	}
	pack, err := r.download(ctx, s, adv, head, haves)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer os.Remove(pack)
	if err := checkPack(pack); err != nil {
		return plumbing.ZeroHash, err
	}
	if len(haves) == 0 {
		return head, r.replaceClone(pack, head)
	}
	return head, r.addPack(pack, head)
}

// holds says whether the clone has the commit, and otherwise which commits of ours to build upon; none
// where the clone is to be made anew. A commit that is here is here with its history: a pack is taken in
// whole or not at all, and what Commit writes stands on a commit that was here.
func (r *Repo) holds(head plumbing.Hash) (haves []plumbing.Hash, whole bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.damage != nil || r.store == nil {
		return nil, false
	}
	if at, err := r.localHead(); err == nil && at == head {
		r.damage = r.readable()
		return nil, r.damage == nil
	}
	if r.store.HasEncodedObject(head) == nil {
		r.damage = r.moveTo(head)
		return nil, r.damage == nil
	}
	if packs, err := r.store.ObjectPacks(); err != nil || len(packs) >= maxPacks || r.loose >= maxLoose {
		return nil, false
	}
	next, err := r.localHead()
	for err == nil && len(haves) < maxHaves {
		c, readErr := r.commit(next)
		if errors.Is(readErr, ErrDamaged) {
			r.damage = readErr
			return nil, false
		}
		haves = append(haves, next)
		if readErr != nil || len(c.ParentHashes) == 0 {
			break
		}
		next = c.ParentHashes[0]
	}
	return haves, false
}

// download spools the pack into a file of ours, so that a slow or broken line never holds or harms the
// clone.
func (r *Repo) download(ctx context.Context, s transport.UploadPackSession, adv *packp.AdvRefs, head plumbing.Hash, haves []plumbing.Hash) (name string, err error) {
	req := packp.NewUploadPackRequestFromCapabilities(adv.Capabilities)
	if adv.Capabilities.Supports(capability.NoProgress) {
		_ = req.Capabilities.Set(capability.NoProgress)
	}
	req.Wants = []plumbing.Hash{head}
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
	n, err := io.Copy(f, io.LimitReader(body, maxPack+1))
	if n > maxPack {
		err = permanentError(fmt.Sprintf("the repository is larger than %d MiB", maxPack>>20))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("receive the pack: %w", err)
	}
	return f.Name(), nil
}

// addPack takes the pack into the clone. The ref moves last: a crash before it leaves an unused pack.
func (r *Repo) addPack(pack string, head plumbing.Hash) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := importPack(r.store, pack); err != nil {
		r.damage = err
		return err
	}
	r.damage = r.moveTo(head)
	return r.damage
}

// moveTo notes where the remote's branch is. The caller holds mu.
func (r *Repo) moveTo(head plumbing.Hash) error {
	if err := r.store.SetReference(plumbing.NewHashReference(r.branch, head)); err != nil {
		return err
	}
	return r.readable()
}
