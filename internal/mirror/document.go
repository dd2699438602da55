package mirror

import (
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// Limits of one YAML document that people write.
const (
	MaxDocument = 4 << 20 // bytes
	maxDepth    = 32      // levels of nesting
)

// Node is a part of a YAML document that its owner decodes later, such as the options that only one kind
// of source knows. The zero value is an absent part.
type Node struct {
	file string
	node *yaml.Node
}

// Where is the part's place in its file.
func (n Node) Where() Position {
	if n.node == nil {
		return Position{File: n.file}
	}
	return Position{File: n.file, Line: n.node.Line, Column: n.node.Column}
}

// IsZero says whether the part is absent.
func (n Node) IsZero() bool { return n.node == nil }

// Keys lists the keys of a mapping in the order of the file; nil for anything else.
func (n Node) Keys() []string {
	var keys []string
	if n.node != nil && n.node.Kind == yaml.MappingNode {
		for i := 0; i < len(n.node.Content); i += 2 {
			keys = append(keys, n.node.Content[i].Value)
		}
	}
	return keys
}

// Key gives the value under a key of a mapping; the zero Node when it is not there.
func (n Node) Key(key string) Node {
	if n.node == nil || n.node.Kind != yaml.MappingNode {
		return Node{file: n.file}
	}
	for i := 0; i < len(n.node.Content); i += 2 {
		if n.node.Content[i].Value == key {
			return Node{n.file, n.node.Content[i+1]}
		}
	}
	return Node{file: n.file}
}

// Find gives the part at a path of keys, in lists of numbers from 0; the zero Node when it is not there.
func (n Node) Find(path ...string) Node {
	for _, key := range path {
		if n.node == nil || n.node.Kind != yaml.SequenceNode {
			n = n.Key(key)
			continue
		}
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(n.node.Content) {
			return Node{file: n.file}
		}
		n = Node{n.file, n.node.Content[i]}
	}
	return n
}

// KeyWhere is the place of a key itself in a mapping, where Find leads to its value; the place of the mapping
// when it has no such key.
func (n Node) KeyWhere(key string) Position {
	if n.IsMapping() {
		for i := 0; i < len(n.node.Content); i += 2 {
			if n.node.Content[i].Value == key {
				return Node{n.file, n.node.Content[i]}.Where()
			}
		}
	}
	return n.Where()
}

// Text gives the text of a scalar exactly as the file has it, so that an unquoted 1.10 stays 1.10; false
// for null, a mapping, a sequence or an absent part.
func (n Node) Text() (string, bool) {
	if n.node == nil || n.node.Kind != yaml.ScalarNode || n.node.Tag == "!!null" {
		return "", false
	}
	return n.node.Value, true
}

// IsNull says whether the part is present and empty (a key without a value).
func (n Node) IsNull() bool {
	return n.node != nil && n.node.Kind == yaml.ScalarNode && n.node.Tag == "!!null"
}

// IsMapping says whether the part is a mapping.
func (n Node) IsMapping() bool { return n.node != nil && n.node.Kind == yaml.MappingNode }

// Stop says whether a document with these problems cannot be decoded: with duplicate keys alone it can, so that
// everything else is told in the same pass.
func (p Problems) Stop() bool {
	return slices.ContainsFunc(p, func(one Problem) bool { return one.Code != "DOC003" })
}

// ParseDocument reads one YAML document and refuses what strict readers refuse: more than MaxDocument
// bytes, duplicate keys, aliases, deep nesting, several documents.
func ParseDocument(file string, data []byte) (Node, Problems) {
	n, ps := parse(file, data)
	if len(ps) == 0 {
		n.check(&ps, 0)
	}
	return n, ps
}

func parse(file string, data []byte) (Node, Problems) {
	if ps := CheckText(file, data); len(ps) > 0 {
		return Node{}, ps
	}
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil {
		return Node{}, Problems{syntaxProblem(file, data, err)}
	}
	n := Node{file: file, node: &doc}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		n.node = doc.Content[0]
	}
	return n, nil
}

// check walks the whole part once, before anything is decoded, because the YAML library accepts duplicate
// keys and alias bombs when it reads into nodes.
func (n Node) check(ps *Problems, depth int) {
	switch {
	case depth > maxDepth:
		ps.Add("DOC006", n.Where(), "flatten it", "nested deeper than %d levels", maxDepth)
		return
	case n.node.Kind == yaml.AliasNode || n.node.Anchor != "":
		ps.Add("DOC006", n.Where(), "write the value out", "anchors and aliases are not read")
		return
	case n.node.Kind == yaml.MappingNode:
		first := map[string]int{}
		for i := 0; i < len(n.node.Content); i += 2 {
			key := n.node.Content[i]
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || key.Anchor != "" {
				ps.Add("DOC006", Node{n.file, key}.Where(), "use a plain word as key", "key is not a plain word")
				continue
			}
			if line, dup := first[key.Value]; dup {
				if (Node{n.file, n.node.Content[i+1]}).IsNull() && n.node.Style&yaml.FlowStyle != 0 {
					// {a, a}: what stands here may be a value that lacks its key, even a secret.
					ps.Add("DOC003", Node{n.file, key}.Where(), "write key: value", "the same word twice, first in line %d", line)
				} else if !plainKey.MatchString(key.Value) { // what the snippet hides
					ps.Add("DOC003", Node{n.file, key}.Where(), "keep one of them", "a duplicate key, first in line %d", line)
				} else {
					ps.Add("DOC003", Node{n.file, key}.Where(), "keep one of them", "duplicate key %q, first in line %d", key.Value, line)
				}
			}
			first[key.Value] = key.Line
			Node{n.file, n.node.Content[i+1]}.check(ps, depth+1)
		}
	case n.node.Kind == yaml.SequenceNode:
		for _, c := range n.node.Content {
			Node{n.file, c}.check(ps, depth+1)
		}
	}
}
