package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// tell writes into the verdict what it stands on.
func (q question) tell(v *mirror.Verdict, all []decision) {
	admits := v.Outcome.Admits()
	for _, d := range all {
		v.Until = earlier(v.Until, d.until)
		for _, c := range d.counted {
			v.Proofs = appendNew(v.Proofs, q.proof(c), func(a, b mirror.Proof) bool {
				return a.Signer == b.Signer && a.Identity == b.Identity && a.Type == b.Type && a.Of == b.Of && a.Manifest == b.Manifest
			})
			if !admits {
				continue
			}
			v.Signers = append(v.Signers, c.signer)
			if c.manifest.Digest == c.of.digest {
				continue // inside of what it is about, which comes as a whole
			}
			v.Evidence = appendNew(v.Evidence, q.evidence(c), func(a, b mirror.Evidence) bool { return a.Digest == b.Digest && a.In == b.In })
		}
		if admits {
			v.Warnings = append(v.Warnings, d.warnings...)
		}
		if d.exception != nil && admits && (v.Exception == nil || d.exception.Until.Before(v.Exception.Until)) {
			told := d.exception.told()
			v.Exception = &told
		}
	}
	slices.Sort(v.Signers)
	v.Signers = slices.Compact(v.Signers)
	if v.Outcome == mirror.OutcomeSigned {
		v.Reason = mirror.Because(mirror.Signed, "%s", vouchers(slices.Concat(countedOf(all)...)))
	}
	if !admits && v.Reason.Code != mirror.TooYoung {
		v.Until = time.Time{} // something else is in the way
	}
}

func countedOf(all []decision) (lists [][]counted) {
	for _, d := range all {
		lists = append(lists, d.counted)
	}
	return lists
}

func (q question) proof(c counted) mirror.Proof {
	p := mirror.Proof{Signer: c.signer, Identity: c.Identity, Type: c.Type, Manifest: c.manifest.Digest, Sight: c.sight, Key: c.Key, Names: c.Names, Time: c.time, Source: c.source}
	if c.of.child {
		p.Of = c.of.digest
	}
	return p
}

func (q question) evidence(c counted) mirror.Evidence {
	e := mirror.Evidence{Descriptor: c.manifest}
	if c.of.child {
		e.Of = c.of.digest
	}
	if c.at.repository != q.source {
		e.In = c.at.repository
	}
	return e
}

// vouchers says in words who signed and who attested.
func vouchers(all []counted) string {
	var signed, attested []counted
	for _, c := range all {
		if c.Type == "" {
			signed = append(signed, c)
		} else {
			attested = append(attested, c)
		}
	}
	var parts []string
	if len(signed) > 0 {
		parts = append(parts, "signed by "+strings.Join(signers(signed), ", "))
	}
	if len(attested) > 0 {
		parts = append(parts, "attested by "+strings.Join(signers(attested), ", "))
	}
	return strings.Join(parts, ", ")
}

// ending gives the warning that belongs to a verdict by an exception, from some days before its end.
func ending(v mirror.Verdict, now time.Time) []string {
	if e := v.Exception; e != nil && !now.Before(e.Until.Add(-warnBefore)) {
		return []string{fmt.Sprintf("the exception for %s ends at %s (%s, approved by %s); from then on it is refused", e.Match, e.Until.UTC().Format(time.RFC3339), e.Reason, e.ApprovedBy)}
	}
	return nil
}

func joined(all []skip) string {
	var words []string
	for _, s := range all {
		words = append(words, string(s))
	}
	return strings.Join(words, ", ")
}
