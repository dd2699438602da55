package charts

import (
	"bytes"
	"fmt"
	"maps"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
)

// Values are Helm values: texts, numbers, lists and mappings.
type Values = map[string]any

// ReadValues reads a file of values as Helm does.
func ReadValues(data []byte) (Values, error) {
	read, err := chartutil.ReadValues(data)
	return read, err
}

// Merged gives the values that Helm makes of some and what is given over them: mappings are merged, anything else is taken
// whole.
func Merged(under, over Values) Values {
	all := maps.Clone(under)
	if all == nil {
		all = Values{}
	}
	for key, value := range over {
		below, isMap := value.(Values)
		if before, wasMap := all[key].(Values); isMap && wasMap {
			value = Merged(before, below)
		}
		all[key] = value
	}
	return all
}

// Defaults gives the values of a chart, with those of the charts inside it below their names.
func (f Files) Defaults() (Values, error) {
	c, err := load(f)
	if err != nil {
		return nil, err
	}
	return defaultsOf(c), nil
}

func defaultsOf(c *chart.Chart) Values {
	all := Values{}
	for _, inner := range c.Dependencies() {
		all[inner.Name()] = defaultsOf(inner)
	}
	return Merged(all, c.Values)
}

// load makes a chart of its files, in order. The loader changes their names, not their bytes.
func load(f Files) (*chart.Chart, error) {
	bom := []byte("\xef\xbb\xbf")
	var all []*loader.BufferedFile
	for _, name := range f.Names() {
		all = append(all, &loader.BufferedFile{Name: name, Data: bytes.TrimPrefix(f[name], bom)})
	}
	c, err := loader.LoadFiles(all)
	if err != nil {
		return nil, fmt.Errorf("load the chart: %w", err)
	}
	return c, nil
}
