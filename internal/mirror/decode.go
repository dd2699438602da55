package mirror

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

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
