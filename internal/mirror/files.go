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

// ShardDir gives the folder of a document's shards. It has a suffix of its own because a folder with the
// document's bare name may hold other things, such as the overrides of a stage.
func ShardDir(document string) string { return document + ".d" }

// Document gives the parts of a document that is either one file (name.yaml) or a folder of shards
// (name.d/*.yaml), by path and in order. Where both exist their entries are read together, and an entry in
// both is a duplicate.
func (f Files) Document(name string) []string {
	var parts []string
	if _, ok := f[name+".yaml"]; ok {
		parts = append(parts, name+".yaml")
	}
	for _, p := range f.Under(ShardDir(name)) {
		if path.Dir(p) == ShardDir(name) && path.Ext(p) == ".yaml" {
			parts = append(parts, p)
		}
	}
	return parts
}
