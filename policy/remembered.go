package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// lookAgain is how long an admission by an exception or by a mode that does not enforce is remembered: a signature
// may come late, and then it is admitted by that.
const lookAgain = time.Hour

// ruleHash identifies what the layers ask of the image: rules, exceptions and modes as far as they are about it.
func (q question) ruleHash() mirror.Digest {
	type said struct {
		Floor, Open bool
		Rules       mirror.Digest
		Mode        mode
		Exceptions  []exception
	}
	var all []said
	for _, x := range q.asked {
		all = append(all, said{x.floor, x.open, ruleHash(x.rules), x.mode, x.exceptions})
	}
	return hashOf(all)
}

// trustHash identifies whom the rules trust. Denied keys are not part of it, since what is remembered is compared
// with them; denied signers with many identities are.
func (q question) trustHash() mirror.Digest {
	var all []string
	for _, x := range q.asked {
		all = append(all, x.trustHash(signersOf(x.rules)).String())
	}
	for _, s := range q.denied {
		if s.Identity() == "" {
			all = append(all, "denied "+s.Hash().String())
		}
	}
	return hashOf(all)
}

// judgedAs is told apart in the key of a verdict, so that what was judged in another way is not remembered: since 2, a
// first sight is of the signature, proofs name their keys, and certificates that nobody dates end.
const judgedAs = "2"

// key names what a verdict by evidence depends on. The stage is not part of it, only what holds there; the tag is,
// where a rule compares it.
func (q question) key(v mirror.Verdict) string {
	name := q.image.Name()
	if slices.ContainsFunc(q.rules(), func(r rule) bool { return r.Reference == nameExact || q.packaged(r) }) {
		name += ":" + q.image.Tag
	}
	return hashOf([]string{judgedAs, name, q.image.Digest.String(), v.RuleHash.String(), v.TrustHash.String()}).String()
}

// usable says whether an earlier verdict still counts: it was reached by the same rules and trust, names enough
// signers of today, none of them denied, and time has not changed it since. now is the verdict as far as it is known.
func (q question) usable(known, now mirror.Verdict) bool {
	weak := known.Outcome == mirror.OutcomeException || known.Outcome == mirror.OutcomeWarn
	switch {
	case !known.Outcome.Admits(), known.RuleHash != now.RuleHash, known.TrustHash != now.TrustHash:
		return false
	case !known.Until.IsZero() && !q.now.Before(known.Until), weak && !q.now.Before(known.At.Add(lookAgain)):
		return false
	case (known.VouchedBy == "") != (now.VouchedBy == ""):
		return false
	}
	for _, p := range known.Proofs {
		for _, s := range q.denied {
			if s.MeansKey(p.Identity, p.Key) {
				return false
			}
		}
	}
	return weak || q.proven(known)
}

// proven says whether a verdict names enough distinct identities for every rule, of the image itself.
func (q question) proven(known mirror.Verdict) bool {
	enough := func(l layer, kind string, by []string, count int) bool {
		identities, keys := map[string]bool{}, map[string]bool{}
		for _, p := range known.Proofs {
			one := l.signers[p.Signer].Identity()
			if p.Type == kind && p.Of == (mirror.Digest{}) && slices.Contains(by, p.Signer) && slices.Contains(known.Signers, p.Signer) && (one == "" || one == p.Identity) {
				identities[p.Identity], keys[p.Key.String()] = true, true
			}
		}
		return min(len(identities), len(keys)) >= count
	}
	for _, x := range q.asked {
		for _, r := range x.rules {
			if !enough(x.layer, "", r.Signers, r.Count) {
				return false
			}
			for _, a := range r.Attestations {
				if !enough(x.layer, a.Type, a.By, a.Count) {
					return false
				}
			}
		}
	}
	return true
}

// matched says in words which rules are about the image. Lines are left out, since they move without meaning.
func (q question) matched() (all []string) {
	for _, x := range q.asked {
		for _, r := range x.rules {
			all = append(all, strings.TrimSpace(r.Match+" in "+x.file))
		}
	}
	return all
}
