package policy

import (
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// question is what is asked of one image at one stage: values alone, so that the same evidence can be judged again.
type question struct {
	image  mirror.Reference
	source mirror.Reference // the repository that content is read from, without tag and digest
	here   bool             // content is read from a copy, so that signatures lie beside it wherever they lay upstream
	stage  mirror.Stage
	now    time.Time
	seen   time.Time // when we first saw the image's digest
	vouch  vouching
	asked  []asked
	denied []trust.Signer // what they sign counts for nobody
}

// asked is what one layer wants of the image.
type asked struct {
	layer
	rules      []rule
	exceptions []exception // that are about it, in force or not
	mode       mode
}

// vouching is what is known of the commit that is said to name the digest.
type vouching struct {
	by     string        // the commit; "" for none that counts
	reason mirror.Reason // why none does
	err    error         // it could not be asked
}

func (v verifier) question(a mirror.Action) question {
	q := question{image: a.Image, stage: a.Stage, now: v.At, source: a.From.AtDigest(mirror.Digest{})}
	if a.From.IsZero() {
		q.source = a.Image.AtDigest(mirror.Digest{})
	}
	q.here = q.source.Name() != a.Image.Name()
	q.seen = v.sight(a.Image.Digest)
	for _, l := range v.policy.layers {
		x := asked{layer: l, rules: l.matching(a.Image, a.Stage), mode: l.mode(a.Stage)}
		for _, e := range l.exceptions {
			if e.matches(a.Image, a.Stage) && !e.removesAlone() {
				x.exceptions = append(x.exceptions, e)
			}
		}
		q.asked = append(q.asked, x)
		for _, name := range l.deny.Signers {
			if s, ok := l.signers[name]; ok {
				q.denied = append(q.denied, s.Signer)
			}
		}
	}
	return q
}

// sight gives when we first saw a digest; what was never seen is seen now.
func (v verifier) sight(d mirror.Digest) time.Time {
	if v.Seen != nil {
		if seen := v.Seen(d); !seen.IsZero() {
			return seen
		}
	}
	return v.At
}

// rules gives the rules of all layers.
func (q question) rules() (all []rule) {
	for _, x := range q.asked {
		all = append(all, x.rules...)
	}
	return all
}

// asks says whether a rule asks for something that only evidence shows.
func (r rule) asks() bool { return r.Count > 0 || len(r.Attestations) > 0 }

// spot gives where what a rule asks for lies of a digest.
func (q question) spot(r rule, d mirror.Digest) spot {
	if !r.Beside.IsZero() && !q.here {
		return spot{r.Beside.AtDigest(mirror.Digest{}), d}
	}
	return spot{q.source, d}
}

// types lists the predicate types of attestations that rules ask for.
func types(rules []rule) []string {
	var all []string
	for _, r := range rules {
		for _, a := range r.Attestations {
			all = append(all, a.Type)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// signersOf lists the signers that a rule names, for signatures and for attestations.
func signersOf(rules []rule) []string {
	var names []string
	for _, r := range rules {
		names = append(names, r.Signers...)
		for _, a := range r.Attestations {
			names = append(names, a.By...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
