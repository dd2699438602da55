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
	// Seen says when we first saw a digest; a digest that it does not know is seen now. nil: every digest is. It is asked
	// of images, and of signatures that are proven: of those by a digest of their own, which names nothing that is stored.
	Seen func(mirror.Digest) time.Time
	// Attested reads the verdict that this site's key signed for content in the local registry, if one lies beside
	// it with this key, rules and trust; nil: only Known counts. Whether there is one or not, Seen is asked again after
	// it: what lies there may tell of an earlier sight. No verdict has the key "".
	Attested func(ctx context.Context, key string, a mirror.Action, c mirror.Content) (mirror.Verdict, bool)
	Site     []trust.Signer // this site's own keys, whose statements and signatures are no flaw
	Made     trust.Made     // remembers which bytes of packages were proven to be signed; nil: they are read each time
	Limits   Limits         // of what is read; what is zero is as by default
}

// Verifier judges by this policy.
func (p Policy) Verifier(o Options) mirror.Verifier {
	o.Limits = o.Limits.withDefaults()
	return verifier{policy: p, Options: o}
}

type verifier struct {
	policy Policy
	Options
}

// Verify judges a.Image for a.Stage. Signatures are read in the repository of a.From, or of a.Image where
// From is not set; what they name is compared with a.Image. With a nil Content only what is known or pinned
// is admitted. A refusal is a verdict with outcome rejected and no error; what could not be checked is a
// verdict with outcome unknown and an error that says why.
func (v verifier) Verify(ctx context.Context, a mirror.Action, c mirror.Content) (mirror.Verdict, error) {
	verdict := mirror.Verdict{Outcome: mirror.OutcomeRejected, At: v.At}
	if why := v.policy.denies(a.Image); why != "" {
		verdict.Reason = mirror.Because(mirror.Denied, "%s", why)
		return verdict, nil
	}
	q := v.question(a)
	verdict.Rules, verdict.RuleHash, verdict.TrustHash, verdict.Seen = q.matched(), q.ruleHash(), q.trustHash(), q.seen
	q.vouch = v.vouching(ctx, a, q.rules())
	verdict.VouchedBy = q.vouch.by
	nothing := evidence{subjects: []subject{{digest: a.Image.Digest}}}
	plain, plainly := q.settle(nothing, errUnread, verdict)
	if plain.Reason.Code == mirror.TooYoung && v.Attested != nil && c != nil {
		v.Attested(ctx, "", a, c)
		verdict.Seen, q.seen = v.sight(a.Image.Digest), v.sight(a.Image.Digest)
		plain, plainly = q.settle(nothing, errUnread, verdict)
	}
	if plain.Outcome != mirror.OutcomeRejected {
		why, err := v.deniedWithin(ctx, q, c)
		if err != nil {
			return unknown(verdict, err)
		}
		if why != "" {
			verdict.Reason = mirror.Because(mirror.Denied, "%s", why)
			return verdict, nil
		}
	}
	if !slices.ContainsFunc(q.rules(), rule.asks) || plain.Outcome == mirror.OutcomeRejected {
		plain.Warnings = append(plain.Warnings, ending(plain, v.At)...)
		return plain, plainly // no evidence would change it
	}
	key := q.key(verdict)
	if known, ok := v.remembered(ctx, key, a, c, q, verdict); ok {
		return known, nil
	}
	verdict.Seen, q.seen = v.sight(a.Image.Digest), v.sight(a.Image.Digest)
	judged, whole, err := v.judged(ctx, q, c, verdict)
	if whole && err == nil && judged.Outcome.Admits() && v.Known != nil {
		v.Known.Remember(key, judged)
	}
	judged.Warnings = append(judged.Warnings, ending(judged, v.At)...)
	return judged, err
}

var errUnread = errors.New("nothing was read yet")

// vouching asks who vouches for the digest, where a rule asks for that. The commit of this policy is not believed
// blindly where Vouch can check it, since Action.Vouch may come from a record.
func (v verifier) vouching(ctx context.Context, a mirror.Action, rules []rule) vouching {
	if !slices.ContainsFunc(rules, func(r rule) bool { return r.Pinned }) {
		return vouching{}
	}
	if a.Vouch == "" {
		return vouching{reason: mirror.Because(mirror.NotPinned, "no commit names this digest for %s; write image:tag@sha256:... in desired/", a.Key)}
	}
	named := a.Vouch == v.policy.commit
	if v.Vouch != nil {
		var err error
		if named, err = v.Vouch(ctx, a.Vouch, a.Key, a.Image); err != nil {
			return vouching{err: fmt.Errorf("ask commit %s: %w", a.Vouch, err)}
		}
	}
	if !named {
		return vouching{reason: mirror.Because(mirror.NotPinned, "commit %s does not name this digest for %s or is not in our history", a.Vouch, a.Key)}
	}
	return vouching{by: a.Vouch}
}

// remembered gives an earlier verdict that still counts: from our own memory, or else as this site attested it.
func (v verifier) remembered(ctx context.Context, key string, a mirror.Action, c mirror.Content, q question, now mirror.Verdict) (mirror.Verdict, bool) {
	var known mirror.Verdict
	found := false
	if v.Known != nil {
		known, found = v.Known.Verdict(key)
		found = found && q.usable(known, now)
	}
	if !found && v.Attested != nil && c != nil {
		if known, found = v.Attested(ctx, key, a, c); found {
			known.Attested = true
			if found = q.usable(known, now); found && v.Known != nil {
				v.Known.Remember(key, known)
			}
		}
	}
	known.VouchedBy = now.VouchedBy
	known.Warnings = append(slices.Clone(known.Warnings), ending(known, v.At)...)
	return known, found
}

// judged reads evidence and judges by it; whole says that nothing was in the way. Trouble does not matter where what
// could be read is enough; where it is not, the missing proof may be among what could not be.
func (v verifier) judged(ctx context.Context, q question, c mirror.Content, verdict mirror.Verdict) (_ mirror.Verdict, whole bool, err error) {
	x := &examination{question: q, content: c, limits: v.Limits, sight: v.sight, site: v.Site, made: v.Made, found: evidence{subjects: []subject{{digest: q.image.Digest}}}}
	if c == nil {
		x.trouble = []error{errors.New("no verdict is known and nothing may be asked")}
	} else {
		x.gather(ctx)
	}
	verdict, err = q.settle(x.found, errors.Join(x.trouble...), verdict)
	return verdict, len(x.trouble) == 0 || verdict.Outcome == mirror.OutcomeSigned, err
}

func unknown(v mirror.Verdict, err error) (mirror.Verdict, error) {
	v.Outcome, v.Reason = mirror.OutcomeUnknown, mirror.Because(mirror.NotVerified, "could not be checked: %s", printable(err.Error()))
	return v, err
}
