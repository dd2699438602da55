// Package schema turns the struct tags of a document into its JSON Schema, into the explanation of each of its
// keys and into the reference in docs/. The tags are the one source of all of them.
//
// It promises schemas of draft-07, which editors understand, without references and without an address in the
// network. It knows no document of ours: values, defaults and the schemas of special types are given.
package schema

import (
	"encoding"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/invopop/jsonschema"
)

// Schema is a JSON Schema.
type Schema = jsonschema.Schema

// Draft is the version of JSON Schema that is published: the newest that editors' YAML servers know.
const Draft = "http://json-schema.org/draft-07/schema#"

// Options say how the Go value of a document is read.
type Options struct {
	Title       string
	Description string
	// Tag is the struct tag that names the keys: yaml for what people write, where a field without it is no key
	// and ",required" makes a key mandatory; json for what programs read.
	Tag string
	// Types gives the schema of types that are not what they are made of.
	Types map[reflect.Type]Schema
	// Open lets keys stand that are not listed.
	Open bool
}

// Of gives the schema of the document that v is. Under the tag yaml, what v holds are the defaults.
func Of(v any, o Options) *Schema {
	r := jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, AllowAdditionalProperties: o.Open,
		FieldNameTag: o.Tag, RequiredFromJSONSchemaTags: o.Tag == "yaml", Mapper: o.schemaOf,
	}
	s := r.Reflect(v)
	if o.Tag == "yaml" {
		fill(reflect.ValueOf(v), s)
	}
	s.Version, s.Title, s.Description = Draft, o.Title, o.Description
	return s
}

// Part gives the schema of a part of a document, as Of does for the whole.
func Part(v any, o Options) *Schema {
	s := Of(v, o)
	s.Version = ""
	return s
}

var (
	durationType  = reflect.TypeFor[time.Duration]()
	timeType      = reflect.TypeFor[time.Time]()
	textReadable  = reflect.TypeFor[encoding.TextUnmarshaler]()
	textWriteable = reflect.TypeFor[encoding.TextMarshaler]()
)

// schemaOf gives the schema of a type that is not what it is made of; nil for all others. Each caller gets its
// own, since the tags of its field are written into it.
func (o Options) schemaOf(t reflect.Type) *Schema {
	if s, ok := o.Types[t]; ok {
		s.Extras = maps.Clone(s.Extras)
		return &s
	}
	switch {
	case t == timeType:
		return nil
	case t == durationType && o.Tag == "yaml":
		return &Schema{Type: "string", Title: "duration", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`}
	case o.Tag == "yaml" && reflect.PointerTo(t).Implements(textReadable), o.Tag == "json" && t.Implements(textWriteable):
		return &Schema{Type: "string"}
	}
	return nil
}

// Kinds gives the schema of a mapping whose key kind says which other keys there are. What a kind's schema
// says of its key kind describes the kind.
func Kinds(byKind map[string]*Schema) *Schema {
	s := &Schema{Type: "object", Required: []string{"kind"}}
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		alternative := byKind[kind]
		if key, ok := alternative.Properties.Get("kind"); ok {
			key.Const, alternative.Title, alternative.Description = kind, kind, key.Description
		}
		s.OneOf = append(s.OneOf, alternative)
	}
	return s
}

// Or lets a mapping stand in the place of a word. word is the key as its tags describe it, with the words that there
// are and its default.
func Or(word, mapping *Schema) *Schema {
	return &Schema{Description: word.Description, Default: word.Default, OneOf: []*Schema{{Type: word.Type, Enum: word.Enum}, mapping}}
}

// Words gives the schema of a mapping with keys of the user's own, below each of which stands one of the words of a
// key as its tags describe it.
func Words(word *Schema) *Schema {
	return &Schema{Type: "object", AdditionalProperties: &Schema{Type: word.Type, Enum: word.Enum}}
}

// Partial lets any key of a document be left out, for a file that is laid over another one. A mapping that is
// one value, and an item of a list, stays as it is.
func Partial(s *Schema) *Schema {
	if s.Items != nil || len(s.OneOf) > 0 {
		return s
	}
	s.Required, s.AnyOf = nil, nil
	for _, property := range s.Properties.FromOldest() {
		Partial(property)
	}
	if named(s) {
		Partial(s.AdditionalProperties)
	}
	return s
}

// OrNothing lets a key stand without a value.
func OrNothing(s *Schema) *Schema {
	s.Type, s.Extras = "", map[string]any{"type": []string{"object", "null"}}
	return s
}
