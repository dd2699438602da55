package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// warnBefore is how long before the end of an exception people are warned.
const warnBefore = 14 * 24 * time.Hour

// decision is what one layer says of the image, with modes and exceptions.
type decision struct {
	ruling
	layer     int
	outcome   mirror.Outcome // "" leaves it to the other layers
	reason    mirror.Reason
	exception *exception
	until     time.Time
	open      bool // of a refusal: a wanted signature or attestation may still come
	warnings  []string
	err       error // of an unknown one
}

// settle gives the verdict of all layers over what was found. All of them must admit, and the verdict is as weak as
// the weakest. trouble is what could not be read: where it may hide what is missing, nothing is known.
func (q question) settle(found evidence, trouble error, v mirror.Verdict) (mirror.Verdict, error) {
	var all []decision
	for i := range q.asked {
		all = append(all, q.decide(i, found, trouble))
	}
	if !slices.ContainsFunc(all, decision.says) {
		d := decision{}
		q.refuse(&d, []failure{{reason: q.nobodyVouches()}}, nil)
		all = []decision{d}
	}
	weakest := decision{}
	for _, d := range all {
		if weight(d.outcome) > weight(weakest.outcome) {
			weakest = d
		}
	}
	v.Outcome, v.Reason, v.Open = weakest.outcome, weakest.reason, weakest.open
	v.Findings = findings(found)
	q.tell(&v, all)
	if v.Outcome == mirror.OutcomeUnknown {
		return unknown(v, weakest.err)
	}
	return v, nil
}

// says says whether the layer vouches for the image or refuses it: one that asks for its age alone does not, also where
// an exception lifts that.
func (d decision) says() bool {
	return d.outcome != "" && (d.outcome != mirror.OutcomeException || d.signed || d.pinned)
}

// weight orders outcomes: the heavier of two layers is the verdict.
func weight(o mirror.Outcome) int {
	return slices.Index([]mirror.Outcome{"", mirror.OutcomeSigned, mirror.OutcomePinned, mirror.OutcomeException, mirror.OutcomeWarn, mirror.OutcomeUnknown, mirror.OutcomeRejected}, o)
}

// nobodyVouches is the reason where rules match that ask for age alone, or none does.
func (q question) nobodyVouches() mirror.Reason {
	if len(q.rules()) == 0 {
		return mirror.Because(mirror.NoRule, "no policy says anything of %s at stage %s", q.image.Name(), q.stage)
	}
	return mirror.Because(mirror.NoRule, "the rules that match %s ask for its age alone; one that asks for signers, attestations or pinned must match too", q.image.Name())
}

// decide applies exceptions and modes to what a layer finds.
func (q question) decide(layer int, found evidence, trouble error) decision {
	d := decision{layer: layer, ruling: q.judge(layer, found, max(len(found.subjects), 1))}
	for _, c := range d.counted {
		d.until = earlier(d.until, c.until)
	}
	left := q.lift(&d)
	switch {
	case len(left) > 0:
		q.refuse(&d, left, trouble)
	case d.exception != nil:
		e := d.exception
		d.outcome = mirror.OutcomeException
		d.reason = mirror.Because(mirror.Excepted, "%s by %s lifts %s until %s", e.Reason, e.ApprovedBy, joined(e.Skip), e.Until.UTC().Format(time.RFC3339))
	case d.signed:
		d.outcome, d.reason = mirror.OutcomeSigned, mirror.Because(mirror.Signed, "%s", vouchers(d.counted))
	case d.pinned:
		d.outcome, d.reason = mirror.OutcomePinned, mirror.Because(mirror.PinnedCommit, "pinned")
	}
	return d
}

// lift takes out the failures that an exception in force lifts, and gives those that are left. The verdict names the
// exception that ends first.
func (q question) lift(d *decision) (left []failure) {
	for _, f := range d.failures {
		e := q.lifted(d.layer, f)
		if e == nil {
			left = append(left, f)
			continue
		}
		d.until = earlier(d.until, e.Until)
		if d.exception == nil || e.Until.Before(d.exception.Until) {
			d.exception = e
		}
	}
	return left
}

// lifted gives the exception of a layer that lifts a failure and stays longest; nil when none does.
func (q question) lifted(layer int, f failure) *exception {
	var found *exception
	for i, e := range q.asked[layer].exceptions {
		if f.lift != "" && slices.Contains(e.Skip, f.lift) && q.now.Before(e.Until) && (found == nil || e.Until.After(found.Until)) {
			found = &q.asked[layer].exceptions[i]
		}
	}
	return found
}

// stuck says whether an enforced layer lacks signatures or attestations of the first subjects that no exception
// lifts, so that nothing else that might be read would admit the image.
func (q question) stuck(found evidence, subjects int) bool {
	for i, x := range q.asked {
		if x.mode != modeEnforce {
			continue
		}
		for _, f := range q.judge(i, found, subjects).failures {
			if f.lift != skipAge && f.lift != skipPinned && q.lifted(i, f) == nil {
				return true
			}
		}
	}
	return false
}

// Refusals are the reasons for which policy refuses. Of several the first is told: what no retry mends before what may
// still come.
var Refusals = []mirror.ReasonCode{mirror.Denied, mirror.NoRule, mirror.NotPinned, mirror.BadSignature, mirror.BadAttestation,
	mirror.NoSignature, mirror.NoAttestation, mirror.TooYoung}

// refuse tells what is left of the requirements, or admits it where the layer is not enforced. What more evidence
// might mend is not refused while some could not be read, and a layer that is not enforced admits nothing of which
// something could not be asked.
func (q question) refuse(d *decision, left []failure, trouble error) {
	certain := slices.DeleteFunc(slices.Clone(left), func(f failure) bool { return f.err != nil || f.open && trouble != nil })
	var x asked // of a policy that says nothing at all
	if len(q.asked) > 0 {
		x = q.asked[d.layer]
	}
	lenient := x.mode == modeWarn || x.mode == modeAudit
	if len(certain) == 0 || lenient && len(certain) < len(left) {
		d.outcome = mirror.OutcomeUnknown
		for _, f := range left {
			d.err = errors.Join(d.err, f.err)
		}
		d.err = errors.Join(d.err, trouble)
		return
	}
	slices.SortStableFunc(certain, func(a, b failure) int {
		return slices.Index(Refusals, a.reason.Code) - slices.Index(Refusals, b.reason.Code)
	})
	d.outcome, d.reason = mirror.OutcomeRejected, certain[0].reason
	if certain[0].reason.Code == mirror.TooYoung {
		d.until = time.Time{}
		for _, f := range certain {
			d.until = later(d.until, f.passes)
		}
	}
	for _, e := range x.exceptions {
		if slices.Contains(e.Skip, certain[0].lift) && !q.now.Before(e.Until) {
			d.reason.Detail += fmt.Sprintf("; the exception %s ended at %s", e.Reason, e.Until.UTC().Format(time.RFC3339))
			break
		}
	}
	if x.floor {
		d.reason.Detail += " (" + x.file + ", this site's floor)"
	}
	switch x.mode {
	case modeWarn:
		d.warnings = append(d.warnings, d.reason.Detail)
		d.outcome, d.reason = mirror.OutcomeWarn, mirror.Because(mirror.Warned, "not enforced at stage %s: %s", q.stage, d.reason.Detail)
	case modeAudit:
		d.outcome, d.reason = mirror.OutcomeWarn, mirror.Because(mirror.Warned, "audit only at stage %s: %s", q.stage, d.reason.Detail)
	default:
		wrong := func(f failure) bool {
			return (f.lift == skipSignatures || f.lift == skipAttestations) && !f.comes
		}
		d.open = certain[0].comes && !slices.ContainsFunc(certain, wrong)
	}
}

// earlier gives the earlier of two moments; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// later gives the later of two moments.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// appendNew adds a value unless one like it is there.
func appendNew[T any](all []T, one T, same func(a, b T) bool) []T {
	if slices.ContainsFunc(all, func(have T) bool { return same(have, one) }) {
		return all
	}
	return append(all, one)
}
