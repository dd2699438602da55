package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Change is what a commit makes true. All names are relative to Options.Path.
type Change struct {
	Owned   []string     // directories below which Files is the whole truth: what it does not name is deleted
	Files   mirror.Files // written; also allowed outside of Owned, where nothing else is touched
	Message string
	At      time.Time // author and committer time
}

// Commit builds a commit with the change on top of parent and pushes it, provided that the branch still is
// at parent: otherwise ErrRejected, and nothing was changed. It gives the new commit, or parent itself
// where the change changes nothing; then nothing is sent. An answer that got lost is asked for, so that
// a push that did arrive is not taken for a failed one.
func (r *Repo) Commit(ctx context.Context, parent string, c Change) (string, error) {
	if parent == "" {
		return "", errors.New("a commit needs one that it is built on")
	}
	return r.commitTo(ctx, r.branch, parent, "", c)
}

// commitTo is Commit for either branch that is followed; the empty parent makes the branch. head, unless it is empty, is
// where our branch must be.
func (r *Repo) commitTo(ctx context.Context, ref plumbing.ReferenceName, parent, head string, c Change) (string, error) {
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
	u := b.onto(ref, b.parent)
	u.while = plumbing.NewHash(head)
	if err := r.push(ctx, u); err != nil {
		return "", r.pushError(ctx, "push to", ref, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != nil && r.damage == nil {
		r.damage = r.moveTo([]tip{{ref, b.commit}})
	}
	return b.commit.String(), nil
}

// built is a commit with the objects that its parent does not have.
type built struct {
	parent, commit plumbing.Hash // without a parent: zero
	objects        *memory.Storage
	order          []plumbing.Hash
}

func (r *Repo) build(parent string, c Change) (*built, error) {
	edit, err := r.edits(c)
	if err != nil {
		return nil, err
	}
	if c.Message == "" || strings.ContainsRune(c.Message, 0) {
		return nil, errors.New("a commit needs a message without NUL")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b, before := &built{objects: memory.NewStorage()}, entry{}
	if parent != "" {
		id, base, err := r.named(parent)
		if err != nil {
			return nil, err
		}
		b.parent, b.commit, before = id, id, entry{mode: modeTree, id: base.TreeHash}
	} else if r.store == nil {
		return nil, fmt.Errorf("%w: no clone is open", ErrDamaged)
	}
	root, err := r.apply(b, parent, "", before, edit)
	if err != nil {
		return nil, err
	}
	if root == before.id {
		return b, nil
	}
	if b.commit, err = r.signed(b, root, c); err != nil {
		return nil, err
	}
	// Written before the push: a crash in between leaves objects that nothing names, while the other way
	// round the branch could be at a commit that this clone thinks it has in part.
	for _, id := range b.order {
		if _, err := r.store.SetEncodedObject(b.objects.Objects[id]); err != nil {
			return nil, fmt.Errorf("write to the clone: %w", err)
		}
	}
	r.loose += len(b.order)
	return b, nil
}

func (r *Repo) signed(b *built, root plumbing.Hash, c Change) (plumbing.Hash, error) {
	who := object.Signature{Name: r.opts.Author.Name, Email: r.opts.Author.Email, When: c.At}
	commit := object.Commit{Author: who, Committer: who, TreeHash: root, Message: strings.TrimRight(c.Message, "\n") + "\n"}
	if !b.parent.IsZero() {
		commit.ParentHashes = []plumbing.Hash{b.parent}
	}
	if r.opts.Sign != nil {
		o := &plumbing.MemoryObject{}
		if err := commit.EncodeWithoutSignature(o); err != nil {
			return plumbing.ZeroHash, err
		}
		payload, err := bytesOf(o)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if commit.PGPSignature, err = r.opts.Sign.Sign(payload); err != nil {
			return plumbing.ZeroHash, fmt.Errorf("sign: %w", err)
		}
	}
	o := &plumbing.MemoryObject{}
	if err := commit.Encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	return b.add(o), nil
}

func bytesOf(o plumbing.EncodedObject) ([]byte, error) {
	reader, err := o.Reader()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return io.ReadAll(reader)
}

func (b *built) add(o *plumbing.MemoryObject) plumbing.Hash {
	id := o.Hash()
	if _, ok := b.objects.Objects[id]; !ok {
		_, _ = b.objects.SetEncodedObject(o) // a map: it refuses only unknown types
		b.order = append(b.order, id)
	}
	return id
}

func (b *built) put(kind plumbing.ObjectType, body []byte) plumbing.Hash {
	o := &plumbing.MemoryObject{}
	o.SetType(kind)
	_, _ = o.Write(body) // memory
	return b.add(o)
}

// pack encodes the new objects whole: go-git's deltas are not worth their time for what we send.
func (b *built) pack() ([]byte, error) {
	var buf bytes.Buffer
	_, err := packfile.NewEncoder(&buf, b.objects, false).Encode(b.order, 0)
	return buf.Bytes(), err
}
