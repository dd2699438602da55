package mirror

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// YAML gives the part as a document of its own, as another reader of YAML wants it; nil for an absent one.
func (n Node) YAML() ([]byte, error) {
	if n.node == nil {
		return nil, nil
	}
	data, err := yaml.Dump(n.node)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Where(), err)
	}
	return data, nil
}
