package schema

import (
	"fmt"
	"slices"
	"strings"
)

// UnknownKeyError is a path that no key of a document has.
type UnknownKeyError struct{ Document, Path string }

func (e *UnknownKeyError) Error() string { return fmt.Sprintf("%s has no key %q", e.Document, e.Path) }

// Explain gives the keys that a path names (several where several kinds have one) and the keys right below
// them. A path is written as in the file: registries.local.auth, rules[0].require or rules.require. The empty
// path names the document.
func (d Document) Explain(path string) (found, below []Key, err error) {
	all := d.Keys()
	if path == "" {
		for _, k := range all {
			if k.parent == "" {
				below = append(below, k)
			}
		}
		return nil, below, nil
	}
	want := segments(path)
	for _, k := range all {
		// registries.local is what registries holds; a name in it has no dots, or every longer path would be one.
		one := named(k.schema) && len(want) == len(segments(k.Path))+1
		if matches(segments(k.Path), want) || (one || !isMapping(inner(k.schema))) && matches(segments(strings.TrimSuffix(k.below, ".")), want) {
			found = append(found, k)
		}
	}
	if len(found) == 0 {
		return nil, nil, &UnknownKeyError{d.Name, path}
	}
	for _, k := range all {
		if slices.ContainsFunc(found, func(n Key) bool { return k.parent == n.Path && (n.Kind == "" || n.Kind == k.Kind) }) {
			below = append(below, k)
		}
	}
	return found, below, nil
}

// Paths gives the path of every key, for completion and for suggestions.
func (d Document) Paths() []string {
	var paths []string
	for _, k := range d.Keys() {
		paths = append(paths, k.Path)
	}
	return slices.Compact(paths)
}

// segments splits a path and leaves out the brackets of lists.
func segments(path string) []string {
	parts := strings.Split(path, ".")
	for i, p := range parts {
		parts[i], _, _ = strings.Cut(p, "[")
	}
	return parts
}

// matches holds a path against a pattern, in which <name> stands for a name that may have dots in it.
func matches(pattern, path []string) bool {
	switch {
	case len(pattern) == 0 || len(path) == 0:
		return len(pattern) == len(path)
	case pattern[0] == "<name>":
		for n := range path {
			if matches(pattern[1:], path[n+1:]) {
				return true
			}
		}
		return false
	}
	return pattern[0] == path[0] && matches(pattern[1:], path[1:])
}
