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
func (q question) count(layer int, s subject, at spot, here *beside, by []string, accepts func(proof) error) (all []counted, flaws []flaw) {
	var wrong []counted // one for each flaw
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
			wrong = append(wrong, c)
			flaws = append(flaws, flaw{text: err.Error()})
			continue
		}
		same := slices.IndexFunc(all, c.same)
		switch {
		case same < 0:
			all = append(all, c)
		case all[same].Identity == c.Identity && c.older(all[same]) && !slices.ContainsFunc(all[same+1:], c.same):
			all[same] = c
		}
	}
	left := flaws[:0]
	for i, c := range wrong {
		if !slices.ContainsFunc(all, c.same) { // who counts by another one has nothing to mend
			left = append(left, flaws[i])
		}
	}
	return all, left
}

// same says whether two proofs are not of two signers: of one identity or of one key, or both of one signature, which
// one signer made however many names fit.
func (c counted) same(d counted) bool {
	return c.Identity == d.Identity || c.Key == d.Key && c.Key != (mirror.Digest{}) || c.sight == d.sight && c.sight != (mirror.Digest{})
}

// older says whether somebody trusted dates a proof, and dates it earlier than another.
func (c counted) older(d counted) bool {
	return c.source != FirstSeen && (d.source == FirstSeen || c.time.Before(d.time))
}

// date gives a proof its time and says whether its signer counted then. That a signature is old proves nothing of its
// beginning: who holds the key may leave out the timestamp of an older one, so that it looks like a new one.
func (q question) date(c *counted) error {
	s := q.asked[c.layer].signers[c.signer]
	c.time, c.source = c.dated()
	when := fmt.Sprintf("%s in %s by %s is of %s (%s)", c.noun(), mirror.Short(c.manifest.Digest), c.signer, c.time.UTC().Format(time.RFC3339), c.source)
	switch {
	case !s.notBefore.IsZero() && c.source == FirstSeen:
		return fmt.Errorf("nothing that is trusted says when the %s in %s by %s was made, and it counts from %s on", c.noun(), mirror.Short(c.manifest.Digest), c.signer, s.notBefore.UTC().Format(time.RFC3339))
	case c.time.Before(s.notBefore):
		return fmt.Errorf("%s, and counts from %s on", when, s.notBefore.UTC().Format(time.RFC3339))
	case !s.until.IsZero() && !c.time.Before(s.until):
		return fmt.Errorf("%s, and counts only before %s", when, s.until.UTC().Format(time.RFC3339))
	case c.source == FirstSeen && s.until.After(q.now):
		c.until = s.until
	}
	c.until = earlier(c.until, c.Until)
	return nil
}

func (p proof) noun() string {
	if p.Type != "" {
		return "attestation"
	}
	return "signature"
}

// young says whether an image has yet to age: since it was signed, where somebody trusted says when, else since we
// first saw it. How old the manifests of its index are says nothing of the index.
func (q question) young(r rule, all []counted) (failure, bool) {
	from, source := q.seen, FirstSeen
	for _, c := range all {
		if !c.of.child && c.source != FirstSeen && (source == FirstSeen || c.time.Before(from)) {
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
