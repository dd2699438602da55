package daemon

import (
	"reflect"
	"strings"
)

// knownKeys lists the top-level keys of the configuration as the file spells them.
func knownKeys() []string {
	var keys []string
	for f := range reflect.TypeFor[Config]().Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && name != "-" {
			keys = append(keys, name)
		}
	}
	return keys
}

// envPath spells the parts of a variable's name as the keys of the file: STATEDIR is stateDir. A part
// that is a name of the user's own, as below registries, is taken in lower case.
func envPath(parts []string) string {
	t := reflect.TypeFor[Config]()
	path := make([]string, len(parts))
	for i, part := range parts {
		path[i] = strings.ToLower(part)
		switch {
		case t != nil && t.Kind() == reflect.Struct:
			t = fieldOf(t, part, &path[i])
		case t != nil && t.Kind() == reflect.Map:
			t = t.Elem()
		default:
			t = nil
		}
	}
	return strings.Join(path, ".")
}

func fieldOf(t reflect.Type, part string, spelt *string) reflect.Type {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if strings.EqualFold(name, part) {
			*spelt = name
			return f.Type
		}
	}
	return nil
}
