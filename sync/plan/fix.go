package plan

import (
	"cmp"
	"fmt"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Fix says what mends an action that cannot be done: who has to change what. It is empty where nothing is to
// be mended.
func Fix(a mirror.Action) string {
	if a.Path != "" {
		return "" // a file follows from the entries
	}
	switch a.Kind {
	case mirror.Refuse, mirror.Missing, mirror.Failed:
	default:
		return ""
	}
	text := Mend(a)
	switch a.Reason.Code {
	case mirror.NoSignature, mirror.BadSignature, mirror.NoAttestation, mirror.BadAttestation:
		if a.Image.HasDigest() && a.Stage != "" {
			text += fmt.Sprintf("; `poundlock explain-verdict %s --stage %s` shows where", a.Image, a.Stage)
		}
	}
	return text
}

// Mend is Fix of what is refused, missing or failed, without the command that tells more of a verdict.
func Mend(a mirror.Action) string {
	if a.Reason.Fix != "" {
		return a.Reason.Fix
	}
	switch a.Reason.Code {
	case mirror.NoRule:
		return "add a rule for " + a.Image.Name() + " to " + mirror.PolicyFile
	case mirror.NoSignature:
		return cmp.Or(a.Reason.Mend, "have it signed by those whom the rule names") + "; or add an exception that skips signatures"
	case mirror.NoAttestation:
		return cmp.Or(a.Reason.Mend, "have somebody state what the rule asks for") + "; or add an exception that skips attestations"
	case mirror.BadAttestation:
		return cmp.Or(a.Reason.Mend, "ask whoever makes the attestation; do not admit it unless they say why it does not hold")
	case mirror.TooYoung:
		return "wait: it is admitted by itself when it is old enough; an exception that skips age admits it now"
	case mirror.BadSignature:
		return cmp.Or(a.Reason.Mend, "ask whoever signed it; do not admit it unless they say which key it was")
	case mirror.Denied:
		return "leave it out with exclude in the set, or take it off the deny list of " + mirror.PolicyFile
	case mirror.NotPinned:
		return fmt.Sprintf("name the digest where the entry is named: %s:%s@sha256:...", a.Image.Name(), a.Image.Tag)
	case mirror.NotVerified:
		return "run `poundlock verify " + a.Image.String() + "` to see why"
	case mirror.Collision:
		return "let both name the same digest, or give one set paths: of its own"
	case mirror.ForeignTag:
		return "set adopt: true in the set to take the tag over, or remove the tag"
	case mirror.NotBelow:
		return "promote it to the stage below first"
	case mirror.Soaking, mirror.OutOfWindow, mirror.Frozen:
		if a.Until.IsZero() {
			return "let it wait: it moves by itself when all its gates are open"
		}
		return "let it wait: it moves by itself at " + a.Until.UTC().Format(time.RFC3339)
	case mirror.NotApproved:
		if a.Asked == "" {
			return "have those approve the proposal who may"
		}
		return "have those approve the proposal who may; where there is none, or the forge takes no approval after the merge, " + askedAgain(a)
	case mirror.NotChecked:
		return "see why the check has not succeeded; it is asked again by itself"
	case mirror.NotAllowed:
		return "ask whoever says no; it is asked again by itself"
	case mirror.NotKnown:
		return "let it wait: it is asked again by itself; `poundlock doctor` shows whether the forge answers"
	case mirror.Downgrade:
		return "promote a newer version, or say in the stage file why it goes back: rollback: <reason>"
	case mirror.Immutable:
		return "promote it under a tag of its own; the gate of this stage never lets a tag change its content"
	case mirror.Overwrites:
		return "take the line back: what changed needs a version of its own, which whoever makes the package has to give it"
	case mirror.Removes:
		return "put the line back into the stage file; between the first stage and the last an exception with skip: [removal] lets it go, at every stage the deny list of " + mirror.PolicyFile + " does"
	case mirror.NotAll:
		return "promote all that stands in the stage below: `poundlock promote " + a.Key.Set + " --to " + string(a.Stage) + "`"
	case mirror.TooLate:
		return askedAgain(a)
	case mirror.Incomplete:
		return "list every entry of the set in the stage file, or exclude those that nobody needs"
	case mirror.Held:
		return "mend what the set waits for; the entries of this set move together"
	case mirror.NotWhole:
		return "select the whole set: --only " + a.Key.Set
	case mirror.Paused:
		return "run `poundlock resume " + a.Key.Set + "` when it may go on"
	case mirror.BasedOnMoved:
		return "rebuild the replacement for the vendor's new image, then set basedOn to its digest"
	case mirror.UpstreamMissing:
		if a.New != (mirror.Digest{}) {
			return "name a current version where the entry is named; what is mirrored already stays and is still served"
		}
		return "correct the tag where it is named, or ask the vendor where the image went"
	case mirror.UpstreamFailed:
		return "run `poundlock doctor` to see which upstream cannot be asked; it is tried again by itself"
	case mirror.LocalFailed:
		return "run `poundlock doctor` to check the local registry; it is tried again by itself"
	case mirror.BadContent:
		return "ask the vendor: what they serve does not match its digest"
	case mirror.Offline:
		return "run it again without --offline"
	case mirror.Drift:
		return "find out who else writes this tag; it is tried again by itself"
	}
	return "run `poundlock trace " + a.Key.String() + "` to see what is known of it"
}

// askedAgain says how to ask again for what a stage file lists already: the line has to go first.
func askedAgain(a mirror.Action) string {
	commit := "the commit that asked for it"
	if a.Asked != "" {
		commit = "commit " + a.Asked[:min(12, len(a.Asked))]
	}
	return "take it back by a `git revert` of " + commit + " (with -m 1 where it is a merge), then ask for it again: `poundlock promote " + a.Key.Set + " --to " + string(a.Stage) + "`"
}
