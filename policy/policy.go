// Package policy says what may come in and where it may stand: it reads desired/policy.yaml and the trust material
// that it names, judges content by the signatures and attestations that belong to it or by the commit that pins it,
// and gates promotions by what stood in the stage before, by time, and by what people and others say.
//
// It promises to fail closed (what no rule matches, what cannot be read and what cannot be checked is not admitted),
// and to read within limits whatever a registry serves. policy/trust verifies single signatures, policy/attest makes
// and reads our own statements. It leaves fetching, credentials and retries to the mirror.Content it is given.
package policy

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// Policy is what must be true of content at one commit: desired/policy.yaml with its trust material and, where this
// site has one, the floor below it. Both are judged apart and both must admit. The zero value admits nothing.
type Policy struct {
	commit string  // of desired/policy.yaml
	layers []layer // the fleet's, then the floor
}

// layer is one policy document.
type layer struct {
	file       string // for reasons: desired/policy.yaml, or the floor's name
	floor      bool
	signers    map[string]signer
	roots      map[string]*trust.Root // by name, for people; what a signer trusts is its own
	rules      []rule
	deny       deny
	exceptions []exception
	gates      []gate
	modes      map[mirror.Stage]mode // "" stands for every stage that is not named; enforce where nothing is said
	open       bool                  // of a floor: what no rule matches is left to the fleet's policy
	named      []namedStage          // by a floor, whose stages are not known when it is read
}

// signer is who may vouch, and from when until when its signatures count.
type signer struct {
	trust.Signer
	notBefore, until time.Time // zero: no bound
}

// rule is what one line of rules requires of the images that it matches. Its JSON form is what its hash is of.
type rule struct {
	Match        string           `json:"match"`
	Stages       []mirror.Stage   `json:"stages,omitempty"` // sorted; empty: every stage
	Signers      []string         `json:"signers,omitempty"`
	Count        int              `json:"count,omitempty"` // distinct identities; 0: no signature is asked for
	Pinned       bool             `json:"pinned,omitempty"`
	Reference    naming           `json:"reference,omitempty"`
	Remap        remap            `json:"remap,omitzero"` // with nameRemap
	Attestations []attestation    `json:"attestations,omitempty"`
	Each         bool             `json:"each,omitempty"` // every manifest of an index must satisfy it, and the index itself
	MinAge       time.Duration    `json:"minAge,omitempty"`
	Beside       mirror.Reference `json:"signatures,omitzero"` // the repository in which signatures lie; zero: that of the image

	where mirror.Position
}

// naming says how the name inside a signature must fit the name of the image.
type naming string

const (
	nameRepository naming = "repository" // the same host and repository
	nameExact      naming = "exact"      // the same tag besides
	nameRemap      naming = "remap"      // the repository of the same path below another prefix
	nameAny        naming = "any"        // not compared
)

// remap says that images whose name begins with From are signed under a name that begins with To instead.
type remap struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// attestation is what a rule wants somebody to have stated.
type attestation struct {
	Type  string    `json:"type"` // of the predicate
	By    []string  `json:"by"`   // signers, sorted
	Count int       `json:"count"`
	Where condition `json:"where,omitzero"` // what must be true of the predicate

	where mirror.Position
}

// deny names what is never admitted.
type deny struct {
	Digests []mirror.Digest `json:"digests,omitempty"`
	Repos   []string        `json:"repos,omitempty"`
	Signers []string        `json:"signers,omitempty"` // whose signatures never count
}

// mode is what becomes of what a layer does not admit.
type mode string

const (
	modeEnforce mode = "enforce" // it is refused
	modeWarn    mode = "warn"    // it is admitted, and people are warned
	modeAudit   mode = "audit"   // it is admitted, and only its verdict says so
)

// skip is a requirement that an exception lifts.
type skip string

const (
	skipSignatures   skip = "signatures"
	skipAttestations skip = "attestations"
	skipPinned       skip = "pinned"
	skipAge          skip = "age"

	// skipRemoval lifts no requirement of a rule: it lets a version of a package leave a stage between the first and the last.
	skipRemoval skip = "removal"
)

// exception lifts requirements for one repository or digest, until a day that somebody answers for.
type exception struct {
	Name       string         `json:"name"`            // host/repository
	Digest     mirror.Digest  `json:"digest,omitzero"` // zero: all of the repository
	Stages     []mirror.Stage `json:"stages,omitempty"`
	Skip       []skip         `json:"skip"`
	Until      time.Time      `json:"until"` // the first moment at which it does not hold any more
	Reason     string         `json:"reason"`
	ApprovedBy string         `json:"approvedBy"`

	where mirror.Position
}

// matches says whether the exception is about an image at a stage; whether it still holds is another question.
func (e exception) matches(image mirror.Reference, stage mirror.Stage) bool {
	return e.Name == image.Name() && (e.Digest == mirror.Digest{} || e.Digest == image.Digest) &&
		(len(e.Stages) == 0 || slices.Contains(e.Stages, stage))
}

func (r rule) matches(image mirror.Reference, stage mirror.Stage) bool {
	return doublestar.MatchUnvalidated(r.Match, image.Name()) &&
		(len(r.Stages) == 0 || slices.Contains(r.Stages, stage))
}

// hash identifies the rule by its content, wherever it stands in the file.
func (r rule) hash() mirror.Digest { return hashOf(r) }

// matching gives the rules that all must be satisfied.
func (l layer) matching(image mirror.Reference, stage mirror.Stage) []rule {
	var rules []rule
	for _, r := range l.rules {
		if r.matches(image, stage) {
			rules = append(rules, r)
		}
	}
	return rules
}

// mode gives what becomes of what is not admitted at a stage.
func (l layer) mode(stage mirror.Stage) mode {
	for _, s := range []mirror.Stage{stage, ""} {
		if m, ok := l.modes[s]; ok {
			return m
		}
	}
	return modeEnforce
}

// WithFloor gives the policy that admits only what the floor admits too.
func (p Policy) WithFloor(floor Policy) Policy {
	p.layers = slices.Concat(p.layers, floor.layers)
	return p
}

// Hash identifies all that this policy says: rules, exceptions, deny lists, modes, gates and the bytes of all that it trusts.
func (p Policy) Hash() mirror.Digest {
	var hashes []mirror.Digest
	for _, l := range p.layers {
		names := make([]string, 0, len(l.signers))
		for name := range l.signers {
			names = append(names, name)
		}
		hashes = append(hashes, hashOf(struct {
			Floor, Open  bool
			Rules, Trust mirror.Digest
			Deny         deny
			Exceptions   []exception
			Modes        map[mirror.Stage]mode
			Gates        []gate `json:",omitempty"`
		}{l.floor, l.open, ruleHash(l.rules), l.trustHash(names), l.deny, l.exceptions, l.modes, l.gates}))
	}
	return hashOf(hashes)
}

// ruleHash identifies a set of rules; their order does not matter.
func ruleHash(rules []rule) mirror.Digest {
	hashes := make([]string, 0, len(rules))
	for _, r := range rules {
		hashes = append(hashes, r.hash().Hex)
	}
	slices.Sort(hashes)
	return hashOf(hashes)
}

// trustHash identifies what the named signers trust.
func (l layer) trustHash(names []string) mirror.Digest {
	names = slices.Sorted(slices.Values(names))
	lines := make([]string, 0, len(names))
	for _, name := range slices.Compact(names) {
		s := l.signers[name]
		lines = append(lines, name+" "+s.Hash().Hex+" "+s.notBefore.UTC().Format(time.RFC3339)+" "+s.until.UTC().Format(time.RFC3339))
	}
	return hashOf(lines)
}

// hashOf hashes a value of strings, numbers and lists, which JSON writes in one way only.
func hashOf(v any) mirror.Digest {
	b, err := json.Marshal(v)
	if err != nil {
		panic("policy: cannot hash: " + err.Error()) // no value of ours can fail
	}
	return mirror.DigestOf(b)
}
