package render

import "github.com/poundlock/poundlock/internal/mirror"

// text gives the text of a scalar; "" for anything else.
func text(n mirror.Node) string {
	s, _ := n.Text()
	return s
}
