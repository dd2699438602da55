package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// errOther is a proof of something that is not asked for here.
var errOther = errors.New("something else")

// count gives one proof of each distinct identity that counts for a layer, the earliest that somebody trusted dates.
// One key counts once, however often it signed and however many names it has.
func (q question) count(layer int, s subject, at spot, here *beside, by []string, accepts func(proof) error) (all []counted, flaws []string) {
	place := map[string]int{}
	for _, p := range here.proofs {
		if p.layer != layer || !slices.Contains(by, p.signer) {
			continue
		}
		err := accepts(p)
		if err == errOther {
			continue
		}
		c := counted{proof: p, of: s, at: at}
		if err == nil {
			err = q.date(&c)
		}
		if err != nil {
			flaws = append(flaws, err.Error())
			continue
		}
		if i, known := place[p.Identity]; known {
			if all[i].source == firstSeen && c.source != firstSeen || all[i].source != firstSeen && c.source != firstSeen && c.time.Before(all[i].time) {
				all[i] = c
			}
			continue
		}
		place[p.Identity] = len(all)
		all = append(all, c)
	}
	return all, flaws
}

// date gives a proof its time and says whether its signer counted then.
func (q question) date(c *counted) error {
	s := q.asked[c.layer].signers[c.signer]
	c.time, c.source = c.dated(q.seen)
	when := fmt.Sprintf("%s in %s by %s is of %s (%s)", c.noun(), mirror.Short(c.manifest.Digest), c.signer, c.time.UTC().Format(time.RFC3339), c.source)
	switch {
	case c.time.Before(s.notBefore):
		return fmt.Errorf("%s, and counts from %s on", when, s.notBefore.UTC().Format(time.RFC3339))
	case !s.until.IsZero() && !c.time.Before(s.until):
		return fmt.Errorf("%s, and counts only before %s", when, s.until.UTC().Format(time.RFC3339))
	case c.source == firstSeen && s.until.After(q.now):
		c.until = s.until
	}
	return nil
}

func (p proof) noun() string {
	if p.Type != "" {
		return "attestation"
	}
	return "signature"
}

// young says whether an image has yet to age: since it was signed, where somebody trusted says when, else since we
// first saw it.
func (q question) young(r rule, all []counted) (failure, bool) {
	from, source := q.seen, firstSeen
	for _, c := range all {
		if c.source != firstSeen && (source == firstSeen || c.time.Before(from)) {
			from, source = c.time, c.source
		}
	}
	old := from.Add(r.MinAge)
	if r.MinAge <= 0 || !q.now.Before(old) {
		return failure{}, false
	}
	return failure{lift: skipAge, passes: old, open: r.asks(), reason: mirror.Because(mirror.TooYoung, "rule %q wants an age of %s, and it is of %s (%s): old enough at %s",
		r.Match, r.MinAge, from.UTC().Format(time.RFC3339), source, old.UTC().Format(time.RFC3339))}, true
}
