package sources

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// resolved gives what an alias stands for.
func resolved(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func resolvedValue(n *yaml.Node, key string) *yaml.Node { return resolved(valueOf(n, key)) }

// valueOf gives the value under a key of a mapping, also where it is merged into it; of a key that is there twice the last,
// as Kubernetes reads it; nil when it is not there.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	var own, merged *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case key:
			own = resolved(n.Content[i+1])
		case "<<":
			from := []*yaml.Node{resolved(n.Content[i+1])}
			if from[0].Kind == yaml.SequenceNode {
				from = from[0].Content
			}
			for _, part := range slices.Backward(from) {
				if part = resolved(part); part != n && valueOfOwn(part, key) != nil {
					merged = valueOfOwn(part, key)
				}
			}
		}
	}
	if own != nil {
		return own
	}
	return merged
}

// valueOfOwn is valueOf for what a mapping says itself: a merge into a merge is refused by nobody and used by nobody.
func valueOfOwn(n *yaml.Node, key string) (value *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			value = resolved(n.Content[i+1])
		}
	}
	return value
}

// textOf gives the text of a scalar; "" for anything else and for null.
func textOf(n *yaml.Node) string {
	if n = resolved(n); n == nil || n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		return ""
	}
	return strings.TrimSpace(n.Value)
}
