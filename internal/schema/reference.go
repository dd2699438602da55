package schema

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Reference gives the document as a chapter of Markdown: a table of keys for each mapping. A mapping whose keys
// were told before is referred to.
func (d Document) Reference() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s\n", code(d.Schema.Title), plain(d.Schema.Description))
	told := map[string]string{}
	keys := d.Keys()
	d.section(&b, keys, "", "", told)
	for _, k := range keys {
		if !isMapping(k.schema) {
			continue
		}
		kinds := []string{k.Kind}
		for _, a := range alternatives(inner(k.schema)) {
			if a.Title != "" && a.Title != k.Kind {
				kinds = append(kinds, a.Title)
			}
		}
		for _, kind := range kinds {
			d.section(&b, keys, k.Path, kind, told)
		}
	}
	return b.String()
}

// section writes the keys right below a path.
func (d Document) section(b *strings.Builder, all []Key, parent, kind string, told map[string]string) {
	var rows strings.Builder
	below := ""
	for _, k := range all {
		if k.parent != parent || k.Kind != kind || parent == "" && strings.Contains(k.Path, ".") {
			continue
		}
		if parent != "" {
			below = strings.TrimSuffix(k.Path, "."+k.Name())
		}
		rows.WriteString(d.row(k))
	}
	if rows.Len() == 0 {
		return
	}
	heading := code(below)
	if kind != "" {
		heading += " of kind " + code(kind)
	}
	fingerprint := withoutPath(all, parent, kind)
	if before, ok := told[fingerprint]; ok {
		fmt.Fprintf(b, "\n### %s\n\nThe keys are those of %s.\n", heading, before)
		return
	}
	told[fingerprint] = heading
	if parent != "" {
		fmt.Fprintf(b, "\n### %s\n", heading)
	}
	variable := ""
	if d.Env != "" {
		variable = " Variable |"
	}
	fmt.Fprintf(b, "\n| Key | Type | Default | Meaning |%s\n|---|---|---|---|%s\n%s", variable, strings.Repeat("---|", len(variable)/len(" Variable |")), rows.String())
}

// withoutPath spells the keys below a path in a way that is the same for equal keys elsewhere.
func withoutPath(all []Key, parent, kind string) string {
	var b strings.Builder
	for _, k := range all {
		if k.parent == parent && k.Kind == kind {
			text, err := json.Marshal(k.schema)
			if err != nil {
				return k.Path // equal to nothing else
			}
			fmt.Fprintln(&b, k.Name(), string(text))
		}
	}
	return b.String()
}

func (d Document) row(k Key) string {
	meaning := plain(k.Description)
	if len(k.Examples) > 0 && len(k.Values) == 0 && !isMapping(k.schema) {
		meaning += " For example " + codes(k.Examples) + "."
	}
	kind, fallback := plain(k.Type), ""
	if k.Required {
		kind += ", required"
	}
	if k.Default != nil {
		fallback = code(Text(k.Default))
	}
	row := fmt.Sprintf("| %s | %s | %s | %s |", code(k.Name()), kind, fallback, meaning)
	if d.Env != "" {
		variable := ""
		if k.Variable != "" {
			variable = code(k.Variable)
		}
		row += " " + variable + " |"
	}
	return row + "\n"
}

// Text spells a default or an example as a document does.
func Text(v any) string {
	if list, ok := v.([]any); ok {
		var words []string
		for _, one := range list {
			words = append(words, fmt.Sprint(one))
		}
		return "[" + strings.Join(words, ", ") + "]"
	}
	return fmt.Sprint(v)
}

func codes[T any](values []T) string {
	var words []string
	for _, v := range values {
		words = append(words, code(fmt.Sprint(v)))
	}
	return strings.Join(words, ", ")
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

// plain keeps a text from being read as HTML.
func plain(s string) string { return strings.ReplaceAll(cell(s), "<", "&lt;") }

// cell keeps a text inside one cell of a table.
func cell(s string) string { return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s) }
