package render

import "github.com/poundlock/poundlock/internal/mirror"

// documents reads a file of several YAML documents, as manifests are written.
func documents(name string, data []byte) ([]mirror.Node, mirror.Problems) {
	return mirror.ParseDocuments(name, data)
}

// items gives the parts of a list; none for anything else.
func items(n mirror.Node) []mirror.Node {
	var all []mirror.Node
	_ = n.DecodeAs("", &all) // what is no list has no items
	return all
}

// text gives the text of a scalar; "" for anything else.
func text(n mirror.Node) string {
	s, _ := n.Text()
	return s
}
