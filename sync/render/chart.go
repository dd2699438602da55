package render

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

// What is read of a chart: its values and their schema, and those of its subcharts.
var chartParts = regexp.MustCompile(`^(charts/[^/]+/)*(Chart\.yaml|values\.yaml|values\.schema\.json)$`)

// charted is what is read of a chart. Whoever gets it only reads it.
type charted struct {
	files    charts.Files
	defaults values
	before   []charts.Fault // what the schemas refuse of the defaults alone
}

// chartAt reads a chart that lies in desired/: a folder, a .tgz, or its values with the schema beside. Nothing else of it is
// looked at.
func chartAt(files mirror.Files, name string) (c charted, err error) {
	if c.files, err = partsAt(files, name); err != nil {
		return c, err
	}
	if c.defaults, err = c.files.Defaults(); err != nil {
		return c, err
	}
	c.before, err = charts.Check(c.files, c.defaults)
	return c, err
}

// partsAt gives the parts of a chart.
func partsAt(files mirror.Files, name string) (charts.Files, error) {
	file := path.Join("desired", name)
	if data, isFile := files[file]; isFile && !strings.HasSuffix(name, ".tgz") && strings.HasPrefix(file, "desired/") {
		return valuesAt(data, files[path.Join(path.Dir(file), charts.SchemaFile)])
	}
	all, err := charts.Find(files, name)
	parts := charts.Files{}
	for file, data := range all {
		if chartParts.MatchString(file) {
			parts[file] = data
		}
	}
	return parts, err
}

// valuesAt makes a chart of values alone. Keys that are paths, as in a list of image blocks, are taken apart.
func valuesAt(data, schema []byte) (charts.Files, error) {
	read, err := charts.ReadValues(data)
	if err != nil {
		return nil, fmt.Errorf("read the values: %w", err)
	}
	tree := values{}
	for key, value := range read {
		keys := []string{key}
		if strings.HasSuffix(key, ".image") {
			keys = strings.Split(key, ".")
		}
		put(tree, keys, value)
	}
	if data, err = json.Marshal(tree); err != nil {
		return nil, fmt.Errorf("read the values: %w", err)
	}
	c := charts.Files{"Chart.yaml": []byte("apiVersion: v2\nname: values\nversion: 0.0.0\n"), "values.yaml": data}
	if schema != nil {
		c[charts.SchemaFile] = schema
	}
	return c, nil
}

// refusedBy gives what Helm would refuse of given values, by the schemas of the chart. What it refuses without them is not
// ours to mend: a chart may want values that only its users know.
func refusedBy(c charted, given []byte) []string {
	tree, err := charts.ReadValues(given)
	if err != nil {
		return []string{mirror.OneLine(err.Error())}
	}
	faults, err := charts.Check(c.files, charts.Merged(c.defaults, tree))
	if err != nil {
		return []string{mirror.OneLine(err.Error())}
	}
	var said []string
	for _, fault := range faults {
		_, isMap := lookup(tree, fault.At).(values)
		ours := !isMap && lookup(tree, fault.At) != nil
		if ours || !slices.ContainsFunc(c.before, func(b charts.Fault) bool { return b.String() == fault.String() }) {
			said = append(said, fault.String())
		}
	}
	return said
}

// upstreamImages gives the image blocks of values that are pulled from elsewhere than a host, by their paths.
func upstreamImages(tree values, host string, at ...string) map[string]string {
	found := map[string]string{}
	for key, value := range tree {
		below, isMap := value.(values)
		if !isMap {
			continue
		}
		here := append(slices.Clone(at), key)
		repository, _ := below["repository"].(string)
		if registry, _ := below["registry"].(string); repository != "" && registry != host {
			found[strings.Join(here, "/")] = registry + "/" + repository
		}
		for path, image := range upstreamImages(below, host, here...) {
			found[path] = image
		}
	}
	return found
}
