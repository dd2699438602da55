package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// mendSignatures says what has to be done so that a rule finds its signatures of a subject: who is missing, or under
// which name it ought to have been signed.
func (q question) mendSignatures(layer int, r rule, s subject, have []counted, here *beside) string {
	image := q.image.WithDigest(s.digest)
	theirs := func(p proof) bool { return p.layer == layer && p.Type == "" && slices.Contains(r.Signers, p.signer) }
	otherwise := func(p proof) bool { return theirs(p) && !r.fits(p, image) }
	if slices.ContainsFunc(here.proofs, func(p proof) bool { return otherwise(p) && p.OfPackage() }) {
		return "find out who put another package in the place of " + packageOf(image) + "; do not admit it"
	}
	if slices.ContainsFunc(here.proofs, otherwise) {
		return fmt.Sprintf("have it signed under the name %s, or set reference: any, or {remap: ...}, in the rule at %s%s", r.naming(q.image), r.where, q.askedBy(layer))
	}
	text := "have " + s.words() + "signed by " + missingOf(r.Count, have, r.Signers) + q.askedBy(layer)
	if here.items > 0 && !slices.ContainsFunc(here.proofs, theirs) {
		text += "; what was found is by nobody whom the rule names: ask whoever made it, and do not admit it for that"
	}
	return text
}

// mendAttestation says who has to attest what so that a rule finds it.
func (q question) mendAttestation(layer int, a attestation, s subject, have []counted) string {
	return "have " + s.words() + "attested (" + a.Type + ") by " + missingOf(a.Count, have, a.By) + q.askedBy(layer)
}

// askedBy names the document where that is not the fleet's.
func (q question) askedBy(layer int) string {
	if x := q.asked[layer]; x.floor {
		return ", whom " + x.file + ", this site's floor, asks for"
	}
	return ""
}

// words names a subject.
func (s subject) words() string {
	if s.child {
		return "its manifest " + s.digest.String() + " "
	}
	return "it "
}

// missingOf names those of whom n in all are wanted and some are there.
func missingOf(n int, have []counted, of []string) string {
	there := signers(have)
	left := slices.DeleteFunc(slices.Clone(of), func(name string) bool { return slices.Contains(there, name) })
	if n -= len(have); n == len(left) || n < 1 {
		return strings.Join(left, ", ")
	}
	return fmt.Sprintf("%d of %s", n, strings.Join(left, ", "))
}

// with gives the failure with what mends it.
func (f failure) with(mend string) failure {
	f.reason.Mend = mirror.Clean(mend)
	return f
}
