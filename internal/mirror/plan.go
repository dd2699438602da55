package mirror

import (
	"errors"
	"fmt"
	"time"
)

// Kind is what an action does.
type Kind string

// The kinds of action, in the order in which a plan is read.
const (
	Fetch     Kind = "fetch"     // its bytes were not seen yet: they are fetched first, then judged
	Copy      Kind = "copy"      // content is to come to To
	Tag       Kind = "tag"       // content is there, the tag of To is to move
	Render    Kind = "render"    // a file of the fleet repository is to change
	Drop      Kind = "drop"      // no longer asked for: it leaves the record, its content and tag stay; in previews
	Refuse    Kind = "refuse"    // waits for a changed input
	Missing   Kind = "missing"   // upstream has no such thing
	Failed    Kind = "failed"    // could not be done now; a retry may help
	Unchanged Kind = "unchanged" // as desired
	Skip      Kind = "skip"      // left out by whoever asked: --only, a saved plan
)

// ReasonCode says in one stable word why an action is what it is.
type ReasonCode string

// The reasons of actions and verdicts.
const (
	NotFetched      ReasonCode = "not-fetched"      // its bytes were not seen yet, so its digest is not known
	NotInRegistry   ReasonCode = "not-in-registry"  // the local registry does not hold the digest
	TagAbsent       ReasonCode = "tag-absent"       // content is here, the stage tag is not
	TagBehind       ReasonCode = "tag-behind"       // the stage tag names the digest that stood before
	Drift           ReasonCode = "drift"            // someone else moved a tag of ours
	AsDesired       ReasonCode = "as-desired"       // nothing to do
	FileChanged     ReasonCode = "file-changed"     // a rendered file differs
	Collision       ReasonCode = "collision"        // two digests for one local tag
	ForeignTag      ReasonCode = "foreign-tag"      // the tag was there before us
	NotBelow        ReasonCode = "not-in-previous"  // never stood in the stage before
	Incomplete      ReasonCode = "incomplete"       // an atomic set lacks entries
	Held            ReasonCode = "held"             // another entry of the atomic set is not ready
	NotWhole        ReasonCode = "not-whole"        // somebody asked for a part of an atomic set
	BasedOnMoved    ReasonCode = "based-on-moved"   // the replacement was made for another release
	UpstreamMissing ReasonCode = "upstream-missing" // upstream answers that there is no such thing
	UpstreamFailed  ReasonCode = "upstream-failed"  // upstream could not be asked
	LocalFailed     ReasonCode = "local-failed"     // the local registry could not do it
	Signed          ReasonCode = "signed"           // enough distinct signers vouch
	PinnedCommit    ReasonCode = "pinned"           // a reviewed commit names the digest
	Excepted        ReasonCode = "exception"        // an exception admits it until its end
	Warned          ReasonCode = "warn"             // policy does not admit it and is not enforced at this stage
	Denied          ReasonCode = "denied"           // the deny list names it
	NoRule          ReasonCode = "no-rule"          // no rule matches, default deny
	NoSignature     ReasonCode = "no-signature"     // none found; retried, since signers lag behind pushes
	BadSignature    ReasonCode = "bad-signature"    // found and not acceptable; retried where a wanted one may still come
	NoAttestation   ReasonCode = "no-attestation"   // none of the wanted type found; retried like a signature
	BadAttestation  ReasonCode = "bad-attestation"  // found and not acceptable; retried like a signature
	Soaking         ReasonCode = "soaking"          // it has to stand in the stage below for longer; time alone mends it
	OutOfWindow     ReasonCode = "out-of-window"    // nothing moves at this hour; time alone mends it
	Frozen          ReasonCode = "frozen"           // nothing moves until a day; time alone mends it
	NotApproved     ReasonCode = "not-approved"     // people who may do so have not approved it
	NotChecked      ReasonCode = "not-checked"      // a check that is asked for has not succeeded
	NotAllowed      ReasonCode = "not-allowed"      // somebody outside who is asked says no
	NotKnown        ReasonCode = "not-known"        // whether a gate is open could not be learnt; asked again
	Downgrade       ReasonCode = "downgrade"        // it is older than what stands and not marked as a rollback
	Immutable       ReasonCode = "immutable"        // the same tag stood here with other content
	Overwrites      ReasonCode = "overwrites"       // a version of a package never changes its bytes in the last stage
	Removes         ReasonCode = "removes"          // a version of a package does not leave a stage because its file lacks it
	NotAll          ReasonCode = "not-all"          // the stage takes all that stands below, or nothing
	TooLate         ReasonCode = "too-late"         // it waited for its time longer than it may
	TooYoung        ReasonCode = "too-young"        // it has to age first; time alone mends it
	NotPinned       ReasonCode = "not-pinned"       // policy wants a digest in desired/, the entry has a tag only
	NotVerified     ReasonCode = "not-verified"     // could not be checked
	BadContent      ReasonCode = "bad-content"      // bytes do not match their digest or size
	NotSelected     ReasonCode = "not-selected"     // somebody asked for other entries only
	NotAsked        ReasonCode = "not-asked"        // desired/ or the stage file names it no more
	Paused          ReasonCode = "suspended"        // somebody suspended the set
	Misread         ReasonCode = "misread"          // a rendered file would not be read as it is meant
	Unsealed        ReasonCode = "unsealed"         // a Secret could not be encrypted, so nothing of its folder is written
	NotHeld         ReasonCode = "not-held"         // a rendered file would name content that the local registry lacks
	Offline         ReasonCode = "offline"          // nobody may be asked now, so it is not known
)

// ErrNotFetched says of a package that its bytes were not seen yet: they are being fetched, and its digest is known then.
var ErrNotFetched = errors.New("its bytes were not seen yet")

// ErrOffline is in the chain of every error that means: this would need the network, and nothing may be asked.
var ErrOffline = errors.New("unknown, offline")

// Reason is why, for people and for programs.
type Reason struct {
	Code    ReasonCode `json:"code"`
	Detail  string     `json:"detail,omitempty"`
	Problem string     `json:"problem,omitempty"` // the code of the problem behind it, such as AUTH002; "" for none
	Mend    string     `json:"mend,omitempty"`    // what would make policy admit it, in words; "" where the code says enough
	Fix     string     `json:"-"`                 // what mends that problem; "" where the code says enough
}

// Because makes a reason; the detail is built as by fmt.Sprintf.
func Because(code ReasonCode, format string, args ...any) Reason {
	return Reason{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// String gives the detail, or the code where there is none.
func (r Reason) String() string {
	if r.Detail == "" {
		return string(r.Code)
	}
	return r.Detail
}

// Waits says whether a refusal waits for time, people or checks rather than for a change in desired/ or policy.
func (r Reason) Waits() bool {
	switch r.Code {
	case Soaking, OutOfWindow, Frozen, NotApproved, NotChecked, NotAllowed, NotKnown, TooYoung:
		return true
	}
	return false
}

// Gate is one condition of a promotion, with its reason for yes and no.
type Gate struct {
	Name   string     `json:"name"` // such as soak or approvals, as in the policy
	Open   bool       `json:"open"`
	Exempt bool       `json:"exempt,omitempty"` // open because it is a rollback
	Code   ReasonCode `json:"code,omitempty"`   // of a gate that is closed
	Why    string     `json:"why"`
	Until  time.Time  `json:"until,omitzero"` // when time alone opens it or, of one that is open, closes it

	Warning string `json:"warning,omitempty"` // of one that is open: what will close it before the others open
}

// Action is one thing to do or to leave, with its reason.
type Action struct {
	Kind   Kind      `json:"kind"`
	Key    Key       `json:"key"`
	Stage  Stage     `json:"stage,omitempty"`
	Image  Reference `json:"image,omitzero"` // upstream reference with digest: what rules match and overrides carry
	From   Reference `json:"from,omitzero"`  // where the bytes are read
	To     Reference `json:"to,omitzero"`    // local repository and stage tag
	Old    Digest    `json:"old,omitzero"`   // what the stage tag names now, as far as known
	New    Digest    `json:"new,omitzero"`   // what it is to name
	Path   string    `json:"path,omitempty"` // of a rendered file
	Vouch  string    `json:"vouch,omitempty"`
	Reason Reason    `json:"reason"`
	Where  Position  `json:"where,omitzero"` // the line that asks for it

	Outcome  Outcome  `json:"outcome,omitempty"`  // what policy says, where it was asked
	Basis    string   `json:"basis,omitempty"`    // what admits it, in words: signed by release
	Warnings []string `json:"warnings,omitempty"` // what people should know of it although policy admits it
	Stands   bool     `json:"stands,omitempty"`   // refused, and stands here: policy admits no longer what it admitted
	Size     Size     `json:"size,omitzero"`      // of a copy, in previews
	AsBefore bool     `json:"asBefore,omitempty"` // refused, missing or warned of: as the last run found it

	Gates    []Gate    `json:"gates,omitempty"`    // of a promotion, each with its reason
	Until    time.Time `json:"until,omitzero"`     // when time alone may open the gates that are closed
	Asked    string    `json:"asked,omitempty"`    // of a promotion: the commit that asks for it
	Proposal int       `json:"proposal,omitempty"` // of a promotion: the proposal that brought that commit; 0 for none
	Rollback bool      `json:"rollback,omitempty"` // it returns to what stood here before
}

// Size is how much content an action brings, without signatures. What several images share is counted at each
// of them; the totals of a plan count it once.
type Size struct {
	Layers  int    `json:"layers"`
	Bytes   int64  `json:"bytes"`             // of all blobs
	Here    int64  `json:"here"`              // of those, bytes that the local registry has already
	Unknown string `json:"unknown,omitempty"` // why the size could not be learnt
}

// Plan is what a step of the line would do, computed from values alone.
type Plan struct {
	Commit  string   `json:"commit"`
	Set     string   `json:"set"`
	Actions []Action `json:"actions"`
	Before  Record   `json:"-"` // the record that was planned from
	After   Record   `json:"-"` // the record as it would be; previews render from it

	// Released gives the versions of packages that policy lets leave an upper stage whose file lists them no more.
	Released map[Stage]map[string]bool `json:"-"`

	// Dropped gives the commits that took entries which stand out of their stage file, by stage and entry.
	Dropped map[Stage]map[string]string `json:"-"`
}

// Count gives how many actions are of a kind.
func (p Plan) Count(k Kind) int {
	n := 0
	for _, a := range p.Actions {
		if a.Kind == k {
			n++
		}
	}
	return n
}

// Inventory is what the local registry holds of a set, as far as it was asked.
type Inventory struct {
	Tags  map[string]Digest // by pointer (host/repository:tag): what the tag names; zero digest: no such tag
	Whole map[string]bool   // by host/repository@digest: the content is known to be complete there
	Ours  map[string]bool   // by pointer: we know that we wrote this tag, whatever it names now
}

// Named gives what a pointer names and whether that is known.
func (i Inventory) Named(pointer Reference) (Digest, bool) {
	d, ok := i.Tags[pointer.WithDigest(Digest{}).String()]
	return d, ok
}

// Holds says whether the repository of r is known to hold the whole content d.
func (i Inventory) Holds(r Reference, d Digest) bool { return i.Whole[r.AtDigest(d).String()] }

// Done is the end of one action.
type Done struct {
	Action  Action
	Verdict Verdict
	Bytes   int64 // blob bytes that crossed
	Err     error
}
