package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// ruling is what one layer finds, before modes and exceptions.
type ruling struct {
	failures []failure
	signed   bool // signatures or attestations were asked for
	pinned   bool // a commit that vouches was asked for
	counted  []counted
}

// failure is a requirement that is not met.
type failure struct {
	lift   skip // what an exception has to lift; "" for what none can
	reason mirror.Reason
	passes time.Time // when time alone mends it; zero: never
	open   bool      // more evidence might mend it
	comes  bool      // a wanted signature or attestation may still come: no other one by its signer is wrong
	err    error     // it could not be asked
}

// counted is a proof that a rule counts.
type counted struct {
	proof
	of     subject
	at     spot
	time   time.Time
	source string    // of the time
	until  time.Time // when the signer's time or its certificate ends, where only what we saw ourselves says that it signed before
}

// judge holds one layer's rules against what was found.
func (q question) judge(layer int, found evidence, subjects int) ruling {
	x := q.asked[layer]
	var r ruling
	if len(x.rules) == 0 && !x.open {
		r.failures = []failure{{reason: mirror.Because(mirror.NoRule, "no rule of %s matches %s at stage %s; add one to let it in", x.file, q.image.Name(), q.stage)}}
	}
	for _, rule := range x.rules {
		r.signed = r.signed || rule.asks()
		if rule.Pinned {
			r.pinned = true
			if q.vouch.by == "" {
				r.failures = append(r.failures, failure{lift: skipPinned, reason: q.vouch.reason, err: q.vouch.err})
			}
		}
		var all []counted
		for _, s := range found.subjects[:min(subjects, len(found.subjects))] {
			if s.child && !rule.Each {
				continue
			}
			have, failed := q.tally(layer, rule, s, found)
			all = append(all, have...)
			r.failures = append(r.failures, failed...)
		}
		if rule.Each && found.unlisted != "" {
			r.failures = append(r.failures, rule.unlisted(found.unlisted)...)
		}
		r.counted = append(r.counted, all...)
		if failed, ok := q.young(rule, all); ok {
			r.failures = append(r.failures, failed)
		}
	}
	return r
}

// unlisted gives the failures of a rule about platforms that are not known, one for each requirement, so that an
// exception lifts no other. They are open: where nobody could be asked, there is trouble too, and then nothing is known.
func (r rule) unlisted(why string) (all []failure) {
	of := func(w words) failure {
		return failure{lift: w.lift, open: true, reason: mirror.Because(w.wrong, "its platforms cannot be checked: %s", printable(why))}
	}
	if r.Count > 0 {
		all = append(all, of(signatureWords))
	}
	if len(r.Attestations) > 0 {
		all = append(all, of(attestationWords))
	}
	return all
}

// tally counts signatures and attestations of one subject for one rule.
func (q question) tally(layer int, r rule, s subject, found evidence) (all []counted, failed []failure) {
	image := q.image.WithDigest(s.digest)
	at := q.spot(r, s.digest)
	here := found.at(at)
	if r.Count > 0 {
		have, flaws := q.count(layer, s, at, here, r.Signers, func(p proof) error {
			switch {
			case p.Type != "":
				return errOther
			case !r.fits(p, image):
				return fmt.Errorf("signature in %s is for %s", mirror.Short(p.manifest.Digest), named(p.Names))
			}
			return nil
		})
		all = append(all, have...)
		if len(have) < r.Count {
			want := fmt.Sprintf("rule %q wants %d of %s%s", r.Match, r.Count, strings.Join(r.Signers, ", "), whose(r.Count, have, r.Signers))
			failed = append(failed, missing(want, have, here, append(here.of(aboutSignatures), flaws...), s, signatureWords).with(q.mendSignatures(layer, r, s, have, here)))
		}
	}
	for _, a := range r.Attestations {
		have, flaws := q.count(layer, s, at, here, a.By, func(p proof) error {
			if p.Type != a.Type {
				return errOther
			}
			if err := p.met[a.id()]; err != nil {
				return fmt.Errorf("attestation in %s: %w", mirror.Short(p.manifest.Digest), err)
			}
			return nil
		})
		all = append(all, have...)
		if len(have) < a.Count {
			want := fmt.Sprintf("rule %q wants %s of %d of %s%s", r.Match, a.Type, a.Count, strings.Join(a.By, ", "), whose(a.Count, have, a.By))
			failed = append(failed, missing(want, have, here, append(here.of(aboutAttestations), flaws...), s, attestationWords).with(q.mendAttestation(layer, a, s, have)))
		}
	}
	return all, failed
}

// words are how a missing thing is told.
type words struct {
	lift        skip
	none, wrong mirror.ReasonCode
	noun        string
}

var (
	signatureWords   = words{skipSignatures, mirror.NoSignature, mirror.BadSignature, "signature"}
	attestationWords = words{skipAttestations, mirror.NoAttestation, mirror.BadAttestation, "attestation"}
)

// missing tells what may still come from what is there and does not count.
func missing(want string, have []counted, here *beside, flaws []flaw, s subject, w words) failure {
	definite := func(f flaw) bool { return !f.foreign }
	f := failure{lift: w.lift, open: true, comes: !slices.ContainsFunc(flaws, definite)}
	if s.child {
		want = "for manifest " + mirror.Short(s.digest) + " " + want
	}
	switch {
	case len(flaws) > 0:
		f.reason = mirror.Because(w.wrong, "no acceptable %s: %s; %s", w.noun, want, shown(flaws))
	case here.items == 0:
		f.reason = mirror.Because(w.none, "no %s found: %s", w.noun, want)
	default:
		f.reason = mirror.Because(w.none, "a wanted %s is missing: %s", w.noun, want)
	}
	return f
}

// whose says who is there and who is missing; nothing where all are.
func whose(n int, have []counted, of []string) string {
	if len(have) == 0 {
		return ""
	}
	there := signers(have)
	return fmt.Sprintf(", has %s; %s", strings.Join(there, ", "), lacking(n-len(have), there, of))
}

// signers gives the names of those who made proofs, each once, sorted.
func signers(all []counted) []string {
	var names []string
	for _, c := range all {
		names = append(names, c.signer)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// of lists the flaws that are of interest to a requirement.
func (b *beside) of(a about) (all []flaw) {
	for _, f := range b.flaws {
		if f.about&a != 0 {
			all = append(all, f)
		}
	}
	return all
}

// satisfied says whether every layer admits by what was found beside the first subjects, without any exception.
func (q question) satisfied(found evidence, subjects int) bool {
	for i := range q.asked {
		if len(q.judge(i, found, subjects).failures) > 0 {
			return false
		}
	}
	return true
}

func named(names []string) string {
	if len(names) == 0 {
		return "no named image"
	}
	return strings.Join(names, ", ")
}

// What is told of the flaws: a registry chooses their number and part of their text.
const (
	shownFlaws    = 3 // in a reason
	shownFindings = 10
	shownRunes    = 400
)

func shown(flaws []flaw) string {
	var parts []string
	for _, f := range flaws[:min(len(flaws), shownFlaws)] {
		parts = append(parts, printable(f.text))
	}
	if more := len(flaws) - shownFlaws; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

// findings lists some of what was found and does not count.
func findings(found evidence) (all []string) {
	flaws := found.flaws()
	for _, f := range flaws[:min(len(flaws), shownFindings)] {
		all = append(all, printable(f))
	}
	return all
}

// printable makes text from a registry safe for a terminal and a log line.
func printable(s string) string {
	return mirror.Shorten(mirror.Printable(s), shownRunes)
}
