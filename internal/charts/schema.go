package charts

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"helm.sh/helm/v3/pkg/chart"

	"github.com/poundlock/poundlock/internal/mirror"
)

// SchemaFile is where a chart has the schema of its values.
const SchemaFile = "values.schema.json"

// maxFaults bounds how many faults are told of one chart.
const maxFaults = 20

// Fault is something that the schema of a chart refuses of values. It says where, never what: values may be secret.
type Fault struct {
	At   []string // keys of the values of the whole chart
	Rule string   // keyword of the schema, as in pattern
}

// String tells the fault in a line, as /web/replicas (type).
func (f Fault) String() string {
	return mirror.OneLine(fmt.Sprintf("/%s (%s)", strings.Join(f.At, "/"), f.Rule))
}

// refusedBy holds values against the schemas of a chart and of the charts inside it. Helm's own check would fetch what a
// schema refers to, and repeat values in what it says.
func refusedBy(c *chart.Chart, values Values, at ...string) (faults []Fault, err error) {
	if c.Schema != nil {
		if faults, err = faultsOf(c.Schema, values, at); err != nil {
			return nil, fmt.Errorf("%s: %w", path.Join(append(chartsIn(at), SchemaFile)...), err)
		}
	}
	for _, inner := range c.Dependencies() {
		own, ok := values[inner.Name()].(Values)
		if !ok {
			continue
		}
		more, err := refusedBy(inner, own, append(slices.Clone(at), inner.Name())...)
		if err != nil {
			return nil, err
		}
		faults = append(faults, more...)
	}
	return faults[:min(len(faults), maxFaults)], nil
}

// chartsIn gives the folder of a chart that is so deep inside others.
func chartsIn(at []string) (dir []string) {
	for _, name := range at {
		dir = append(dir, "charts", name)
	}
	return dir
}

func faultsOf(schema []byte, values Values, at []string) ([]Fault, error) {
	const here = "poundlock:///" + SchemaFile // with a path, so that a name relative to it is another document
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(here, doc); err != nil {
		return nil, err
	}
	compiled, err := compiler.Compile(here)
	if err != nil {
		return nil, err
	}
	if values == nil {
		values = Values{} // of a chart without any: no mapping would be refused for what it is
	}
	err = compiled.Validate(values)
	var wrong *jsonschema.ValidationError
	if !errors.As(err, &wrong) {
		return nil, err
	}
	var faults []Fault
	var leaves func(*jsonschema.ValidationError)
	leaves = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			leaves(cause)
		}
		if len(e.Causes) == 0 {
			faults = append(faults, faultOf(e, at)...)
		}
	}
	leaves(wrong)
	slices.SortFunc(faults, func(a, b Fault) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(faults, func(a, b Fault) bool { return a.String() == b.String() }), nil
}

// faultOf says where one fault is: for a key that is missing or not known, at that key.
func faultOf(e *jsonschema.ValidationError, at []string) (all []Fault) {
	here := append(slices.Clone(at), e.InstanceLocation...)
	rule := "schema"
	if words := e.ErrorKind.KeywordPath(); len(words) > 0 {
		rule = words[0]
	}
	var keys []string
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		keys = k.Missing
	case *kind.AdditionalProperties:
		keys = k.Properties
	}
	for _, key := range keys {
		all = append(all, Fault{append(slices.Clone(here), key), rule})
	}
	if len(all) == 0 {
		all = []Fault{{here, rule}}
	}
	return all
}

// noLoader fetches nothing.
type noLoader struct{}

// Load refuses every address.
func (noLoader) Load(string) (any, error) {
	return nil, fmt.Errorf("another document is not read: %w", fs.ErrPermission)
}
