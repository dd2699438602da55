package config

import (
	"cmp"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Origin says where a value of the configuration was set. The zero Origin is the default.
type Origin struct{ at mirror.Position }

// String gives "default", the place in a file such as config.yaml:12:9, "env POUNDLOCK_GIT__POLL" or
// "flag --set git.poll".
func (o Origin) String() string { return cmp.Or(o.at.String(), "default") }

// MarshalText gives the origin as String does.
func (o Origin) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Position gives the place for a problem; the zero one for a default.
func (o Origin) Position() mirror.Position { return o.at }

// settings is what is known of a configuration that was loaded, besides its values.
type settings struct {
	origins map[string]Origin // by key path; items of a list by their number; mappings where they were begun
	texts   map[string]string // of templates, by key path
	files   mirror.Files      // what was read, by the name in Position
	read    []string          // the files in the order they were laid over each other
}

func newSettings() *settings {
	return &settings{origins: map[string]Origin{}, texts: map[string]string{}, files: mirror.Files{}}
}

// take lays the origins of a layer over those of the layers below. What a value replaces is forgotten with all
// of its parts.
func (s *settings) take(l *layer) {
	for path := range l.values {
		maps.DeleteFunc(s.origins, func(old string, _ Origin) bool { return strings.HasPrefix(old, path+".") })
	}
	maps.Copy(s.texts, l.texts)
	for path, o := range l.origins {
		if _, begun := s.origins[path]; !begun || !l.mappings[path] {
			s.origins[path] = o
		}
	}
}

// place gives where the value at a path was set; where the mapping was begun that lacks it, when it was not.
func (s *settings) place(path ...string) mirror.Position {
	for n := len(path); n >= 0; n-- {
		if o, ok := s.origins[strings.Join(path[:n], ".")]; ok {
			return o.at
		}
	}
	return mirror.Position{}
}

// written says whether a key stands in some layer, be it with an empty value, and where.
func (s *settings) written(path string) (mirror.Position, bool) {
	if s == nil {
		return mirror.Position{}, false
	}
	o, ok := s.origins[path]
	return o.at, ok
}

// Origin says where the value at a key path such as git.poll or tls.caFiles[0] was set.
func (c Config) Origin(path string) Origin {
	if c.settings == nil {
		return Origin{}
	}
	return c.settings.origins[strings.NewReplacer("[", ".", "]", "").Replace(path)]
}

// PlaceOf gives where a key of the configuration was set, or the nearest mapping around it.
func (c Config) PlaceOf(key string) mirror.Position {
	for key != "" {
		if at := c.Origin(key).Position(); at != (mirror.Position{}) {
			return at
		}
		key = key[:max(0, strings.LastIndexByte(key, '.'))]
	}
	return mirror.Position{File: c.file}
}

// File is the configuration file itself; "" when the configuration was not loaded.
func (c Config) File() string { return c.file }

// Files gives the files that the configuration was read from, in the order in which they were laid over each
// other, and last the drop-in folder, whether it exists or not.
func (c Config) Files() []string {
	if c.settings == nil {
		return nil
	}
	return append(slices.Clone(c.settings.read), dropInFolder(c.file))
}

// Value is one value of a loaded configuration.
type Value struct {
	Path   string   `json:"path"`
	Keys   []string `json:"-"`     // the parts of the path
	Value  any      `json:"value"` // a string, a number, true or false, or a list of strings; of a secret its reference
	Origin Origin   `json:"origin"`
}

// Values gives every value that was set or has a default other than nothing, in the order of the documentation.
// User and password in an address are masked.
func (c Config) Values() []Value {
	var all []Value
	c.walk(reflect.ValueOf(c), nil, &all)
	return all
}

func (c Config) walk(v reflect.Value, path []string, all *[]Value) {
	name := strings.Join(path, ".")
	origin := c.Origin(name)
	add := func(value any) { *all = append(*all, Value{name, path, value, origin}) }
	switch t := v.Type(); {
	case t.Kind() == reflect.Map:
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }) {
			c.walk(v.MapIndex(key), append(slices.Clone(path), key.String()), all)
		}
	case isText(t):
		if text, ok := c.text(name); ok {
			add(text)
		}
	case isMapping(t), t == secretType:
		names, _ := keysOf(t)
		for i, f := range slices.Collect(keyFields(v)) {
			c.walk(f, append(slices.Clone(path), names[i]), all)
		}
	case v.IsZero() && origin == Origin{}:
	case t == durationType:
		add(shortDuration(time.Duration(v.Int())))
	case t.Kind() == reflect.Slice:
		list := slices.Clone(v.Interface().([]string))
		for i := range list {
			list[i] = maskAddress(list[i])
		}
		add(list)
	case t.Kind() == reflect.String:
		add(maskAddress(v.String()))
	default:
		add(v.Interface())
	}
}

func (c Config) text(path string) (string, bool) {
	if c.settings == nil {
		return "", false
	}
	text, ok := c.settings.texts[path]
	return text, ok
}

// keyFields gives the fields of a struct that are keys, in their order.
func keyFields(v reflect.Value) func(yield func(reflect.Value) bool) {
	return func(yield func(reflect.Value) bool) {
		for f, value := range v.Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && name != "-" && !yield(value) {
				return
			}
		}
	}
}

// shortDuration writes 15m where Go writes 15m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// maskAddress hides what may be a secret in an address: a password, over http also the user, which may be a
// token, and the query. Other text comes back as it is.
func maskAddress(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil && u.RawQuery == "" {
		return mirror.Redact(text)
	}
	_, password := u.User.Password()
	scheme, rest, _ := strings.Cut(text, "://")
	if u.User != nil && (password || !strings.Contains(u.Scheme, "ssh")) {
		rest = "***" + rest[strings.LastIndex(rest[:len(rest)-len(afterAuthority(rest))], "@"):]
	}
	if before, _, ok := strings.Cut(rest, "?"); ok {
		rest = before + "?***"
	}
	return scheme + "://" + rest
}

// afterAuthority gives what follows the host in an address without its scheme.
func afterAuthority(rest string) string {
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return rest[i:]
	}
	return ""
}
