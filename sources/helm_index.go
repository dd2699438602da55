package sources

import (
	"bytes"
	"errors"

	"go.yaml.in/yaml/v4"
)

// maxIndexParts bounds the signs of structure of what is parsed of an index: each may make two values, of which a library that
// reads YAML takes half a KiB. A chart with a thousand versions has about 50000.
const maxIndexParts = 250_000

// chartIndex is what is read of the index.yaml of a chart repository. Source: helm.sh/docs/topics/chart_repository.
type chartIndex struct {
	Entries map[string][]indexed `yaml:"entries"`
}

type indexed struct {
	Version string   `yaml:"version"`
	URLs    []string `yaml:"urls"`
	Digest  string   `yaml:"digest"`
}

var errIndexParts = errors.New("what it says of the chart has too many parts")

// readChartIndex gives the versions of a chart. Large public indexes have 20 MB: only the lines of the chart are parsed, where
// the index is laid out as Helm writes it.
func readChartIndex(data []byte, chart string) ([]indexed, error) {
	lines, found, laidOut := linesOfChart(data, chart)
	if !found {
		lines = data
	}
	if indexParts(lines) > maxIndexParts {
		if !found && laidOut {
			return nil, nil // it is not in it
		}
		return nil, errIndexParts
	}
	var doc chartIndex
	if err := yaml.Unmarshal(lines, &doc); err != nil {
		return nil, err
	}
	return doc.Entries[chart], nil
}

// linesOfChart cuts an index down to the lines of one chart, where it is laid out as Helm does it: the key entries in a line of
// its own, and below it the names of charts at one depth.
func linesOfChart(data []byte, chart string) (kept []byte, found, laidOut bool) {
	inside, taking, depth := false, false, -1
	for line := range bytes.Lines(data) {
		text := bytes.TrimRight(line, " \t\r\n")
		blanks := len(text) - len(bytes.TrimLeft(text, " "))
		switch {
		case len(text) == blanks || text[blanks] == '#':
			continue
		case blanks == 0 && text[0] != '-':
			inside = string(text) == "entries:"
			if taking = false; inside {
				kept = append(kept, line...)
			}
			continue
		case inside && depth < 0:
			depth = blanks
		}
		if inside && blanks == depth && text[blanks] != '-' {
			name, ends := bytes.CutSuffix(text[blanks:], []byte(":"))
			taking = ends && string(bytes.Trim(name, `"'`)) == chart
			found = found || taking
		}
		if taking {
			kept = append(kept, line...)
		}
	}
	return kept, found, depth > 0
}

// indexParts counts the signs that can begin a value: in every style of YAML each value stands behind one of them.
func indexParts(data []byte) (n int) {
	for i, c := range data {
		switch c {
		case '[', '{', ',', ':':
			n++
		case '-', '?':
			if i+1 == len(data) || bytes.IndexByte([]byte(" \t\r\n"), data[i+1]) >= 0 {
				n++
			}
		}
	}
	return n
}
