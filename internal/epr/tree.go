package epr

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// errYAML is told of a manifest without its text: the position says where to look.
var errYAML = errors.New("it is no mapping of texts")

// What aliases of YAML may grow a manifest to: each is written out where it stands.
const (
	maxNodes = 500_000
	maxText  = 16 << 20 // bytes
)

// tree reads a manifest as Elastic's registry does: YAML 1.1, where yes and off are truths, and keys with dots are nested
// mappings. Values are map[string]any, []any, string, int64, uint64, float64, bool and nil.
func tree(manifest string) (map[string]any, error) {
	var doc yaml.Node
	if err := yaml.Load([]byte(manifest), &doc); err != nil {
		return nil, err
	}
	n := &doc
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		n = doc.Content[0]
	}
	r := reader{left: maxNodes, text: maxText}
	v, err := r.value(n, 0)
	if err != nil {
		return nil, err
	}
	m, is := v.(map[string]any)
	if !is {
		return nil, errYAML
	}
	return m, nil
}

type reader struct{ left, text int }

func (r *reader) value(n *yaml.Node, depth int) (any, error) {
	r.left, r.text = r.left-1, r.text-len(n.Value)
	if r.left < 0 || r.text < 0 || depth > 100 {
		return nil, errors.New("it is nested too deep, or its aliases grow too large")
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.value(n.Alias, depth+1)
	case yaml.SequenceNode:
		all := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, err := r.value(c, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		return all, nil
	case yaml.MappingNode:
		return r.mapping(n, depth)
	}
	return scalar(n), nil
}

// mapping reads a mapping with all that is merged into it; its own keys win over merged ones.
func (r *reader) mapping(n *yaml.Node, depth int) (map[string]any, error) {
	m := map[string]any{}
	seen := map[string]bool{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Value == "<<" && k.Style == 0 {
			merged = append(merged, v)
			continue
		}
		name, isText := scalar(k).(string)
		if k.Kind != yaml.ScalarNode || !isText {
			return nil, fmt.Errorf("line %d: a key that is no text", k.Line)
		}
		if seen[name] {
			return nil, fmt.Errorf("line %d: a key stands there twice", k.Line)
		}
		seen[name] = true
		value, err := r.value(v, depth+1)
		if err != nil {
			return nil, err
		}
		if !put(m, strings.Split(name, "."), value) {
			return nil, fmt.Errorf("line %d: a key with dots and a nested one say different things", k.Line)
		}
	}
	for _, v := range merged {
		if err := r.merge(m, v, depth); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (r *reader) merge(m map[string]any, v *yaml.Node, depth int) error {
	from, err := r.value(v, depth+1)
	if err != nil {
		return err
	}
	all, isList := from.([]any)
	if !isList {
		all = []any{from}
	}
	for _, one := range all {
		more, is := one.(map[string]any)
		if !is {
			return fmt.Errorf("line %d: what is merged is no mapping", v.Line)
		}
		for k, v := range more {
			if _, has := m[k]; !has {
				m[k] = v
			}
		}
	}
	return nil
}

// put sets a nested key. Mappings grow together; nothing gives way to any value; two other values are a contradiction.
func put(m map[string]any, path []string, v any) bool {
	key := path[0]
	if len(path) > 1 {
		if m[key] == nil {
			m[key] = map[string]any{}
		}
		sub, is := m[key].(map[string]any)
		return is && put(sub, path[1:], v)
	}
	old, both := m[key].(map[string]any)
	sub, is := v.(map[string]any)
	switch {
	case v == nil && m[key] != nil:
		return true
	case m[key] == nil:
		m[key] = v
		return true
	case !both || !is:
		return false
	}
	for k, one := range sub {
		if !put(old, []string{k}, one) {
			return false
		}
	}
	return true
}

// scalar gives the value of a plain word as YAML 1.1 means it; all that is quoted is text. Source: https://yaml.org/type/, as
// gopkg.in/yaml.v2 reads it, which Elastic's registry uses.
func scalar(n *yaml.Node) any {
	s := n.Value
	switch {
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return s
	case n.Style&yaml.TaggedStyle != 0 && n.ShortTag() == "!!str":
		return s
	}
	switch s {
	case "", "~", "null", "Null", "NULL":
		return nil
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return true
	case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return false
	}
	return number(s)
}

// number gives a plain word as a number where it is one: also octal, hexadecimal, and with underscores.
func number(s string) any {
	if !strings.ContainsAny(s[:1], "+-.0123456789") {
		return s
	}
	plain := strings.ReplaceAll(s, "_", "")
	if i, err := strconv.ParseInt(plain, 0, 64); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(plain, 0, 64); err == nil {
		return u
	}
	if strings.ContainsAny(plain, "xXpPiInN") { // hexadecimal floats, infinity and the like are no numbers of YAML, or none of JSON
		return s
	}
	if f, err := strconv.ParseFloat(plain, 64); err == nil && !math.IsInf(f, 0) {
		return f
	}
	return s
}
