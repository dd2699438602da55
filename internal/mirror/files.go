package mirror

import (
	"path"
	"slices"
	"strings"
)

// Files are the files of a tree by their slash-separated path.
type Files map[string][]byte

// Under gives the files below dir, which is left in their names, sorted.
func (f Files) Under(dir string) []string {
	var names []string
	for name := range f {
		if strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Document gives the parts of a document that is either one file (name.yaml) or a directory of shards
// (name/*.yaml), by path and in order. Both at once is refused by the caller as duplicate entries.
func (f Files) Document(name string) []string {
	var parts []string
	if _, ok := f[name+".yaml"]; ok {
		parts = append(parts, name+".yaml")
	}
	for _, p := range f.Under(name) {
		if path.Dir(p) == name && path.Ext(p) == ".yaml" {
			parts = append(parts, p)
		}
	}
	return parts
}
