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
		d.scalar(n, path, "a duration", "write a number with a unit, such as 30s, 15m or 72h", func(s string) error {
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

// typeError says that a value is not of its type, and what it was perhaps meant to be.
type typeError struct{ near string }

// Error is for the chain only; the problem is worded where key and type are known.
func (typeError) Error() string { return "another type" }

func mismatch(err error, near string) error {
	if err == nil {
		return nil
	}
	return typeError{near}
}

func suggestDuration(s string) string {
	days, isDays := strings.CutSuffix(s, "d")
	switch n, err := strconv.Atoi(days); {
	case err != nil || n <= 0 || n > 10000:
	case isDays:
		return strconv.Itoa(24*n) + "h"
	default:
		return s + "s"
	}
	return ""
}

func suggestBool(s string) string {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "y":
		return "true"
	case "false", "no", "off", "n":
		return "false"
	}
	return ""
}

func (d decoder) scalar(n Node, path, want, fix string, set func(string) error) {
	text, ok := n.Text()
	if !ok {
		if n.IsNull() {
			fix = "write a value, or delete the key"
		}
		d.add(n, path, "DOC004", fix, "%s: want %s, have %s", path, want, n.kind())
		return
	}
	err := set(text)
	var other typeError
	var word UnknownWord
	switch {
	case err == nil:
	case d.guarded: // what stands here may be the secret of the key beside it
		d.add(n, path, "DOC004", fix, "%s: want %s", path, want)
	case errors.As(err, &other):
		if other.near != "" {
			fix = fmt.Sprintf("did you mean %q? %s", other.near, fix)
		}
		d.add(n, path, "DOC004", fix, "%s: want %s, have %q", path, want, text)
	case errors.As(err, &word):
		fix = "write " + orList(word.Known)
		if near := Nearest(word.Word, word.Known); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		d.add(n, path, "DOC004", fix, "%s: want %s, have %q", path, orList(word.Known), word.Word)
	default:
		d.add(n, path, "DOC004", strings.TrimPrefix(fix, "write one value"), "%s: %v", path, err)
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

// field is one key that a struct knows.
type field struct {
	name     string
	index    int
	required bool
}

func fieldsOf(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		name, opts, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			all = append(all, field{name, i, opts == "required"})
		}
	}
	return all
}

func namesOf(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

// guards says whether values of a struct may be secrets: it is a reference to one, or has a key that is.
func guards(t reflect.Type) bool {
	if t.Implements(guardedType) {
		return true
	}
	for _, f := range fieldsOf(t) {
		if t.Field(f.index).Type.Implements(guardedType) {
			return true
		}
	}
	return false
}

func (d decoder) mapping(n Node, v reflect.Value, path string) {
	fields := fieldsOf(v.Type())
	names := namesOf(fields)
	secret, isSecret := v.Interface().(Guarded)
	if n.node.Kind != yaml.MappingNode {
		if isSecret && !n.IsNull() {
			d.add(n, path, "DOC012", fmt.Sprintf("put the secret into a file of its own and write %s here; if others could read this one, change the secret", secret.SecretForm()),
				"%s: want a reference to a secret, have %s", path, n.kind())
			return
		}
		fix := "write keys below it: " + strings.Join(names, ", ")
		if path == "" {
			fix = "write keys at the top: " + strings.Join(names, ", ")
		}
		if isSecret {
			fix = "write " + secret.SecretForm() + ", or delete the key"
		}
		d.add(n, path, "DOC004", fix, "%s: want a mapping, have %s", orTop(path), n.kind())
		return
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Name == "Where" && f.Type == positionType {
			v.Field(i).Set(reflect.ValueOf(n.Where()))
		}
	}
	d.guarded = d.guarded || guards(v.Type())
	seen := map[string]bool{}
	for i := 0; i < len(n.node.Content); i += 2 {
		key, value := Node{n.file, n.node.Content[i]}, Node{n.file, n.node.Content[i+1]}
		name := key.node.Value
		k := slices.Index(names, name)
		if k < 0 {
			near := Nearest(name, names)
			if d.guarded && value.IsNull() {
				near = "" // a word alone may be the value that lacks its key
			}
			seen[near] = true
			d.unknown(key, value, path, near, names, secret)
			continue
		}
		seen[name] = true
		d.decode(value, v.Field(fields[k].index), join(path, name))
	}
	for _, f := range fields {
		if f.required && !seen[f.name] {
			where := n.Where()
			if path == "" {
				where = Position{File: n.file} // it belongs to no line
			}
			d.ps.AddAt(join(path, f.name), "DOC005", where, "add the key "+f.name, "%s is missing", join(path, f.name))
		}
	}
}

// unknown tells of a key that nobody reads. Where values may be secrets its name is told only when it is a
// misspelt one: in {username: x, hunter2} the secret stands in the place of a key. Elsewhere it is told when the
// snippet shows it, too: when it is a plain word that has a value.
func (d decoder) unknown(key, value Node, path, near string, names []string, secret Guarded) {
	name := key.node.Value
	fix := "known keys: " + strings.Join(names, ", ")
	if near != "" {
		fix = fmt.Sprintf("did you mean %q? rename it, or %s", near, explain(key.file, path))
		path = join(path, near)
		d.add(key, path, "DOC002", fix, "unknown key %q %s", name, under(path))
		return
	}
	switch at := join(path, name); {
	case secret != nil:
		d.add(key, path, "DOC002", "write "+secret.SecretForm(), "unknown key %s, which refers to a secret", under(path+"."))
	case d.guarded:
		d.add(key, path+".?", "DOC002", fix, "unknown key %s", under(path+"."))
	case !plainKey.MatchString(name) || value.IsNull(): // perhaps a line of a file that is none of ours
		d.add(key, join(path, "?"), "DOC002", fix, "an unknown key %s", under(join(path, "?")))
	default:
		d.add(key, at, "DOC002", fix, "unknown key %q %s", name, under(at))
	}
}

// explain names the command that tells of the keys at a path; documents of others are only to be read again.
func explain(file, path string) string {
	switch dir, _, _ := strings.Cut(file, "/"); {
	case strings.Contains(path, "/"):
		return "delete it"
	case file == PolicyFile:
		path = join("policy", path)
	case dir == "desired" && strings.Count(file, "/") == 1:
		path = join("set", path)
	case dir == "stages":
		path = join("stage", path)
	case dir == "desired":
		return "delete it"
	case path == "":
		path = "config"
	}
	path = strings.TrimSuffix(path, ".") // the top of a document
	if path = listIndex.ReplaceAllString(path, "[]"); strings.Contains(path, "[") {
		path = "'" + path + "'"
	}
	return "see `poundlock explain " + path + "`"
}

var listIndex = regexp.MustCompile(`\[\d+\]`)

// under says where the key at a path stands.
func under(path string) string {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "at the top of the document"
	}
	return "under " + path[:i]
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
