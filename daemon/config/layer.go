package config

import (
	"errors"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// keySeparator stands between the parts of a key path inside koanf: a name may hold any other character.
const keySeparator = "\x1f"

// layer is what one file, the environment or the flags set: values in their types, so that nothing has to be
// guessed when the layers are merged, and the mistakes of those that are none.
type layer struct {
	dir      string // that relative paths count from
	values   map[string]any
	origins  map[string]Origin
	mappings map[string]bool // the paths of origins that are no values
	texts    map[string]string
	problems mirror.Problems
}

func newLayer(dir string) *layer {
	return &layer{dir: dir, values: map[string]any{}, origins: map[string]Origin{}, mappings: map[string]bool{}, texts: map[string]string{}}
}

// absolute makes a path count from the folder of the layer. An abstract socket (@name) is no path.
func (l *layer) absolute(p string) string {
	if p == "" || filepath.IsAbs(p) || strings.HasPrefix(p, "@") {
		return p
	}
	return filepath.Join(l.dir, p)
}

// set takes the value of a key, which v points to, and gives it as koanf is to have it. text is as it was
// written.
func (l *layer) set(path []string, v reflect.Value, text string, at mirror.Position) any {
	name, key := strings.Join(path, "."), path[len(path)-1]
	value := v.Elem().Interface()
	switch was := value.(type) {
	case string:
		if isPath(key) {
			value = l.absolute(was)
		}
	case []string:
		for i := range was {
			if isPath(key) {
				was[i] = l.absolute(was[i])
			}
		}
	case Secret:
		was.File = l.absolute(was.File)
		value = was
	}
	if isText(v.Elem().Type()) { // koanf would copy a template as if it were data
		l.texts[name] = text
		value = text
	}
	l.values[name], l.origins[name] = value, Origin{at}
	return value
}

// emptyDocument is the code of a document that has nothing in it but comments.
const emptyDocument = "DOC011"

// fileLayer is one file of the configuration. It is the parser that koanf reads it with.
type fileLayer struct {
	*layer
	name string
	main bool // the configuration file itself; else one of the drop-in folder
	// broken says that it cannot be known what the file wants to set.
	broken bool
}

// Marshal is there for koanf; the configuration is never written.
func (*fileLayer) Marshal(map[string]any) ([]byte, error) {
	return nil, errors.New("the configuration is never written")
}

// Unmarshal reads the file strictly. Its mistakes are kept, so that those of the other layers are found, too.
func (f *fileLayer) Unmarshal(data []byte) (map[string]any, error) {
	root, problems := mirror.ParseDocument(f.name, data)
	if len(problems) == 1 && problems[0].Code == emptyDocument {
		if f.main {
			problems[0].Fix = "write one with `poundlock init`, or see config.example.yaml"
			f.problems, f.broken = problems, true
		}
		return nil, nil // a drop-in file may have all of it commented out
	}
	if f.problems = problems; problems.Stop() {
		f.broken = true
		return nil, nil
	}
	f.problems = append(f.problems, root.Decode(&Config{})...)
	if f.broken = !root.IsMapping() && !root.IsNull(); f.broken {
		return nil, nil
	}
	f.version(root)
	values, _ := f.read(root, configType, nil).(map[string]any)
	f.mapping("", root.Where())
	return values, nil
}

// version refuses another form of the document than ours. A drop-in file need not name one.
func (f *fileLayer) version(root mirror.Node) {
	at := root.Key("version")
	var version int
	var ps mirror.Problems
	switch {
	case at.IsZero() && !f.main:
	case at.IsZero():
		ps.AddAt("version", "CFG001", mirror.Position{File: f.name}, "write version: 1", "version is missing")
	case len(at.DecodeAs("version", &version)) == 0: // else it was told
		ps = mirror.CheckVersion(version, 1, at.Where())
	}
	for _, p := range ps {
		p.Path = "version"
		f.problems = append(f.problems, p)
	}
}

func (l *layer) mapping(path string, at mirror.Position) {
	l.origins[path], l.mappings[path] = Origin{at}, true
}

// read gives the values of a part that has no mistake. The mistakes were told by the strict decoding.
func (f *fileLayer) read(n mirror.Node, t reflect.Type, path []string) any {
	switch {
	case n.IsZero() || n.IsNull():
		return nil
	case isMapping(t):
		if !n.IsMapping() {
			return nil
		}
		if len(path) > 0 {
			f.mapping(strings.Join(path, "."), n.Where())
		}
		values := map[string]any{}
		for _, key := range n.Keys() {
			if inner, ok := below(t, key); ok {
				if v := f.read(n.Key(key), inner, append(path[:len(path):len(path)], key)); v != nil {
					values[key] = v
				}
			}
		}
		return values
	}
	v := reflect.New(t)
	name := strings.Join(path, ".")
	if problems := n.DecodeAs(name, v.Interface()); len(problems) > 0 {
		return nil
	}
	if t == secretType {
		f.problems = f.problems.Plus(emptySecret(v.Elem().Interface().(Secret), name, n.Where(), flagSpelling.of(path...)))
		for _, key := range n.Keys() {
			f.origins[name+"."+key] = Origin{n.Key(key).Where()}
		}
	}
	var items []mirror.Node
	if t.Kind() == reflect.Slice && len(n.DecodeAs(name, &items)) == 0 {
		for i, item := range items {
			f.origins[name+"."+strconv.Itoa(i)] = Origin{item.Where()}
		}
	}
	text, _ := n.Text()
	return f.set(path, v, text, n.Where())
}

// emptySecret refuses a reference that names nothing: it would let in a client without any password.
func emptySecret(s Secret, path string, at mirror.Position, spelt string) mirror.Problems {
	var ps mirror.Problems
	if s.IsZero() {
		ps.AddAt(path, "CFG025", at, "write "+s.SecretForm()+", or leave the key out", "%s refers to nothing", spelt)
	}
	return ps
}
