package mirror

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

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

// Value gives the part as plain maps, slices and text, for a library that merges documents. Every scalar is
// its text; an empty value is nil.
func (n Node) Value() any {
	switch {
	case n.node == nil || n.IsNull():
		return nil
	case n.node.Kind == yaml.MappingNode:
		m := map[string]any{}
		for _, key := range n.Keys() {
			m[key] = n.Key(key).Value()
		}
		return m
	case n.node.Kind == yaml.SequenceNode:
		list := make([]any, len(n.node.Content))
		for i, c := range n.node.Content {
			list[i] = Node{n.file, c}.Value()
		}
		return list
	}
	return n.node.Value
}

// IsMapping says whether the part is a mapping.
func (n Node) IsMapping() bool { return n.node != nil && n.node.Kind == yaml.MappingNode }

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
	var ps Problems
	if len(data) > MaxDocument {
		ps.Add("DOC007", Position{File: file}, fmt.Sprintf("split it; the limit is %d MiB", MaxDocument>>20), "file of %d bytes is too large", len(data))
		return Node{}, ps
	}
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil {
		ps.Add("DOC001", placeOf(file, err), "mend the YAML syntax", "%s", syntaxText(err))
		return Node{}, ps
	}
	n := Node{file: file, node: &doc}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		n.node = doc.Content[0]
	}
	return n, nil
}

// Decode reads one YAML document into the struct that into points to. Fields are named by their yaml tag;
// ",required" makes a key mandatory. Every mistake of the file is found in one pass. A field named Where
// of type Position receives the place of its mapping. Strings keep the text of the file.
func Decode(file string, data []byte, into any) Problems {
	n, ps := ParseDocument(file, data)
	if len(ps) > 0 {
		return ps
	}
	return n.Decode(into)
}

// Decode reads the part into the value that into points to, as the function Decode does.
func (n Node) Decode(into any) Problems { return n.DecodeAs("", into) }

// DecodeAs is Decode for a part that lies under path in its document; the path stands in every problem.
func (n Node) DecodeAs(path string, into any) Problems {
	var ps Problems
	if n.node == nil || n.IsNull() {
		empty := &yaml.Node{Kind: yaml.MappingNode, Line: 1}
		if n.node != nil {
			empty.Line, empty.Column = n.node.Line, n.node.Column
		}
		n.node = empty
	}
	n.decode(&ps, reflect.ValueOf(into).Elem(), path)
	return ps
}

// The YAML library gives the place of a mistake as L<line>.C<column> inside its text.
var (
	placePattern = regexp.MustCompile(`L(\d+)\.C(\d+)`)
	wherePattern = regexp.MustCompile(`^.*? (?:at L\d+\.C\d+(?:-L\d+\.C\d+)?|at <unknown position>|<unknown position>): `)
)

func placeOf(file string, err error) Position {
	p := Position{File: file}
	if m := placePattern.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Column, _ = strconv.Atoi(m[2])
	}
	return p
}

func syntaxText(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	text = strings.TrimPrefix(wherePattern.ReplaceAllString(text, ""), "yaml: ")
	switch text {
	case "no documents in stream":
		return "the file holds no document"
	case "expected single document, found multiple":
		return "the file holds several documents, want one"
	}
	return text
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
				ps.Add("DOC003", Node{n.file, key}.Where(), "keep one of them", "duplicate key %q, first in line %d", key.Value, line)
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

var (
	positionType = reflect.TypeFor[Position]()
	nodeType     = reflect.TypeFor[Node]()
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (n Node) decode(ps *Problems, v reflect.Value, path string) {
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(n))
		return
	}
	if v.Addr().Type().Implements(textType) {
		n.scalar(ps, path, v.Type().Name(), func(s string) error {
			return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
		})
		return
	}
	if v.Type() == durationType {
		n.scalar(ps, path, "duration such as 30s, 15m or 72h", func(s string) error {
			d, err := time.ParseDuration(s)
			v.SetInt(int64(d))
			return err
		})
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		n.mapping(ps, v, path)
	case reflect.Map:
		n.entries(ps, v, path)
	case reflect.Slice:
		n.sequence(ps, v, path)
	case reflect.String:
		n.scalar(ps, path, "text", func(s string) error { v.SetString(s); return nil })
	case reflect.Bool:
		n.scalar(ps, path, "true or false", func(s string) error {
			if s != "true" && s != "false" {
				return errors.New("not a boolean")
			}
			v.SetBool(s == "true")
			return nil
		})
	case reflect.Int, reflect.Int64:
		n.scalar(ps, path, "whole number", func(s string) error {
			i, err := strconv.ParseInt(s, 10, 64)
			v.SetInt(i)
			return err
		})
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		n.decode(ps, v.Elem(), path)
	default:
		panic("mirror: cannot decode into " + v.Type().String())
	}
}

func (n Node) scalar(ps *Problems, path, want string, set func(string) error) {
	text, ok := n.Text()
	if !ok {
		ps.Add("DOC004", n.Where(), "", "%s: want %s, have %s", path, want, n.kind())
		return
	}
	if err := set(text); err != nil {
		if want == "duration such as 30s, 15m or 72h" || want == "true or false" || want == "whole number" {
			ps.Add("DOC004", n.Where(), "", "%s: want %s, have %q", path, want, text)
			return
		}
		ps.Add("DOC004", n.Where(), "", "%s: %v", path, err)
	}
}

func (n Node) kind() string {
	switch {
	case n.node.Kind == yaml.MappingNode:
		return "a mapping"
	case n.node.Kind == yaml.SequenceNode:
		return "a list"
	case n.IsNull():
		return "nothing"
	}
	return "a single value" // never the value itself: it may be a secret written where a reference belongs
}

func (n Node) mapping(ps *Problems, v reflect.Value, path string) {
	if n.node.Kind != yaml.MappingNode {
		ps.Add("DOC004", n.Where(), "", "%s: want a mapping, have %s", orTop(path), n.kind())
		return
	}
	fields, required := map[string]reflect.Value{}, []string{}
	var names []string
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Name == "Where" && f.Type == positionType {
			v.Field(i).Set(reflect.ValueOf(n.Where()))
			continue
		}
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		fields[name] = v.Field(i)
		names = append(names, name)
		if opts == "required" {
			required = append(required, name)
		}
	}
	for i := 0; i < len(n.node.Content); i += 2 {
		key, value := Node{n.file, n.node.Content[i]}, Node{n.file, n.node.Content[i+1]}
		name := key.node.Value
		f, ok := fields[name]
		if !ok {
			fix := "known keys: " + strings.Join(names, ", ")
			if near := Nearest(name, names); near != "" {
				fix = fmt.Sprintf("did you mean %q?", near)
			}
			ps.Add("DOC002", key.Where(), fix, "unknown key %q in %s", name, orTop(path))
			continue
		}
		value.decode(ps, f, join(path, name))
		required = slices.DeleteFunc(required, func(r string) bool { return r == name })
	}
	for _, name := range required {
		ps.Add("DOC005", n.Where(), "add it", "%s is missing", join(path, name))
	}
}

func (n Node) entries(ps *Problems, v reflect.Value, path string) {
	if n.IsNull() {
		return
	}
	if n.node.Kind != yaml.MappingNode {
		ps.Add("DOC004", n.Where(), "", "%s: want a mapping, have %s", orTop(path), n.kind())
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i < len(n.node.Content); i += 2 {
		key := n.node.Content[i].Value
		value := reflect.New(v.Type().Elem()).Elem()
		Node{n.file, n.node.Content[i+1]}.decode(ps, value, join(path, key))
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), value)
	}
}

func (n Node) sequence(ps *Problems, v reflect.Value, path string) {
	if n.node.Kind != yaml.SequenceNode {
		ps.Add("DOC004", n.Where(), "write it as a list", "%s: want a list, have %s", orTop(path), n.kind())
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.node.Content), len(n.node.Content)))
	for i, c := range n.node.Content {
		Node{n.file, c}.decode(ps, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

func orTop(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
