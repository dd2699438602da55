package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// examination reads evidence for a question and proves it, each item once for all layers. What it finds is values;
// what they are worth is judged apart.
type examination struct {
	question
	content mirror.Content
	limits  Limits
	sight   func(mirror.Digest) time.Time // when we first saw a digest
	site    []trust.Signer                // this site's own keys
	made    trust.Made                    // what is known of the bytes of packages
	whole   context.Context               // not bound by the time for requests: a package may be large
	found   evidence
	trouble []error // what could not be read; the missing proof may be among it
}

// gather reads until the question is answered or there is no more: beside the image first and, where a rule wants
// each platform signed, beside the manifests of its index.
func (x *examination) gather(ctx context.Context) {
	x.whole = ctx
	ctx, cancel := context.WithTimeoutCause(ctx, x.limits.Time, fmt.Errorf("not done within %s", x.limits.Time))
	defer cancel()
	x.found = evidence{subjects: []subject{{digest: x.image.Digest}}, spots: map[spot]*beside{}}
	for i := 0; i < len(x.found.subjects); i++ {
		if x.look(ctx, x.found.subjects[i]); x.stuck(x.found, i+1) {
			return // what hangs on the rest would change nothing
		}
		if i == 0 && slices.ContainsFunc(x.rules(), func(r rule) bool { return r.Each && r.asks() }) {
			x.platforms(ctx)
		}
	}
}

// look reads what lies beside one subject, wherever a rule says that it lies.
func (x *examination) look(ctx context.Context, s subject) {
	var order []spot
	asking := map[spot][]rule{}
	for _, r := range x.rules() {
		at := x.spot(r, s.digest)
		if !r.asks() || s.child && !r.Each {
			continue
		}
		if asking[at] == nil {
			order = append(order, at)
		}
		asking[at] = append(asking[at], r)
	}
	for _, at := range order {
		here := asking[at]
		beside, inside := x.wanted(here)
		search := &search{ctx: ctx, content: x.content, limits: x.limits, spot: at, types: types(here), signatures: beside, made: x.made}
		if inside && !s.child {
			search.inside = &spot{x.source, s.digest}
		}
		for it, err := range search.all() {
			x.take(ctx, at, it, err)
			if ctx.Err() != nil {
				x.trouble = append(x.trouble, context.Cause(ctx))
				return
			}
			if x.satisfied(x.found, slices.Index(x.found.subjects, s)+1) {
				return
			}
		}
	}
}

// take adds what a search gave to what is known.
func (x *examination) take(ctx context.Context, at spot, it item, err error) {
	b := x.found.at(at)
	var bad fault
	switch {
	case errors.As(err, &bad):
		b.flaws = append(b.flaws, flaw{about: it.about, text: bad.Error()})
	case err != nil:
		x.trouble = append(x.trouble, err)
	default:
		b.items++
		switch err := x.prove(ctx, at, it, b); {
		case err == nil || err == errOurs:
		case unread(err):
			x.trouble = append(x.trouble, err)
		default:
			text := fmt.Sprintf("%s in %s: %v", it.about.noun(), mirror.Short(it.manifest.Digest), err)
			b.flaws = append(b.flaws, flaw{it.about, text, errors.Is(err, trust.ErrStranger)})
		}
	}
}

// prove verifies one item for every signer that a rule of a layer names. The error says why it counts for nobody.
func (x *examination) prove(ctx context.Context, at spot, it item, b *beside) error {
	if len(it.Body) > largeItem {
		select {
		case provingLarge <- struct{}{}:
			defer func() { <-provingLarge }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if it.Over != nil {
		readable, done, err := x.reading()
		if err != nil {
			return err
		}
		defer done()
		ctx = readable
	}
	c, err := trust.Prepare(it.Item)
	if err != nil {
		return err
	}
	known := map[mirror.Digest]attempt{} // two layers may name one key
	for _, s := range x.denied {
		switch got := x.by(ctx, known, c, s, at.digest); {
		case got.err == nil:
			return uninvited{fmt.Errorf("by %s, whom deny.signers names", s.Name())}
		case unread(got.err):
			return got.err
		}
	}
	var counted []proof
	var sight mirror.Digest
	for i, l := range x.asked {
		for _, name := range signersOf(l.rules) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			got := x.by(ctx, known, c, l.signers[name].Signer, at.digest)
			if got.err == nil {
				got.err = x.offered(it, got.Proof)
			}
			if unread(got.err) {
				return got.err
			}
			if got.err != nil {
				if err == nil || errors.Is(err, trust.ErrStranger) || !errors.Is(got.err, trust.ErrStranger) { // what a wanted one did wrong says more
					err = fmt.Errorf("not by %s: %w", name, got.err)
				}
				continue
			}
			if s, denied := x.denies(got.Proof); denied {
				return uninvited{fmt.Errorf("by %s, whom deny.signers names", s.Name())}
			}
			if sight == (mirror.Digest{}) {
				sight = it.Digest()
			}
			p := proof{Proof: got.Proof, layer: i, signer: name, manifest: it.manifest, sight: sight, seen: x.sight(sight)}
			p.met = met(l.rules, p)
			p.Predicate = nil // as large as a registry liked, and looked at
			counted = append(counted, p)
		}
	}
	b.proofs = append(b.proofs, counted...)
	switch {
	case len(counted) > 0:
		return nil
	case slices.ContainsFunc(x.site, func(s trust.Signer) bool { return x.by(ctx, known, c, s, at.digest).err == nil }):
		return errOurs
	case err == nil:
		return uninvited{errors.New("no rule asks for it")}
	}
	return err
}

// errOurs is a statement of this site, which is no flaw of what others signed.
var errOurs = errors.New("this site made it")

// uninvited is an error of what is well made, by somebody who is not asked for.
type uninvited struct{ error }

// Is says that to policy its signer is a stranger.
func (uninvited) Is(target error) bool { return target == trust.ErrStranger }

// denies gives the denied signer who is meant by a proof, whatever it was proven with: who may write a policy may
// write another hash or another root for the same one.
func (q question) denies(p trust.Proof) (trust.Signer, bool) {
	i := slices.IndexFunc(q.denied, func(s trust.Signer) bool { return s.Means(p) })
	if i < 0 {
		return trust.Signer{}, false
	}
	return q.denied[i], true
}

// attempt is what came of proving an item for a signer.
type attempt struct {
	trust.Proof
	err error
}

// by verifies an item for a signer, once for all that trust the same.
func (x *examination) by(ctx context.Context, known map[mirror.Digest]attempt, c *trust.Candidate, s trust.Signer, d mirror.Digest) attempt {
	got, ok := known[s.Hash()]
	if !ok {
		got.Proof, got.err = c.Prove(ctx, s, d, x.now)
		known[s.Hash()] = got
	}
	return got
}

// offered says what is wrong with a proof that is not what it was offered as.
func (x *examination) offered(it item, p trust.Proof) error {
	switch {
	case p.Type == "" && int64(len(it.Body)) > x.limits.Bundle:
		return fmt.Errorf("a signature of %d bytes where at most %d are read", len(it.Body), x.limits.Bundle)
	case p.Type != "" && it.about == aboutSignatures:
		return fmt.Errorf("a statement of type %q is no image signature", p.Type)
	}
	return nil
}

// met evaluates what rules want to be true of an attestation, once.
func met(rules []rule, p proof) map[string]error {
	if p.Type == "" {
		return nil
	}
	all := map[string]error{}
	for _, r := range rules {
		for _, a := range r.Attestations {
			if _, done := all[a.id()]; !done && a.Type == p.Type && slices.Contains(a.By, p.signer) {
				err := a.Where.check(p.Predicate)
				if err != nil {
					err = fmt.Errorf("%s: %w", a.where, err)
				}
				all[a.id()] = err
			}
		}
	}
	return all
}

// id tells conditions apart; two that read the same give the same answer.
func (a attestation) id() string { return a.Type + " " + a.Where.source }
