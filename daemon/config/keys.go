package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// A key path leads from the top of the configuration to a value, as in git.poll. Its parts are the keys of the
// file; below a map, such as registries, a part is a name of the user's own.
var (
	configType   = reflect.TypeFor[Config]()
	secretType   = reflect.TypeFor[Secret]()
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// keysOf lists the keys of a mapping with the types of their values, in the order of the struct.
func keysOf(t reflect.Type) (names []string, types []reflect.Type) {
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && name != "-" {
			names, types = append(names, name), append(types, f.Type)
		}
	}
	return names, types
}

// below gives the type of the value under a key; false when there is no such key.
func below(t reflect.Type, key string) (reflect.Type, bool) {
	switch {
	case t.Kind() == reflect.Map:
		return t.Elem(), true
	case isMapping(t) || t == secretType:
		names, types := keysOf(t)
		if i := slices.Index(names, key); i >= 0 {
			return types[i], true
		}
	}
	return nil, false
}

// isMapping says whether values of the type are keys with values below them. A reference to a secret is one
// value: a later layer replaces all of it.
func isMapping(t reflect.Type) bool {
	return t != secretType && (t.Kind() == reflect.Map || t.Kind() == reflect.Struct && !isText(t))
}

func isText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textType) }

// isPath says whether the values of a key are paths of files.
func isPath(key string) bool {
	return slices.Contains([]string{"stateDir", "socket", "knownHosts", "caFiles", "certFile", "keyFile", "dir", "floor", "allowedSigners", "keyring"}, key)
}

// spelling is how a variable or a flag writes a key path.
type spelling struct {
	prefix, separator string
	// spell writes one key; folded says that the case of letters does not matter.
	spell  func(key string) string
	folded bool
}

var (
	// envSpelling: two underscores stand for the dot, and one for a dash or a dot inside a name.
	envSpelling = spelling{prefix: EnvPrefix, separator: "__", folded: true, spell: func(key string) string {
		return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(key))
	}}
	flagSpelling = spelling{separator: ".", spell: func(key string) string { return key }}
)

// of writes a key path.
func (s spelling) of(path ...string) string {
	words := make([]string, len(path))
	for i, key := range path {
		words[i] = s.spell(key)
	}
	return s.prefix + strings.Join(words, s.separator)
}

// first takes the first of the known keys off the front of a path. Of several that fit, the longest counts, and
// of two with one spelling the one that is written just so.
func (s spelling) first(known []string, path string) (key, rest string, err error) {
	best, fits := -1, []string(nil)
	for _, k := range known {
		spelt, given := s.spell(k), path
		if s.folded {
			given = strings.ToUpper(path)
		}
		if given != spelt && !strings.HasPrefix(given, spelt+s.separator) {
			continue
		}
		switch {
		case len(spelt) > best:
			best, fits = len(spelt), []string{k}
		case len(spelt) == best:
			fits = append(fits, k)
		}
	}
	if len(fits) > 1 {
		exact := slices.IndexFunc(fits, func(k string) bool { return path == k || strings.HasPrefix(path, k+s.separator) })
		if exact < 0 {
			return "", "", fmt.Errorf("both %s are written so", strings.Join(fits, " and "))
		}
		fits = fits[exact : exact+1]
	}
	if len(fits) == 0 {
		return "", path, nil
	}
	return fits[0], strings.TrimPrefix(path[best:], s.separator), nil
}

// unknownKey is a path that leads to no key.
type unknownKey struct {
	meant string // the path that was most likely meant; "" when none is near
	what  string
	known []string // keys that would be possible, spelt
}

func (e *unknownKey) Error() string { return e.what }

// resolve follows a path to a key. names gives the names that the user has below a map so far; a new one is
// taken as it is written, from a variable in lower case.
func (s spelling) resolve(text string, names func(path []string) []string) (path []string, t reflect.Type, _ *unknownKey) {
	t = configType
	for rest := text; rest != ""; {
		var known []string
		isMap := t.Kind() == reflect.Map
		switch {
		case isMap:
			known = names(path)
		case isMapping(t) || t == secretType:
			known, _ = keysOf(t)
		default:
			return nil, nil, &unknownKey{meant: strings.Join(path, "."), what: fmt.Sprintf("%s is one value, with no keys below it", strings.Join(path, "."))}
		}
		key, after, err := s.first(known, rest)
		switch {
		case err != nil:
			return nil, nil, &unknownKey{what: err.Error()}
		case key == "" && isMap:
			key, after, _ = strings.Cut(rest, s.separator)
			if s.folded {
				key = strings.ToLower(key)
			}
		case key == "":
			return nil, nil, s.unknown(path, rest, known)
		}
		next, _ := below(t, key)
		path, t, rest = append(path, key), next, after
		if key == "" || strings.HasSuffix(text, s.separator) {
			return nil, nil, &unknownKey{what: "a part of the key is empty"}
		}
	}
	return path, t, nil
}

// unknown says that below a path there is no such key. Of what stands there only the part that should be a key is
// looked at.
func (s spelling) unknown(path []string, rest string, known []string) *unknownKey {
	word, _, _ := strings.Cut(rest, s.separator)
	spelt := make([]string, len(known))
	for i, k := range known {
		spelt[i] = s.spell(k)
	}
	if s.folded {
		word = strings.ToUpper(word)
	}
	e := &unknownKey{what: "names no key of the configuration"}
	if near := mirror.Nearest(word, spelt); near != "" {
		key := known[slices.Index(spelt, near)]
		e.meant, e.known = strings.Join(append(slices.Clone(path), key), "."), []string{s.of(append(slices.Clone(path), key)...)}
		return e
	}
	for _, k := range known {
		t := configType
		full := append(slices.Clone(path), k)
		for _, key := range full {
			t, _ = below(t, key)
		}
		if !isMapping(t) && t != secretType && !slices.Equal(full, []string{"version"}) { // only those that can be set outside of a file
			e.known = append(e.known, s.of(full...))
		}
	}
	return e
}

// allKeys lists the paths of all values; names gives the names below a map.
func allKeys(t reflect.Type, path []string, names func(path []string) []string) [][]string {
	if !isMapping(t) && t != secretType {
		return [][]string{path}
	}
	keys := []string(nil)
	if t.Kind() == reflect.Map {
		keys = names(path)
	} else {
		keys, _ = keysOf(t)
	}
	var all [][]string
	for _, key := range keys {
		next, _ := below(t, key)
		all = append(all, allKeys(next, append(slices.Clone(path), key), names)...)
	}
	return all
}
