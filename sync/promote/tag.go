package promote

import (
	"context"
	"errors"
	"fmt"

	"github.com/poundlock/poundlock/internal/mirror"
)

// check reads where the tags of a work point and what they are to name, and decides what is to be written.
func (p *promotion) check(ctx context.Context, it *item) error {
	a := it.Verified.Action()
	switch {
	case !it.Verified.Admits():
		return fmt.Errorf("promote accepts only what was verified: %w", mirror.ErrRefused)
	case a.To.Host == "" || a.To.Repository == "" || a.To.Tag == "":
		return errors.New("the action names no tag")
	}
	pointer := a.To.WithDigest(mirror.Digest{})
	current, err := p.current(ctx, pointer)
	if err != nil {
		return err
	}
	if current == a.New {
		// The stage tag is written after the vendor's, so that is settled too. A tag that someone put here
		// before us and that names what we want is ours from now on.
		it.settled = true
		if p.owner.Ours(pointer, current) {
			return nil
		}
		return p.owner.Intend(pointer, a.New)
	}
	if !p.may(pointer, current, it.Adopt) {
		return fmt.Errorf("it names %s: %w", current, ErrForeignTag)
	}
	if err := p.vendor(ctx, it, a.New); err != nil {
		return err
	}
	it.write = append(it.write, pointer)
	// Read by digest: it proves that the manifest is in this repository, and gives the bytes to be tagged.
	it.manifest, err = p.tags.Manifest(ctx, pointer, a.New)
	if err == nil && mirror.DigestOf(it.manifest.Body) != a.New {
		err = mirror.ErrDigestMismatch
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", a.New, err)
	}
	return nil
}

// vendor decides about the vendor's own tag. One that is there is left alone, unless it is to follow.
func (p *promotion) vendor(ctx context.Context, it *item, d mirror.Digest) error {
	if it.Vendor.IsZero() {
		return nil
	}
	pointer := it.Vendor.WithDigest(mirror.Digest{})
	if pointer.Name() != it.Verified.Action().To.Name() || pointer.Tag == "" {
		return fmt.Errorf("vendor tag %s is not a tag of the same repository", pointer)
	}
	current, err := p.current(ctx, pointer)
	switch {
	case err != nil:
		return err
	case current == d, current != (mirror.Digest{}) && !it.Follow:
		return nil
	case !p.may(pointer, current, it.Adopt):
		return fmt.Errorf("vendor tag %s names %s: %w", pointer.Tag, current, ErrForeignTag)
	}
	it.write = append(it.write, pointer)
	return nil
}

// may says whether a tag may be written: it is absent, ours, or the set adopts.
func (p *promotion) may(pointer mirror.Reference, current mirror.Digest, adopt bool) bool {
	return current == (mirror.Digest{}) || adopt || p.owner.Ours(pointer, current)
}

// current asks what a tag names; the zero digest when there is no such tag.
func (p *promotion) current(ctx context.Context, pointer mirror.Reference) (mirror.Digest, error) {
	d, err := p.tags.Resolve(ctx, pointer)
	if errors.Is(err, mirror.ErrNotFound) {
		return mirror.Digest{}, nil
	}
	if err != nil {
		return mirror.Digest{}, fmt.Errorf("read where it points: %w", err)
	}
	return d.Digest, nil
}

// set writes the tags of a work, the stage tag last, and reads each of them again. Writes end with covered,
// the time for which the fence's answer counts; the reading after a write that was cut off does not.
func (p *promotion) set(ctx, covered context.Context, it *item) error {
	d := it.Verified.Action().New
	for _, pointer := range it.write {
		if covered.Err() != nil {
			return context.Cause(covered)
		}
		// Noted first: a crash after the write and before its note would make our own tag look foreign.
		if err := p.owner.Intend(pointer, d); err != nil {
			return fmt.Errorf("note the write: %w", err)
		}
		_, failed := p.tags.Put(covered, pointer, it.manifest)
		current, err := p.current(ctx, pointer)
		switch {
		case err == nil && current == d: // also when the answer to the write was lost
		case failed != nil:
			return fmt.Errorf("write: %w", failed)
		case err != nil:
			return err
		default:
			return fmt.Errorf("it names %s: %w", current, ErrMoved)
		}
	}
	return nil
}
