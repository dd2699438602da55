package policy

import (
	"encoding/json"
	"errors"

	"github.com/poundlock/poundlock/policy/trust"
)

// maxCost bounds one evaluation, as CEL counts it.
const maxCost = 10_000_000

var (
	errUnbounded = errors.New("it may take too long")
	errNoCEL     = errors.New("this build evaluates no conditions")
)

// condition is a CEL expression over the predicate of an attestation, compiled when the policy is read. The zero
// value is always true.
type condition struct {
	source string
}

// newCondition compiles an expression. errUnbounded says that its worst case over predicates of ordinary size costs
// more than an evaluation may; any other error says what is wrong and at which character.
func newCondition(string) (condition, error) { return condition{}, errNoCEL }

// check gives nil where the condition is true of a predicate. An error says that it is not, or why that cannot be
// told: a key that is not there, a cost above the limit. Its text may hold words of the predicate.
func (c condition) check(json.RawMessage) error {
	if c.source == "" {
		return nil
	}
	return errNoCEL
}

// holds is check for what is proven to have been stated.
func holds(c condition, p trust.Proof) error { return c.check(p.Predicate) }

// MarshalJSON gives the expression as it is written, which is what the hash of its rule is of.
func (c condition) MarshalJSON() ([]byte, error) { return json.Marshal(c.source) }
