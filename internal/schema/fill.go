package schema

import (
	"encoding"
	"reflect"
	"slices"
	"strings"
	"time"
)

// fill writes into a schema what the Go value knows and the reflection of its type does not: which fields are
// keys at all, which keys must be there, and the defaults.
func fill(v reflect.Value, s *Schema) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v = reflect.New(v.Type().Elem())
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		if s.Properties != nil {
			fillFields(v, s)
		}
	case reflect.Map:
		if s.AdditionalProperties != nil {
			fill(reflect.New(v.Type().Elem()).Elem(), s.AdditionalProperties)
		}
	case reflect.Slice:
		if s.Items != nil {
			fill(reflect.New(v.Type().Elem()).Elem(), s.Items)
		}
	}
}

func fillFields(v reflect.Value, s *Schema) {
	for f, value := range v.Fields() {
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported():
			continue
		case name == "":
			s.Properties.Delete(f.Name) // the decoder knows no such key
			continue
		}
		property, ok := s.Properties.Get(name)
		if !ok {
			continue
		}
		if option == "required" && !slices.Contains(s.Required, name) {
			s.Required = append(s.Required, name)
		}
		if d := defaultOf(value); d != nil {
			property.Default = d
		} else if value.Kind() == reflect.Bool && property.Default == nil {
			property.Default = false
		}
		fill(value, property)
	}
}

// defaultOf gives a value as a document spells it; nil for one that is not set and for a mapping, whose keys
// have defaults of their own.
func defaultOf(v reflect.Value) any {
	if v.IsZero() || !v.CanInterface() {
		return nil
	}
	switch of := v.Interface().(type) {
	case time.Duration:
		return Duration(of)
	case encoding.TextMarshaler:
		text, err := of.MarshalText()
		if err != nil {
			return nil
		}
		return string(text)
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Int, reflect.Int64:
		return v.Int()
	case reflect.Bool:
		return v.Bool()
	case reflect.Slice:
		var list []any
		for i := range v.Len() {
			list = append(list, defaultOf(v.Index(i)))
		}
		return list
	}
	return nil
}

// Duration spells a duration as people do: 2h, not 2h0m0s.
func Duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
