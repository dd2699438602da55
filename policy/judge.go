package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// proof is one valid signature, by a known signer, over the digest that is asked for.
type proof struct {
	trust.Proof
	signer   string            // who accepts it
	manifest mirror.Descriptor // where it lies
}

// fits says whether a name inside the proof satisfies the rule. A bundle without a name counts where the
// repository is asked for (cosign writes none), not where the exact tag is. A legacy payload always has its
// one name, and an empty one fits nothing.
func (r rule) fits(p proof, image mirror.Reference) bool {
	if r.Reference == nameAny || (r.Reference == nameRepository && len(p.Names) == 0) {
		return true
	}
	return slices.ContainsFunc(p.Names, func(name string) bool {
		claimed, err := mirror.ParseReference(name)
		if err != nil || claimed.Name() != image.Name() || (claimed.HasDigest() && claimed.Digest != image.Digest) {
			return false
		}
		return r.Reference == nameRepository || (r.Reference == nameExact && claimed.Tag == image.Tag)
	})
}

// evidence is all that was found beside an image.
type evidence struct {
	items  int // signatures, valid or not
	proofs []proof
	faults []string
}

// count gives the names of the signers of distinct identity that satisfy the rule and the manifests that hold their
// signatures. One key counts once, however often it signed and however many names it has.
func (l layer) count(r rule, image mirror.Reference, proofs []proof) (names []string, manifests []mirror.Descriptor) {
	seen := map[string]bool{}
	for _, f := range proofs {
		if !slices.Contains(r.Signers, f.signer) || !r.fits(f, image) || seen[f.Identity] {
			continue
		}
		seen[f.Identity] = true
		names = append(names, f.signer)
		manifests = append(manifests, f.manifest)
	}
	return names, manifests
}

// satisfied says whether every rule has its signatures; pinned rules ask for none.
func (p layer) satisfied(rules []rule, image mirror.Reference, proofs []proof) bool {
	return !slices.ContainsFunc(rules, func(r rule) bool {
		names, _ := p.count(r, image, proofs)
		return len(names) < r.Count
	})
}

// judge decides from what was found. v carries the hashes and, where a rule asks for a pinned digest, the
// commit that vouches.
func (p layer) judge(rules []rule, image mirror.Reference, found evidence, v mirror.Verdict) mirror.Verdict {
	for _, r := range rules {
		names, manifests := p.count(r, image, found.proofs)
		if len(names) < r.Count {
			return p.insufficient(r, names, image, found, v)
		}
		for i, name := range names {
			if !slices.Contains(v.Signers, name) {
				v.Signers = append(v.Signers, name)
			}
			if !slices.ContainsFunc(v.Evidence, func(e mirror.Evidence) bool { return e.Digest == manifests[i].Digest }) {
				v.Evidence = append(v.Evidence, mirror.Evidence{Descriptor: manifests[i]})
			}
		}
	}
	slices.Sort(v.Signers)
	v.Outcome = mirror.OutcomeSigned
	v.Reason = mirror.Because(mirror.Signed, "signed by %s", strings.Join(v.Signers, ", "))
	return v
}

// insufficient tells a missing signature, which may still come, from one that is there and does not count.
func (p layer) insufficient(r rule, have []string, image mirror.Reference, found evidence, v mirror.Verdict) mirror.Verdict {
	v.Outcome, v.Signers, v.Evidence = mirror.OutcomeRejected, nil, nil
	want := fmt.Sprintf("rule %q wants %d of %s", r.Match, r.Count, strings.Join(r.Signers, ", "))
	if len(have) > 0 {
		want += ", signed by " + strings.Join(have, ", ")
	}
	faults := found.faults
	for _, f := range found.proofs {
		if slices.Contains(r.Signers, f.signer) && !r.fits(f, image) {
			faults = append(faults, fmt.Sprintf("signature in %s is for %s", mirror.Short(f.manifest.Digest), named(f.Names)))
		}
	}
	if found.items == 0 && len(faults) == 0 {
		v.Reason = mirror.Because(mirror.NoSignature, "no signature found: %s", want)
		return v
	}
	if len(faults) == 0 {
		v.Reason = mirror.Because(mirror.NoSignature, "a signature is missing: %s", want)
		return v
	}
	v.Reason = mirror.Because(mirror.BadSignature, "no acceptable signature: %s; %s", want, shown(faults))
	return v
}

func named(names []string) string {
	if len(names) == 0 {
		return "no named image"
	}
	return strings.Join(names, ", ")
}

// What of the faults is told: a registry chooses their number and part of their text.
const (
	shownFaults = 3
	shownRunes  = 160
)

func shown(faults []string) string {
	var parts []string
	for _, f := range faults[:min(len(faults), shownFaults)] {
		parts = append(parts, printable(f))
	}
	if more := len(faults) - shownFaults; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

// printable makes text from a registry safe for a terminal and a log line.
func printable(s string) string {
	return mirror.Shorten(mirror.Printable(s), shownRunes)
}
