// Package policy says what may come in and where it may stand: it reads desired/policy.yaml and the public
// keys that it names, judges content by the cosign signatures that lie beside it or by the commit that
// pins it, and gates promotions by what stood in the stage before.
//
// It promises to fail closed (what no rule matches, what cannot be read and what cannot be checked is not
// admitted), to trust only files of the fleet repository, never a service that is asked at run time, and
// to survive whatever a registry serves: every read has a limit and every call into the sigstore libraries
// runs under recover. It leaves fetching, credentials and retries to the mirror.Content it is given.
package policy

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Policy is desired/policy.yaml with its keys at one commit. The zero value admits nothing.
type Policy struct {
	commit  string
	signers map[string]signer
	rules   []rule
	deny    deny
}

// rule is what one line of rules requires of the images that it matches.
type rule struct {
	Match     string         `json:"match"`
	Stages    []mirror.Stage `json:"stages,omitempty"` // sorted; empty: every stage
	Signers   []string       `json:"signers,omitempty"`
	Count     int            `json:"count,omitempty"`
	Pinned    bool           `json:"pinned,omitempty"`
	Reference naming         `json:"reference,omitempty"`
}

// naming says how the name inside a signature must fit the name of the image.
type naming string

const (
	nameRepository naming = "repository" // the same host and repository
	nameExact      naming = "exact"      // the same tag besides
	nameAny        naming = "any"        // not compared
)

// deny names what is never admitted.
type deny struct {
	Digests []mirror.Digest `json:"digests,omitempty"`
	Repos   []string        `json:"repos,omitempty"`
}

// refuses says what of the deny list holds for an image; "" when nothing does.
func (d deny) refuses(image mirror.Reference) string {
	if slices.Contains(d.Digests, image.Digest) {
		return "deny.digests names " + image.Digest.String()
	}
	for _, pattern := range d.Repos {
		if doublestar.MatchUnvalidated(pattern, image.Name()) {
			return fmt.Sprintf("deny.repos %q matches %s", pattern, image.Name())
		}
	}
	return ""
}

func (r rule) matches(image mirror.Reference, stage mirror.Stage) bool {
	return doublestar.MatchUnvalidated(r.Match, image.Name()) &&
		(len(r.Stages) == 0 || slices.Contains(r.Stages, stage))
}

// hash identifies the rule by its content, wherever it stands in the file.
func (r rule) hash() mirror.Digest { return hashOf(r) }

// matching gives the rules that all must be satisfied.
func (p Policy) matching(image mirror.Reference, stage mirror.Stage) []rule {
	var rules []rule
	for _, r := range p.rules {
		if r.matches(image, stage) {
			rules = append(rules, r)
		}
	}
	return rules
}

// Hash identifies all that this policy says: rules, deny list and the bytes of every key.
func (p Policy) Hash() mirror.Digest {
	names := make([]string, 0, len(p.signers))
	for name := range p.signers {
		names = append(names, name)
	}
	return hashOf(struct {
		Rules, Trust mirror.Digest
		Deny         deny
	}{ruleHash(p.rules), p.trustHash(names), p.deny})
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

// trustHash identifies the key files of the named signers.
func (p Policy) trustHash(names []string) mirror.Digest {
	names = slices.Sorted(slices.Values(names))
	lines := make([]string, 0, len(names))
	for _, name := range names {
		lines = append(lines, name+" "+p.signers[name].file.Hex)
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
