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

// maxTime bounds the judgement of one image, all its requests included.
const maxTime = 30 * time.Second

// Known remembers admitting verdicts by signatures between cycles, for many goroutines at once. It must be a
// memory that nobody else writes: what it says is believed where its hashes fit.
type Known interface {
	Verdict(key string) (mirror.Verdict, bool)
	Remember(key string, v mirror.Verdict)
}

// Vouched says whether the desired/ of a commit names exactly this image for this entry, and whether that
// commit belongs to the history of the fleet repository.
type Vouched func(ctx context.Context, commit string, key mirror.Key, image mirror.Reference) (bool, error)

// Options are what a verifier knows besides its policy. All of them may be left out but At.
type Options struct {
	Known Known     // remembers verdicts; nil: nothing is remembered
	Vouch Vouched   // says which commits vouch; nil: only the commit of this policy does
	At    time.Time // now
	// Seen says when we first saw a digest; a digest that it does not know is seen now. nil: every digest is.
	Seen func(mirror.Digest) time.Time
	// Attested reads the verdict that this site's key signed for content in the local registry, if one lies beside
	// it with this key, rules and trust; nil: only Known counts.
	Attested func(ctx context.Context, key string, a mirror.Action, c mirror.Content) (mirror.Verdict, bool)
	Limits   Limits // of what is read; what is zero is as by default
}

// Limits of what is read to judge one image. Anything larger is refused, never truncated; what an upstream serves
// beside an image is chosen by whoever may write there.
type Limits struct {
	Manifest    int64         // bytes of a manifest
	Payload     int64         // bytes of a simple-signing payload
	Bundle      int64         // bytes of a sigstore bundle that is a signature
	Attestation int64         // bytes of an attestation
	Signatures  int           // signatures and attestations of one digest, of all forms together
	Referrers   int           // referrers of one digest
	Time        time.Duration // for one image, all its requests included
}

// Verifier judges by this policy.
func (p Policy) Verifier(o Options) mirror.Verifier {
	v := verifier{policy: p, known: o.Known, vouch: o.Vouch, at: o.At}
	if len(p.layers) > 0 {
		v.layer = p.layers[0]
	}
	return v
}

type verifier struct {
	policy Policy
	layer  layer
	known  Known
	vouch  Vouched
	at     time.Time
}

// Verify judges a.Image for a.Stage. Signatures are read in the repository of a.From, or of a.Image where
// From is not set; what they name is compared with a.Image. With a nil Content only what is known or pinned
// is admitted. A refusal is a verdict with outcome rejected and no error; what could not be checked is a
// verdict with outcome unknown and an error that says why.
func (v verifier) Verify(ctx context.Context, a mirror.Action, c mirror.Content) (mirror.Verdict, error) {
	verdict := mirror.Verdict{Outcome: mirror.OutcomeRejected, At: v.at}
	if why := v.policy.denies(a.Image); why != "" {
		verdict.Reason = mirror.Because(mirror.Denied, "%s", why)
		return verdict, nil
	}
	rules := v.layer.matching(a.Image, a.Stage)
	if len(rules) == 0 {
		verdict.Reason = mirror.Because(mirror.NoRule, "no rule of %s matches %s at stage %s; add one to let it in", mirror.PolicyFile, a.Image.Name(), a.Stage)
		return verdict, nil
	}
	signers := signersOf(rules)
	verdict.RuleHash, verdict.TrustHash = ruleHash(rules), v.layer.trustHash(signers)
	if slices.ContainsFunc(rules, func(r rule) bool { return r.Pinned }) {
		if done, err := v.pinned(ctx, a, &verdict); !done {
			return verdict, err
		}
		if len(signers) == 0 {
			verdict.Outcome, verdict.Reason = mirror.OutcomePinned, mirror.Because(mirror.PinnedCommit, "pinned")
			return verdict, nil
		}
	}
	key := verdictKey(rules, a.Image, verdict)
	if known, ok := v.remembered(key, rules, verdict); ok {
		return known, nil
	}
	if c == nil {
		return unknown(verdict, errors.New("no verdict is known and nothing may be asked"))
	}
	return v.signed(ctx, a, c, rules, key, verdict)
}

// pinned asks who vouches for the digest; false means that the verdict stands as it is. The commit of this
// policy is not believed blindly where vouch can check it, since Action.Vouch may come from a record.
func (v verifier) pinned(ctx context.Context, a mirror.Action, verdict *mirror.Verdict) (bool, error) {
	if a.Vouch == "" {
		verdict.Reason = mirror.Because(mirror.NotPinned, "no commit names this digest for %s; write image:tag@sha256:... in desired/", a.Key)
		return false, nil
	}
	named := a.Vouch == v.policy.commit
	if v.vouch != nil {
		var err error
		if named, err = v.vouch(ctx, a.Vouch, a.Key, a.Image); err != nil {
			*verdict, err = unknown(*verdict, fmt.Errorf("ask commit %s: %w", a.Vouch, err))
			return false, err
		}
	}
	if !named {
		verdict.Reason = mirror.Because(mirror.NotPinned, "commit %s does not name this digest for %s or is not in our history", a.Vouch, a.Key)
		return false, nil
	}
	verdict.VouchedBy = a.Vouch
	return true, nil
}

// remembered gives the known verdict, if it was reached by the same rules and trust and names enough keys.
func (v verifier) remembered(key string, rules []rule, now mirror.Verdict) (mirror.Verdict, bool) {
	if v.known == nil {
		return mirror.Verdict{}, false
	}
	known, ok := v.known.Verdict(key)
	if !ok || known.Outcome != mirror.OutcomeSigned || known.RuleHash != now.RuleHash || known.TrustHash != now.TrustHash {
		return mirror.Verdict{}, false
	}
	for _, r := range rules {
		keys := map[string]bool{}
		for _, name := range known.Signers {
			if slices.Contains(r.Signers, name) {
				keys[v.layer.signers[name].Identity()] = true
			}
		}
		if len(keys) < r.Count {
			return mirror.Verdict{}, false
		}
	}
	known.VouchedBy = now.VouchedBy
	return known, true
}

// signed reads signatures until the rules are satisfied or there are no more. Trouble on the way does not
// matter where the rest is enough; where it is not, the missing one may be among what could not be read.
func (v verifier) signed(ctx context.Context, a mirror.Action, c mirror.Content, rules []rule, key string, verdict mirror.Verdict) (mirror.Verdict, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxTime, fmt.Errorf("not done within %s", maxTime))
	defer cancel()
	at := a.From
	if at.IsZero() {
		at = a.Image
	}
	var found evidence
	var trouble []error
	for it, err := range signatures(ctx, c, at, a.Image.Digest) {
		var bad fault
		switch {
		case errors.As(err, &bad):
			found.faults = append(found.faults, bad.Error())
		case err != nil:
			trouble = append(trouble, err)
		default:
			v.examine(ctx, it, rules, a.Image.Digest, &found)
		}
		if ctx.Err() != nil {
			trouble = append(trouble, context.Cause(ctx))
			break
		}
		if v.layer.satisfied(rules, a.Image, found.proofs) {
			break
		}
	}
	if err := errors.Join(trouble...); err != nil && !v.layer.satisfied(rules, a.Image, found.proofs) {
		return unknown(verdict, err)
	}
	verdict = v.layer.judge(rules, a.Image, found, verdict)
	if verdict.Outcome == mirror.OutcomeSigned && v.known != nil {
		v.known.Remember(key, verdict)
	}
	return verdict, nil
}

// examine verifies one item with every key that a rule asks for.
func (v verifier) examine(ctx context.Context, it item, rules []rule, d mirror.Digest, found *evidence) {
	found.items++
	where := "signature in " + mirror.Short(it.manifest.Digest)
	c, err := trust.Prepare(it.Item)
	if err != nil {
		found.faults = append(found.faults, fmt.Sprintf("%s: %v", where, err))
		return
	}
	counted := false
	for _, name := range signersOf(rules) {
		p, proveErr := c.Prove(ctx, v.layer.signers[name].Signer, d)
		if proveErr != nil {
			err = fmt.Errorf("not by %s: %w", name, proveErr)
			continue
		}
		counted = true
		found.proofs = append(found.proofs, proof{Proof: p, signer: name, manifest: it.manifest})
	}
	if !counted {
		found.faults = append(found.faults, fmt.Sprintf("%s: %v", where, err))
	}
}

func unknown(v mirror.Verdict, err error) (mirror.Verdict, error) {
	v.Outcome, v.Reason = mirror.OutcomeUnknown, mirror.Because(mirror.NotVerified, "could not be checked: %s", printable(err.Error()))
	return v, err
}

// signersOf lists the signers that the rules name, each once.
func signersOf(rules []rule) []string {
	var names []string
	for _, r := range rules {
		names = append(names, r.Signers...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// verdictKey names what a verdict by signatures depends on. The stage is not part of it, only the rules
// that hold there; the tag is, where a rule compares it.
func verdictKey(rules []rule, image mirror.Reference, v mirror.Verdict) string {
	name := image.Name()
	if slices.ContainsFunc(rules, func(r rule) bool { return r.Reference == nameExact }) {
		name += ":" + image.Tag
	}
	return hashOf([]string{name, image.Digest.String(), v.RuleHash.String(), v.TrustHash.String()}).String()
}
