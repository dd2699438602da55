package elastic

import (
	"path"

	"go.yaml.in/yaml/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

const needsTool = "run elastic-package build, and give what it makes in build/packages instead of the folder"

// readMade refuses what only elastic-package can make of a folder: fields that stand elsewhere. Packed as they are, Kibana
// refuses the package when somebody installs it.
func (b *folder) readMade() {
	for _, name := range b.names {
		if is, err := path.Match("data_stream/*/fields/*.yml", name); err != nil || !is {
			if top, err := path.Match("fields/*.yml", name); err != nil || !top {
				continue
			}
		}
		var doc yaml.Node
		if err := yaml.Load(b.files[path.Join(b.dir, name)], &doc); err != nil {
			b.add(name, "PKG011", "mend it", "no readable YAML: %v", err)
			continue
		}
		if at := external(&doc, 0); at != nil {
			b.problems.Add("PKG011", mirror.Position{File: path.Join(b.dir, name), Line: at.Line, Column: at.Column}, needsTool,
				"the definition of a field stands elsewhere (external)")
		}
	}
}

// external finds the first key of that name in a list of fields.
func external(n *yaml.Node, depth int) *yaml.Node {
	if depth > 64 {
		return nil
	}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && child.Value == "external" {
			return child
		}
		if at := external(child, depth+1); at != nil {
			return at
		}
	}
	return nil
}
