package render

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// values are a tree of YAML: texts, numbers, truths, lists and mappings.
type values = map[string]any

// put writes a value at a path of keys. It is false where another value stands in the way.
func put(tree values, path []string, value any) bool {
	for _, key := range path[:len(path)-1] {
		before, there := tree[key]
		below, isMap := before.(values)
		switch {
		case !there:
			below = values{}
			tree[key] = below
		case !isMap:
			return false
		}
		tree = below
	}
	last := path[len(path)-1]
	if _, there := tree[last]; there {
		return false
	}
	tree[last] = value
	return true
}

// lookup gives what stands at a path of keys; nil where nothing does.
func lookup(tree values, path []string) any {
	var found any = tree
	for _, key := range path {
		below, _ := found.(values)
		found = below[key]
	}
	return found
}

// valuesYAML writes values sorted by key, every text in quotes: a tag may look like a number.
func valuesYAML(tree values) []byte {
	var b bytes.Buffer
	writeValues(&b, tree, "")
	return b.Bytes()
}

func writeValues(b *bytes.Buffer, tree values, indent string) {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		b.WriteString(indent + word(key) + ":")
		switch value := tree[key].(type) {
		case values:
			if len(value) == 0 {
				b.WriteString(" {}\n")
				continue
			}
			b.WriteString("\n")
			writeValues(b, value, indent+"  ")
		case []any:
			b.WriteString("\n")
			for _, item := range value {
				if text, ok := item.(string); ok {
					b.WriteString(indent + "  - " + strconv.Quote(text) + "\n")
					continue
				}
				var one bytes.Buffer
				writeValues(&one, item.(values), indent+"    ")
				b.WriteString(indent + "  - " + strings.TrimPrefix(one.String(), indent+"    "))
			}
		case string:
			b.WriteString(" " + strconv.Quote(value) + "\n")
		case int, bool:
			fmt.Fprintf(b, " %v\n", value)
		}
	}
}
