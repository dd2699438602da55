package schema

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Document is a document that people write.
type Document struct {
	Name   string // what commands call it: config, set
	File   string // where it lies
	Short  string // what it is for, in one line
	Schema *Schema
	Env    string // prefix of the environment variables that set its keys, all but version; empty: there are none
}

// versionKey says how the document itself is to be read, so that it stands in the document.
const versionKey = "version"

// Key says what one key of a document means.
type Key struct {
	Path        string   `json:"path"`           // from the top of the document; <name> stands for a name of the user's own
	Kind        string   `json:"kind,omitempty"` // the kind of source, and the like, that has this key
	Type        string   `json:"type"`           // in words
	Required    bool     `json:"required,omitempty"`
	Default     any      `json:"default,omitempty"`
	Values      []string `json:"values,omitempty"` // the only values there are
	Variable    string   `json:"variable,omitempty"`
	Description string   `json:"description"`
	Examples    []any    `json:"examples,omitempty"`

	parent string // the path below which it lies, without the name of a user's own
	below  string // the path that its own keys begin with
	schema *Schema
}

// Name gives the last part of the path.
func (k Key) Name() string { return k.Path[strings.LastIndex(k.Path, ".")+1:] }

// Keys gives every key of the document, each before those below it.
func (d Document) Keys() []Key {
	return slices.Collect(d.keys("", "", "", d.Schema))
}

// keys walks a schema whose keys begin with prefix.
func (d Document) keys(parent, prefix, kind string, s *Schema) iter.Seq[Key] {
	return func(yield func(Key) bool) {
		for _, a := range alternatives(s) {
			of := kind
			if a.Title != "" && a != s {
				of = a.Title
			}
			for name, property := range a.Properties.FromOldest() {
				k := d.key(prefix+name, of, property, slices.Contains(a.Required, name))
				k.parent = parent
				if !yield(k) {
					return
				}
				for below := range d.keys(k.Path, k.below, of, inner(property)) {
					if !yield(below) {
						return
					}
				}
			}
		}
	}
}

func (d Document) key(path, kind string, s *Schema, required bool) Key {
	k := Key{Path: path, Kind: kind, Type: typeOf(s), Required: required, Default: s.Default,
		Description: s.Description, Examples: s.Examples, below: path + ".", schema: s}
	k.Values = values(inner(s))
	if len(k.Examples) == 0 {
		k.Examples = inner(s).Examples
	}
	switch {
	case s.Items != nil:
		k.below = path + "[]."
	case named(s):
		k.below = path + ".<name>."
	}
	if d.Env != "" && path != versionKey && !isMapping(s) && !strings.Contains(path, "[") {
		k.Variable = d.Env + strings.ToUpper(strings.ReplaceAll(path, ".", "__"))
	}
	return k
}

// orMapping gives the two that Or made one of.
func orMapping(s *Schema) (word, mapping *Schema, ok bool) {
	if len(s.OneOf) != 2 || len(s.OneOf[0].Enum) == 0 {
		return nil, nil, false
	}
	return s.OneOf[0], s.OneOf[1], true
}

// values lists the words that may stand under a key where no other may.
func values(s *Schema) []string {
	var words []string
	for _, value := range s.Enum {
		words = append(words, fmt.Sprint(value))
	}
	if s.Const != nil {
		words = append(words, fmt.Sprint(s.Const))
	}
	if word, _, ok := orMapping(s); ok {
		return values(word)
	}
	return words
}

// alternatives gives the schemas that list keys: those of each kind, or the schema itself.
func alternatives(s *Schema) []*Schema {
	var all []*Schema
	for _, a := range s.OneOf {
		if a.Properties != nil {
			all = append(all, a)
		}
	}
	if s.Properties != nil {
		all = append(all, s)
	}
	return all
}

// inner gives what lies in a list or below the names of a mapping, and the schema itself for all else.
func inner(s *Schema) *Schema {
	switch {
	case s.Items != nil:
		return s.Items
	case named(s):
		return s.AdditionalProperties
	}
	return s
}

// named says whether the keys of a mapping are the user's own.
func named(s *Schema) bool { return s.Properties == nil && s.AdditionalProperties != nil }

func isMapping(s *Schema) bool {
	return len(alternatives(s)) > 0 || named(s) || s.Items != nil && isMapping(s.Items)
}

// typeOf says in words what may stand under a key.
func typeOf(s *Schema) string {
	if word, mapping, ok := orMapping(s); ok {
		return typeOf(word) + ", or " + typeOf(mapping)
	}
	switch {
	case s.Items != nil && isMapping(s.Items):
		return "list of mappings"
	case s.Items != nil:
		return "list of " + typeOf(s.Items)
	case named(s):
		return "by name: " + typeOf(s.AdditionalProperties)
	case isMapping(s):
		return "mapping" + choice(s)
	case s.Type == "string" && len(values(s)) == 1:
		return "only " + values(s)[0]
	case s.Type == "string" && len(values(s)) > 1:
		return "one of " + strings.Join(values(s), ", ")
	case s.Title != "":
		return s.Title
	}
	switch s.Type {
	case "integer":
		return "whole number"
	case "boolean":
		return "true or false"
	case "string":
		return "text"
	}
	return s.Type
}

// choice names the keys of a mapping of which one must be there.
func choice(s *Schema) string {
	list := func(word string, alternatives []*Schema) string {
		var keys []string
		for _, a := range alternatives {
			if a.Properties == nil {
				keys = append(keys, a.Required...)
			}
		}
		if len(keys) == 0 {
			return ""
		}
		return " with " + word + " of " + strings.Join(keys, ", ")
	}
	return list("one", s.OneOf) + list("at least one", s.AnyOf)
}
