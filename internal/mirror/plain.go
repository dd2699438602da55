package mirror

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// What readers of YAML 1.1, such as those of Ansible and Helm, take for a number, a truth or a date, although a reader of
// YAML 1.2 reads text: 0o17 and 017, 1_000, 1:30, yes and off.
var (
	otherNumber = regexp.MustCompile(`^[-+]?(0[xXoObB])?[0-9][0-9a-fA-F_:]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?$|^[-+]?\.[0-9_]+$`)
	otherDate   = regexp.MustCompile(`^\d{4}-\d\d?-\d\d?([Tt ].*)?$`)
)

// IsString says whether every reader of YAML takes the part for text as it stands: it is quoted, a block of text, or a plain
// word that is no number, truth or date in any version of YAML.
func (n Node) IsString() bool {
	if n.node == nil || n.node.Kind != yaml.ScalarNode {
		return false
	}
	if n.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return true
	}
	switch strings.ToLower(n.node.Value) {
	case "", "y", "n", "yes", "no", "on", "off", "true", "false", "null", "~":
		return false
	}
	return n.node.Tag == "!!str" && !otherNumber.MatchString(n.node.Value) && !otherDate.MatchString(n.node.Value)
}
