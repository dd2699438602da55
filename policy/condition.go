package policy

import "encoding/json"

// condition is a CEL expression over an attestation, compiled when the policy is read. The zero value is always true.
type condition struct {
	source string
}

// MarshalJSON gives the expression as it is written, which is what the hash of its rule is of.
func (c condition) MarshalJSON() ([]byte, error) { return json.Marshal(c.source) }
