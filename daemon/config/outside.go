package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/poundlock/poundlock/internal/mirror"
)

// textLayer is the layer of values that are text without a file: variables, or flags.
type textLayer struct {
	*layer
	spelling
	names   func(path []string) []string
	place   func(name string) string // how an origin is written
	instead string                   // words of fixes: what keeps a secret out of here
	secrets map[string]Secret
	setBy   map[string]string // the variable or flag that set a path
	known   []string          // registries of the layers below
	made    []string          // warnings of registries that are in none of them, and may be misspelt
}

// take reads one variable or flag and gives its key as koanf takes it; "" when it sets nothing.
func (o *textLayer) take(name, key string, text any) (string, any) {
	at := mirror.Position{File: o.place(name)}
	path, t, unknown := o.resolve(key, o.names)
	if unknown != nil {
		o.problems.AddAt(unknown.meant, "CFG021", at, unknown.fix(), "%s: %s", name, unknown.what)
		return "", nil
	}
	dotted := strings.Join(path, ".")
	switch before, twice := o.setBy[dotted]; {
	case twice:
		o.problems.AddAt(dotted, "CFG023", at, "keep one of them", "%s and %s both set %s", before, name, dotted)
		return "", nil
	case dotted == "version":
		o.problems.AddAt(dotted, "CFG021", at, "write version: 1 into the file", "%s: the version belongs to the file, and cannot be set here", name)
		return "", nil
	case t == secretType:
		o.problems.AddAt(dotted, "DOC012", at, o.clearFix(path), "%s: want a reference to a secret, have a single value", dotted)
		return "", nil
	case isMapping(t):
		o.problems.AddAt(dotted, "CFG020", at, "set the keys below it, such as "+o.exampleBelow(path, t), "%s: want a mapping, which cannot be set here", dotted)
		return "", nil
	}
	o.setBy[dotted] = name
	o.warnOfNew(name, path)
	v := reflect.New(t)
	if problems := decodeText(dotted, v, text); len(problems) > 0 {
		for _, p := range problems {
			p.Code, p.Where = "CFG020", at
			o.problems = append(o.problems, p)
		}
		return "", nil
	}
	if parent := path[:len(path)-1]; len(parent) > 0 && o.isSecret(parent) {
		return o.part(parent, path[len(path)-1], v.Elem().String(), at)
	}
	return strings.Join(path, keySeparator), o.set(path, v, fmt.Sprint(text), at)
}

// warnOfNew notes a registry that begins with this variable or flag, where its name is near to that of another one.
func (o *textLayer) warnOfNew(by string, path []string) {
	if path[0] != "registries" || slices.Contains(o.known, path[1]) {
		return
	}
	if near := mirror.Nearest(path[1], append(slices.Clone(o.known), LocalRegistry)); near != "" && near != path[1] {
		meant := append([]string{path[0], near}, path[2:]...)
		o.made = append(o.made, mirror.Clean(fmt.Sprintf("%s makes a registry %q, which is in no file; did you mean %s?", o.place(by), path[1], o.of(meant...))))
	}
	o.known = append(o.known, path[1]) // told once
}

func (o *textLayer) isSecret(path []string) bool {
	t, ok := configType, true
	for _, key := range path {
		if t, ok = below(t, key); !ok {
			return false
		}
	}
	return t == secretType
}

// part sets one key of a reference to a secret. The reference is one value: what a lower layer refers to is
// replaced as a whole.
func (o *textLayer) part(path []string, key, text string, at mirror.Position) (string, any) {
	dotted := strings.Join(path, ".")
	s := o.secrets[dotted]
	field := map[string]*string{"file": &s.File, "env": &s.Env, "credential": &s.Credential}[key]
	*field = text
	if text == "" {
		o.problems = append(o.problems, emptySecret(Secret{}, dotted, at, dotted+"."+key)...)
		return "", nil
	}
	o.secrets[dotted] = s
	o.origins[dotted+"."+key] = Origin{at}
	v := reflect.New(secretType)
	v.Elem().Set(reflect.ValueOf(s))
	return strings.Join(path, keySeparator), o.set(path, v, "", at)
}

func (o *textLayer) clearFix(path []string) string {
	return fmt.Sprintf("put the secret into a file and set %s to its path, or name a variable in %s; %s",
		o.of(append(path[:len(path):len(path)], "file")...), o.of(append(path[:len(path):len(path)], "env")...), o.instead)
}

// exampleBelow spells a key below a mapping.
func (o *textLayer) exampleBelow(path []string, t reflect.Type) string {
	for _, all := range allKeys(t, path, func([]string) []string { return []string{LocalRegistry} }) {
		return o.of(all...)
	}
	return o.of(path...)
}

func (e *unknownKey) fix() string {
	switch {
	case len(e.known) == 1 && e.meant != "":
		return fmt.Sprintf("did you mean %s?", e.known[0])
	case len(e.known) > 0:
		return "known: " + strings.Join(e.known, ", ")
	}
	return "see `poundlock explain config` for the keys"
}

// decodeText reads a value that was written outside of a file, by the same rules as one in a file. A list is
// written with commas between its items.
func decodeText(path string, v reflect.Value, value any) mirror.Problems {
	var ps mirror.Problems
	text := fmt.Sprint(value)
	if list, ok := value.([]string); ok {
		text = strings.Join(list, ",")
	}
	if !utf8.ValidString(text) || len(text) > mirror.MaxDocument/8 {
		ps.AddAt(path, "CFG020", mirror.Position{}, "write text in UTF-8", "%s: the value is no text", path)
		return ps
	}
	var written any = text
	if kind := v.Elem().Kind(); kind == reflect.Slice {
		items := []string{}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		written = items
	}
	// JSON is YAML: so the decoder of the files reads it.
	quoted, err := json.Marshal(written)
	if err != nil {
		ps.AddAt(path, "CFG020", mirror.Position{}, "", "%s: the value is no text", path)
		return ps
	}
	n, ps := mirror.ParseDocument("", quoted)
	if len(ps) > 0 {
		return mirror.Problems{{Path: path, What: path + ": the value is no text", Fix: "write plain text"}}
	}
	ps = n.DecodeAs(path, v.Interface())
	for i, p := range ps {
		// The value is not repeated: people give secrets to variables, also to the wrong ones.
		ps[i].What, _, _ = strings.Cut(p.What, ", have ")
	}
	return ps
}
