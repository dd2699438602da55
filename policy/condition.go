package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	celcost "cel.dev/cel-go/common/cost"
	celtypes "cel.dev/cel-go/common/types"
)

// Bounds of a condition.
const (
	maxCondition = 4096       // characters
	maxCost      = 10_000_000 // of one evaluation, as CEL counts it: about a second
	assumedSize  = 200        // elements of a list, keys of a mapping and characters of a text in a predicate, for the estimate
)

var (
	errNotTrue   = errors.New("it is not true")
	errUnbounded = errors.New("it may take too long")
)

// condition is a CEL expression over the predicate of an attestation, compiled when the policy is read. The zero
// value is always true.
type condition struct {
	source  string
	program cel.Program
}

// conditions gives the environment that all conditions are compiled in: CEL's standard library and the predicate.
var conditions = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(cel.Variable("predicate", cel.DynType), cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxCondition), cel.ParserRecursionLimit(50))
})

// newCondition compiles an expression. errUnbounded says that its worst case over predicates of ordinary size costs
// more than an evaluation may; any other error says what is wrong and at which character.
func newCondition(source string) (c condition, err error) {
	defer recovered(&err)
	env, err := conditions()
	if err != nil {
		return condition{}, err
	}
	ast, issues := env.Compile(source)
	if err := issues.Err(); err != nil {
		return condition{}, compileError(issues)
	}
	if out := ast.OutputType(); !out.IsExactType(celtypes.BoolType) && !out.IsExactType(celtypes.DynType) {
		return condition{}, fmt.Errorf("it gives %s, want true or false", out)
	}
	cost, err := env.EstimateCost(ast, ordinary{})
	if err != nil {
		return condition{}, err
	}
	if cost.Max > maxCost {
		return condition{}, errUnbounded
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost))
	if err != nil {
		return condition{}, err
	}
	return condition{source, program}, nil
}

// compileError tells the first mistake of an expression in one line.
func compileError(issues *cel.Issues) error {
	first := issues.Errors()[0]
	message, _, _ := strings.Cut(first.Message, "\n")
	message, _, _ = strings.Cut(message, " expecting ") // which lists the whole grammar
	if first.Location.Line() < 1 {
		return errors.New(message) // of the whole
	}
	return fmt.Errorf("%s (line %d, character %d)", message, first.Location.Line(), first.Location.Column()+1)
}

// check gives nil where the condition is true of a predicate. An error says that it is not, or why that cannot be
// told: a key that is not there, a cost above the limit. Its text may hold words of the predicate.
func (c condition) check(predicate json.RawMessage) (err error) {
	defer recovered(&err)
	if c.source == "" {
		return nil
	}
	var value any
	if err := json.Unmarshal(predicate, &value); err != nil {
		return fmt.Errorf("predicate: %w", err)
	}
	out, _, err := c.program.Eval(map[string]any{"predicate": value})
	if err != nil {
		return err
	}
	if out != celtypes.True {
		return errNotTrue
	}
	return nil
}

// recovered turns a panic of the library into an error: neither a policy nor an attestation may end the process.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the CEL library gave up: %v", r)
	}
}

// MarshalJSON gives the expression as it is written, which is what the hash of its rule is of.
func (c condition) MarshalJSON() ([]byte, error) { return json.Marshal(c.source) }

// ordinary estimates what lies in a predicate. What is larger at run time meets the cost limit there.
type ordinary struct{}

// EstimateSize bounds every part of the predicate.
func (ordinary) EstimateSize(part celcost.AstNode) *celcost.SizeEstimate {
	if path := part.Path(); len(path) > 0 && path[0] == "predicate" {
		return &celcost.SizeEstimate{Min: 0, Max: assumedSize}
	}
	return nil
}

// EstimateCallCost leaves the functions to the library.
func (ordinary) EstimateCallCost(string, string, *celcost.AstNode, []celcost.AstNode) *celcost.CallEstimate {
	return nil
}
