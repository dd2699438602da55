package mirror

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"
)

// Decode reads one YAML document into the struct that into points to. Fields are named by their yaml tag;
// ",required" makes a key mandatory. Every mistake of the file is found in one pass. A field named Where
// of type Position receives the place of its mapping. Strings keep the text of the file.
func Decode(file string, data []byte, into any) Problems {
	n, ps := ParseDocument(file, data)
	if ps.Stop() {
		return ps
	}
	return append(ps, n.Decode(into)...)
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
	decoder{ps: &ps}.decode(n, reflect.ValueOf(into).Elem(), path)
	return ps
}

// Guarded is what a type is whose value refers to a secret. Somebody may have written the secret itself where the
// reference belongs, so nothing of what stands there is ever shown, nor the values of the keys beside it.
type Guarded interface {
	// SecretForm says how the reference is written, such as "{file: /path} or {env: NAME}".
	SecretForm() string
}

var (
	positionType = reflect.TypeFor[Position]()
	nodeType     = reflect.TypeFor[Node]()
	durationType = reflect.TypeFor[time.Duration]()
	digestType   = reflect.TypeFor[Digest]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	guardedType  = reflect.TypeFor[Guarded]()
)

// decoder carries what holds for a part of a document: whether values there may be secrets.
type decoder struct {
	ps      *Problems
	guarded bool
}

func (d decoder) add(n Node, path, code, fix, format string, args ...any) {
	d.ps.AddAt(path, code, n.Where(), fix, format, args...)
}

func (d decoder) decode(n Node, v reflect.Value, path string) {
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(n))
		return
	}
	if v.Type() == digestType {
		d.scalar(n, path, "a digest", "copy the whole digest: sha256: and 64 hexadecimal digits", func(s string) error {
			digest, err := ParseDigest(s)
			v.Set(reflect.ValueOf(digest))
			return err
		})
		return
	}
	if v.Addr().Type().Implements(textType) {
		form := "write one value"
		if f, ok := v.Interface().(interface{ Form() string }); ok {
			form = f.Form()
		}
		d.scalar(n, path, "text", form, func(s string) error {
			return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
		})
		return
	}
	if v.Type() == durationType {
		d.scalar(n, path, "a duration", "write a number with its unit, such as 30s, 72h or 3h30m", func(s string) error {
			span, err := time.ParseDuration(s)
			v.SetInt(int64(span))
			return mismatch(err, suggestDuration(s))
		})
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Map:
		d.entries(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	case reflect.String:
		d.scalar(n, path, "text", "write one value", func(s string) error { v.SetString(s); return nil })
	case reflect.Bool:
		d.scalar(n, path, "true or false", "write true or false", func(s string) error {
			v.SetBool(s == "true")
			if s == "true" || s == "false" {
				return nil
			}
			return mismatch(errors.New("not a boolean"), suggestBool(s))
		})
	case reflect.Int, reflect.Int64:
		d.scalar(n, path, "a whole number", "write digits only", func(s string) error {
			i, err := strconv.ParseInt(s, 10, 64)
			v.SetInt(i)
			return mismatch(err, "")
		})
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v.Elem(), path)
	default:
		panic("mirror: cannot decode into " + v.Type().String())
	}
}

func (d decoder) entries(n Node, v reflect.Value, path string) {
	if n.IsNull() {
		return
	}
	if n.node.Kind != yaml.MappingNode {
		d.add(n, path, "DOC004", "write names with values below it, as in name: value", "%s: want a mapping, have %s", orTop(path), n.kind())
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i < len(n.node.Content); i += 2 {
		key := n.node.Content[i].Value
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(Node{n.file, n.node.Content[i+1]}, value, join(path, key))
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), value)
	}
}

func (d decoder) sequence(n Node, v reflect.Value, path string) {
	if n.node.Kind != yaml.SequenceNode {
		fix := "write it as a list, as in [a, b]"
		if n.IsNull() {
			fix = "write a list, or delete the key"
		}
		d.add(n, path, "DOC004", fix, "%s: want a list, have %s", orTop(path), n.kind())
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.node.Content), len(n.node.Content)))
	for i, c := range n.node.Content {
		d.decode(Node{n.file, c}, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
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
