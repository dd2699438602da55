package render

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxChart bounds a chart's archive when it is unpacked in memory, in bytes.
const maxChart = 32 << 20

const schemaFile = "values.schema.json"

// What is read of a chart: its values and their schema, and those of its subcharts.
var chartParts = regexp.MustCompile(`^(charts/[^/]+/)*(Chart\.yaml|values\.yaml|values\.schema\.json)$`)

// charted is a chart, or why it cannot be read. Whoever gets it only reads it.
type charted struct {
	*chart.Chart
	key mirror.Digest // of the bytes that it was made of
	err error
}

var (
	charts  = memo[charted]{most: 4}
	refused = memo[[]string]{most: 64}
)

// chartAt reads a chart that lies in desired/: a folder, a .tgz, or its values with the schema beside. Nothing else of it is
// looked at.
func chartAt(files mirror.Files, name string) (charted, error) {
	file := path.Join("desired", name)
	if !strings.HasPrefix(file, "desired/") {
		return charted{}, errors.New("it lies outside desired/")
	}
	wanted, folder := []string{file, path.Join(path.Dir(file), schemaFile)}, ""
	if _, isFile := files[file]; !isFile {
		folder = file + "/"
		wanted = slices.DeleteFunc(files.Under(file), func(f string) bool { return !chartParts.MatchString(strings.TrimPrefix(f, folder)) })
	}
	var names strings.Builder // with the digests of the bytes
	var parts []*loader.BufferedFile
	for _, f := range wanted {
		fmt.Fprintf(&names, "%s %s\n", f, mirror.DigestOf(files[f]))
		parts = append(parts, &loader.BufferedFile{Name: strings.TrimPrefix(f, folder), Data: files[f]})
	}
	key := mirror.DigestOf([]byte(names.String()))
	c := charts.of(key, func() charted {
		read, err := loadChart(parts, name, folder != "")
		if err == nil {
			err = offline(read)
		}
		return charted{read, key, err}
	})
	return c, c.err
}

// loadChart makes a chart of the parts of a folder, or of one file and the schema that may lie beside it.
func loadChart(parts []*loader.BufferedFile, name string, folder bool) (*chart.Chart, error) {
	switch {
	case !folder && !strings.HasSuffix(name, ".tgz"):
		return valuesAt(parts[0].Data, parts[1].Data)
	case !folder:
		unpacked, err := unpackChart(parts[0].Data)
		if err != nil {
			return nil, err
		}
		parts = slices.DeleteFunc(unpacked, func(f *loader.BufferedFile) bool { return !chartParts.MatchString(f.Name) })
	}
	if len(parts) == 0 {
		return nil, errors.New("there is no chart")
	}
	c, err := loader.LoadFiles(parts)
	if err != nil {
		return nil, fmt.Errorf("load the chart: %w", err)
	}
	return c, nil
}

func unpackChart(data []byte) ([]*loader.BufferedFile, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	// Counted before anything is kept: an archive of a few bytes may hold gigabytes.
	if n, err := io.Copy(io.Discard, io.LimitReader(unzipped, maxChart+1)); err != nil || n > maxChart {
		return nil, fmt.Errorf("it unpacks to more than %d MiB, or is damaged", maxChart>>20)
	}
	parts, err := loader.LoadArchiveFiles(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return parts, nil
}

// valuesAt makes a chart of values alone. Keys that are paths, as in a list of image blocks, are taken apart.
func valuesAt(data, schema []byte) (*chart.Chart, error) {
	read, err := chartutil.ReadValues(data)
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
	return &chart.Chart{Metadata: &chart.Metadata{Name: "values"}, Values: tree, Schema: schema}, nil
}

// offline refuses a schema that names another document: Helm's reader would open a file or a web address for it.
func offline(c *chart.Chart) error {
	if c.Schema != nil {
		var schema any
		if err := json.Unmarshal(c.Schema, &schema); err != nil {
			return fmt.Errorf("%s: %w", schemaFile, err)
		}
		if ref := outside(schema); ref != "" {
			return fmt.Errorf("%s names another document, %q, which is not read", schemaFile, mirror.OneLine(ref))
		}
	}
	for _, sub := range c.Dependencies() {
		if err := offline(sub); err != nil {
			return err
		}
	}
	return nil
}

var ownDialect = regexp.MustCompile(`^https?://json-schema\.org/(draft-0[467]|draft/20(19-09|20-12))/schema#?$`)

// outside gives the first reference of a schema that leads out of it.
func outside(part any) string {
	switch part := part.(type) {
	case []any:
		for _, one := range part {
			if ref := outside(one); ref != "" {
				return ref
			}
		}
	case map[string]any:
		for key, value := range part {
			text, isText := value.(string)
			switch {
			case !isText:
				if ref := outside(value); ref != "" {
					return ref
				}
			case strings.HasSuffix(strings.ToLower(key), "ref") && strings.HasPrefix(key, "$") && !strings.HasPrefix(text, "#"):
				return text
			case key == "$schema" && !ownDialect.MatchString(text):
				return text
			}
		}
	}
	return ""
}

// defaultsOf gives the values of a chart, with those of its subcharts below their names.
func defaultsOf(c *chart.Chart) values {
	all := values{}
	for _, sub := range c.Dependencies() {
		all[sub.Name()] = defaultsOf(sub)
	}
	return merged(all, c.Values)
}

// refusedBy gives what Helm would refuse of given values, by the schemas of the chart. What it refuses without them is not
// ours to mend: a chart may want values that only its users know.
func refusedBy(c charted, given []byte) []string {
	return refused.of(mirror.DigestOf([]byte(c.key.String()+mirror.DigestOf(given).String())), func() []string {
		tree, err := chartutil.ReadValues(given)
		if err != nil {
			return []string{mirror.OneLine(err.Error())}
		}
		said := saidOf(c.Chart, merged(defaultsOf(c.Chart), tree))
		if len(said) == 0 {
			return nil
		}
		before := saidOf(c.Chart, defaultsOf(c.Chart))
		return slices.DeleteFunc(said, func(line string) bool { return slices.Contains(before, line) })
	})
}

// saidOf gives the mistakes that Helm finds in values, one a line.
func saidOf(c *chart.Chart, v values) (said []string) {
	err := chartutil.ValidateAgainstSchema(c, v)
	if err == nil {
		return nil
	}
	of := ""
	for line := range strings.Lines(err.Error()) {
		mistake, is := strings.CutPrefix(strings.TrimSpace(line), "- ")
		switch {
		case is:
			said = append(said, of+" "+mistake)
		case mistake != "":
			of = mistake // the chart or subchart of what follows
		}
	}
	if len(said) == 0 {
		said = append(said, mirror.OneLine(err.Error()))
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
