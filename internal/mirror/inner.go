package mirror

import "go.yaml.in/yaml/v4"

// Inner reads the text of a scalar as a document of its own, as a ConfigMap carries one. Places are those
// of the outer file: exact in line where the text is a literal block (|), else the place of the scalar.
func (n Node) Inner() (Node, Problems) {
	text, ok := n.Text()
	if !ok {
		var ps Problems
		ps.Add("DOC004", n.Where(), "", "want text that holds a YAML document")
		return Node{}, ps
	}
	inner, ps := parse(n.file, []byte(text))
	place := func(line, column int) (int, int) {
		if n.node.Style&yaml.LiteralStyle == 0 {
			return n.node.Line, n.node.Column
		}
		// The block starts below its indicator; how far it is indented the parser does not tell.
		return n.node.Line + line, 0
	}
	if len(ps) > 0 {
		ps[0].Where.Line, ps[0].Where.Column = place(ps[0].Where.Line, ps[0].Where.Column)
		return Node{}, ps
	}
	inner.move(place)
	inner.check(&ps, 0)
	return inner, ps
}

func (n Node) move(place func(line, column int) (int, int)) {
	n.node.Line, n.node.Column = place(n.node.Line, n.node.Column)
	for _, c := range n.node.Content {
		Node{n.file, c}.move(place)
	}
}
