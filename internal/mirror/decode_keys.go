package mirror

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

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
			fix := "add the key " + f.name
			if f.name == "key" {
				fix = "add key: with its value"
			}
			d.ps.AddAt(join(path, f.name), "DOC005", where, fix, "%s is missing", join(path, f.name))
		}
	}
}

// unknown tells of a key that nobody reads. Where values may be secrets its name is told only when it is a
// misspelt one: in {username: x, hunter2} the secret stands in the place of a key. Elsewhere it is told when the
// snippet shows it, too: when it is a plain word that has a value.
func (d decoder) unknown(key, value Node, path, near string, names []string, secret Guarded) {
	name := key.node.Value
	fix := "known keys: " + strings.Join(names, ", ")
	if len(names) == 0 {
		fix = "delete it: nothing is to be said here"
	}
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
	case strings.HasPrefix(file, ConsumersDir+"/"):
		path = join("consumer", path)
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
