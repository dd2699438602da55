package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// Limits on the objects of one fetch. go-git unpacks each object whole in memory, so a small pack could
// otherwise ask for any amount of it.
const (
	maxObject  = 64 << 20  // bytes of one object, anywhere in the history
	maxObjects = 2_000_000 // objects of one pack
	maxHaves   = 64        // commits of ours that the server is told of
)

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
	haves, whole := r.holds(head)
	if whole {
		return head, nil
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
	if packs, err := r.store.ObjectPacks(); err != nil || len(packs) >= maxPacks {
		return nil, false
	}
	next, err := r.localHead()
	for err == nil && len(haves) < maxHaves {
		c, readErr := r.commit(next)
		if readErr != nil {
			r.damage = readErr
			return nil, false
		}
		haves = append(haves, next)
		if len(c.ParentHashes) == 0 {
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

// checkPack reads the pack once before go-git indexes it: whole, not too many objects, none too large,
// also after its delta is applied.
func checkPack(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	scanner := packfile.NewScanner(f)
	_, count, err := scanner.Header()
	if err != nil {
		return fmt.Errorf("read the pack: %w", err)
	}
	if count > maxObjects {
		return permanentError(fmt.Sprintf("the repository has %d objects, more than %d", count, maxObjects))
	}
	for range count {
		h, err := scanner.NextObjectHeader()
		if err != nil {
			return fmt.Errorf("read the pack: %w", err)
		}
		size, start := h.Length, &firstBytes{}
		if size <= maxObject {
			if _, _, err := scanner.NextObject(start); err != nil {
				return fmt.Errorf("read the pack: %w", err)
			}
			if h.Type == plumbing.OFSDeltaObject || h.Type == plumbing.REFDeltaObject {
				size = start.deltaResult()
			}
		}
		if size > maxObject {
			return permanentError(fmt.Sprintf("the repository holds an object larger than %d MiB", maxObject>>20))
		}
	}
	if err := checkSum(name); err != nil {
		return fmt.Errorf("read the pack: %w: %w", err, io.ErrUnexpectedEOF)
	}
	return nil
}

// firstBytes keeps the head of what is written to it: a delta starts with the size of what it is applied
// to and the size of what it gives, as numbers of seven bits a byte.
type firstBytes struct{ kept []byte }

func (f *firstBytes) Write(p []byte) (int, error) {
	f.kept = append(f.kept, p[:min(len(p), 20-len(f.kept))]...)
	return len(p), nil
}

func (f *firstBytes) deltaResult() int64 {
	var number uint64
	rest := f.kept
	for range 2 {
		number = 0
		for shift := 0; ; shift += 7 {
			if len(rest) == 0 || shift > 56 {
				return maxObject + 1 // not a delta that anyone honest makes
			}
			b := rest[0]
			rest = rest[1:]
			number |= uint64(b&0x7f) << shift
			if b&0x80 == 0 {
				break
			}
		}
	}
	return int64(min(number, maxObject+1))
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

func importPack(store *filesystem.Storage, pack string) (err error) {
	defer func() { // go-git was seen to panic on a malformed pack
		if p := recover(); p != nil {
			err = permanentError("the pack cannot be indexed")
		}
	}()
	f, err := os.Open(filepath.Clean(pack))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := packfile.UpdateObjectStorage(store, f); err != nil {
		return fmt.Errorf("index the pack: %w", err)
	}
	return nil
}
