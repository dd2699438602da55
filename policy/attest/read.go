package attest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

const (
	maxStatement = 512 << 10 // bytes of one of our statements
	maxTries     = 3         // statements with the mark that is looked for that are read
)

// Found is a referrer that is marked as a statement of this site's key; whether it is one is not known yet.
type Found struct {
	mirror.Descriptor
	Mark Mark
	at   string
}

// Marked gives the referrers of a digest that carry the mark of this site's key, newest first.
func (k *Key) Marked(list []mirror.Descriptor) []Found {
	var all []Found
	for _, d := range list {
		if mark := d.Annotations[markKey]; mark != "" && d.Annotations[byKey] == k.Identity() {
			all = append(all, Found{d, Mark(mark), d.Annotations[createdKey]})
		}
	}
	// RFC 3339 in UTC sorts as text.
	slices.SortStableFunc(all, func(a, b Found) int { return cmp.Compare(b.at, a.at) })
	return all
}

// ReadVerdict gives the verdict that this site's key signed for exactly the digest d and the key of a verdict, and
// that lies beside it in the repository of at. It costs the list of referrers and, where one is marked so, two
// requests more. mirror.ErrNotFound says that there is none; any other error, why one does not count.
func (k *Key) ReadVerdict(ctx context.Context, c mirror.Content, at mirror.Reference, d mirror.Digest, key string) (mirror.Verdict, error) {
	list, err := c.Referrers(ctx, at.AtDigest(d), d)
	if err != nil {
		return mirror.Verdict{}, fmt.Errorf("statements of %s: %w", d, err)
	}
	return k.readVerdict(ctx, c, at, d, list, key)
}

// ReadVerdicts is ReadVerdict, and where none has that key, or counts, it gives besides the error the newest of the
// others by their keys: they do not say what is to be asked now, but what this site saw and when.
func (k *Key) ReadVerdicts(ctx context.Context, c mirror.Content, at mirror.Reference, d mirror.Digest, key string) (mirror.Verdict, map[string]mirror.Verdict, error) {
	list, err := c.Referrers(ctx, at.AtDigest(d), d)
	if err != nil {
		return mirror.Verdict{}, nil, fmt.Errorf("statements of %s: %w", d, err)
	}
	v, err := k.readVerdict(ctx, c, at, d, list, key)
	if err == nil {
		return v, nil, nil
	}
	others, tried := map[string]mirror.Verdict{}, 0
	for _, f := range k.Marked(list) {
		other, is := strings.CutPrefix(string(f.Mark), string(VerdictMark("")))
		if _, known := others[other]; !is || known || other == key {
			continue
		}
		if tried++; tried > maxTries {
			break
		}
		if o, err := k.readVerdict(ctx, c, at, d, []mirror.Descriptor{f.Descriptor}, other); err == nil {
			others[other] = o
		}
	}
	return v, others, err
}

// readVerdict is ReadVerdict among referrers that were listed.
func (k *Key) readVerdict(ctx context.Context, c mirror.Content, at mirror.Reference, d mirror.Digest, list []mirror.Descriptor, key string) (mirror.Verdict, error) {
	var v mirror.Verdict
	err := k.first(list, VerdictMark(key), func(f Found) error {
		p, err := k.prove(ctx, c, at, d, f)
		if err == nil && p.Type != VerdictType {
			err = fmt.Errorf("its statement is of type %q", p.Type)
		}
		if err == nil {
			v, err = verdict(p.Predicate, key)
		}
		return err
	})
	return v, err
}

// Has says whether a statement with this mark lies beside the digest d and is what its mark says. list is what the
// repository of at lists as referrers of d.
func (k *Key) Has(ctx context.Context, c mirror.Content, at mirror.Reference, d mirror.Digest, list []mirror.Descriptor, mark Mark) (bool, error) {
	err := k.first(list, mark, func(f Found) error {
		p, err := k.prove(ctx, c, at, d, f)
		if err != nil {
			return err
		}
		return says(p, mark)
	})
	if errors.Is(err, mirror.ErrNotFound) || errors.As(err, new(notOurs)) {
		return false, nil
	}
	return err == nil, err
}

// Ours says whether a referrer of the digest d is what its mark says: a statement that this site's key signed.
func (k *Key) Ours(ctx context.Context, c mirror.Content, at mirror.Reference, d mirror.Digest, f Found) (bool, error) {
	return k.Has(ctx, c, at, d, []mirror.Descriptor{f.Descriptor}, f.Mark)
}

// says compares a statement with the mark that led to it.
func says(p trust.Proof, mark Mark) error {
	var is Mark
	switch p.Type {
	case VerdictType:
		key, _ := strings.CutPrefix(string(mark), string(VerdictMark("")))
		if _, err := verdict(p.Predicate, key); err != nil {
			return notOurs{err}
		}
		is = VerdictMark(key)
	case PromotionType:
		stated, err := promotion(p.Predicate)
		if err != nil {
			return notOurs{err}
		}
		is = stated.Mark()
	case "":
		is = SignatureMark
	}
	if is != mark {
		return notOurs{errors.New("it says something else than its mark")}
	}
	return nil
}

// first reads what carries the mark, newest first, until one counts.
func (k *Key) first(list []mirror.Descriptor, mark Mark, read func(Found) error) error {
	all := slices.DeleteFunc(k.Marked(list), func(f Found) bool { return f.Mark != mark })
	if len(all) == 0 {
		return fmt.Errorf("no %s: %w", mark.Kind(), mirror.ErrNotFound)
	}
	var errs []error
	for _, f := range all[:min(len(all), maxTries)] {
		err := read(f)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s in %s: %w", mark.Kind(), mirror.Short(f.Digest), err))
	}
	return errors.Join(errs...)
}

// notOurs is why something that is marked as a statement of ours is none.
type notOurs struct{ err error }

func (n notOurs) Error() string { return n.err.Error() }
func (n notOurs) Unwrap() error { return n.err }

// prove reads a statement and verifies with the site's public key that it is about the digest d.
func (k *Key) prove(ctx context.Context, c mirror.Content, at mirror.Reference, d mirror.Digest, f Found) (trust.Proof, error) {
	m, err := c.Manifest(ctx, at.AtDigest(f.Digest), f.Digest)
	if err != nil {
		return trust.Proof{}, err
	}
	parts, err := m.Parts()
	switch {
	case err != nil:
		return trust.Proof{}, notOurs{err}
	case parts.Subject == nil || parts.Subject.Digest != d:
		return trust.Proof{}, notOurs{errors.New("its subject is another image")}
	case len(parts.Layers) != 1 || parts.Layers[0].MediaType != bundleType || parts.Layers[0].Size > maxStatement:
		return trust.Proof{}, notOurs{errors.New("it holds no bundle of ours")}
	}
	body, err := readBlob(ctx, c, at, parts.Layers[0])
	if err != nil {
		return trust.Proof{}, err
	}
	candidate, err := trust.Prepare(trust.Item{Form: trust.Bundle, Body: body})
	if err != nil {
		return trust.Proof{}, notOurs{err}
	}
	p, err := candidate.Prove(ctx, k.signer, d, time.Time{}) // a key has no need to know what time it is
	if err != nil {
		return trust.Proof{}, notOurs{err}
	}
	return p, nil
}

func readBlob(ctx context.Context, c mirror.Content, at mirror.Reference, d mirror.Descriptor) ([]byte, error) {
	r, err := c.Blob(ctx, at.AtDigest(d.Digest), d.Digest, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	body, err := io.ReadAll(io.LimitReader(r, d.Size+1))
	if err == nil && (int64(len(body)) != d.Size || mirror.DigestOf(body) != d.Digest) {
		err = mirror.ErrDigestMismatch
	}
	return body, err
}
