package sources

import (
	"bytes"

	"go.yaml.in/yaml/v4"
)

// unfolds says whether the documents of a text are of a size that a library may be given which writes aliases out: it
// would fill the memory for a small file, or end the whole process at an alias inside of what it stands for. left is how many
// parts all texts together may still have. What is no YAML has no aliases, so the library may tell.
func unfolds(text []byte, left *int) bool {
	for docs := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var doc yaml.Node
		if docs.Decode(&doc) != nil {
			return true
		}
		if !unfolded(&doc, left, 0) {
			return false
		}
	}
}

func unfolded(n *yaml.Node, left *int, depth int) bool {
	if *left--; *left < 0 || depth > maxManifestDepth {
		return false
	}
	if n.Kind == yaml.AliasNode {
		return unfolded(n.Alias, left, depth+1)
	}
	for _, part := range n.Content {
		if !unfolded(part, left, depth+1) {
			return false
		}
	}
	return true
}
