package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/schema"
)

func (a *app) explainCommand() *cobra.Command {
	var output *format
	cmd := &cobra.Command{
		Use: "explain [path]", Short: "Say what a key of a document means", Args: cobra.MaximumNArgs(1),
		Long: `Says of a key what it means, what it may hold, its default, the variable that sets it, and the keys below it. A
path is written as in the file and begins with its document; config may be left out.`,
		Example: `  poundlock explain
  poundlock explain git.poll
  poundlock explain registries.local.auth
  poundlock explain set.source
  poundlock explain 'policy.rules[].require'`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return keyPaths(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path := strings.Join(args, "")
			doc, err := explain(path)
			switch {
			case err != nil:
				return usageError{text: err.Error(), hint: explainHint(path)}
			case *output != asText:
				return document(a.out, *output, doc)
			}
			return a.printExplanation(doc)
		},
	}
	output = a.outputFlag(cmd, asText, asJSON, asYAML)
	return cmd
}

// explainDocument is what explain tells to programs.
type explainDocument struct {
	Type      string         `json:"type"`
	Version   int            `json:"version"`
	Documents []documentLine `json:"documents,omitempty"` // those that there are, where no path was given
	Document  string         `json:"document,omitempty"`  // the one that the path begins with
	Keys      []schema.Key   `json:"keys"`                // what the path names; several kinds may have one
	Below     []schema.Key   `json:"below"`               // the keys right below
}

type documentLine struct {
	Name  string `json:"name"`
	File  string `json:"file"`
	Short string `json:"short"`
}

func explain(path string) (explainDocument, error) {
	doc := explainDocument{Type: "explain", Version: 1, Keys: []schema.Key{}, Below: []schema.Key{}}
	if path == "" {
		for _, d := range documents() {
			doc.Documents = append(doc.Documents, documentLine{d.Name, d.File, d.Short})
		}
		return doc, nil
	}
	d, rest := documentOf(path)
	keys, below, err := d.Explain(rest)
	if err != nil {
		return doc, err
	}
	doc.Document, doc.Keys, doc.Below = d.Name, append(doc.Keys, keys...), append(doc.Below, below...)
	return doc, nil
}

// explainHint says where to go on from a path that names nothing.
func explainHint(path string) string {
	if name, ok := strings.CutPrefix(path, "output/"); ok {
		if _, ok := outputs[name]; ok {
			return "it is printed by a command: see `poundlock schema " + path + "`"
		}
		return "see `poundlock schema` for what commands print"
	}
	near, above := meantPath(path)
	hint := "see `poundlock " + strings.TrimSpace("explain "+quotedPath(above)) + "`"
	if near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return hint
}

// quotedPath writes a path so that a shell reads it as it is.
func quotedPath(path string) string {
	if path == "" {
		return ""
	}
	return quoted(path)
}

// meantPath gives the path that was most likely meant, "" when none is near, and the longest part of the path that
// can be explained.
func meantPath(path string) (near, above string) {
	for _, d := range documents() { // most likely the path as it stands in the file, without its document
		if _, err := explain(d.Name + "." + path); err == nil {
			return d.Name + "." + path, ""
		}
	}
	parts := strings.Split(path, ".")
	for n := len(parts) - 1; n > 0; n-- {
		above := strings.Join(parts[:n], ".")
		doc, err := explain(above)
		if err != nil {
			continue
		}
		var known []string
		for _, k := range doc.Below {
			known = append(known, k.Name())
		}
		if key := nearestKey(parts[n], known); key != "" {
			return above + "." + key, above
		}
		return nearestWord(path, keyPaths()), above
	}
	if near := nearestKey(path, keyPaths()); near != "" {
		return near, ""
	}
	return nearestWord(path, keyPaths()), ""
}

// nearestKey is the key that differs in the case of letters alone, else the one that is nearest.
func nearestKey(word string, known []string) string {
	for _, k := range known {
		if strings.EqualFold(k, word) {
			return k
		}
	}
	return mirror.Nearest(word, known)
}

// documentOf gives the document that a path begins with, config when it names none, and the rest of the path.
func documentOf(path string) (schema.Document, string) {
	first, rest, _ := strings.Cut(path, ".")
	all := documents()
	for _, d := range all {
		if d.Name == first {
			return d, rest
		}
	}
	return all[0], path
}

// keyPaths gives every path that can be explained.
func keyPaths() []string {
	var paths []string
	for i, d := range documents() {
		paths = append(paths, d.Name)
		for _, path := range d.Paths() {
			if i > 0 {
				path = d.Name + "." + path
			}
			paths = append(paths, path)
		}
	}
	return paths
}

func (a *app) printExplanation(doc explainDocument) error {
	if doc.Documents != nil {
		var rows [][]string
		for _, d := range doc.Documents {
			rows = append(rows, []string{d.Name, d.File, d.Short})
		}
		return a.table([]string{"DOCUMENT", "FILE", "SAYS"}, rows)
	}
	var b strings.Builder
	for i, k := range doc.Keys {
		if i > 0 {
			b.WriteByte('\n')
		}
		explainKey(&b, doc.Document, k)
	}
	if len(doc.Keys) > 0 && len(doc.Below) > 0 {
		b.WriteByte('\n')
	}
	if err := a.print(b.String()); err != nil {
		return err
	}
	header, rows := []string{"KEY", "TYPE", "DEFAULT", "MEANING"}, [][]string{}
	for _, k := range doc.Below {
		if k.Kind != "" {
			header[0] = "KIND: KEY"
			k.Path = k.Kind + ": " + k.Name()
		}
		rows = append(rows, []string{k.Name(), typeText(k), valueText(k.Default), k.Description})
	}
	return a.table(header, rows)
}

func explainKey(b *strings.Builder, document string, k schema.Key) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "%-10s%s\n", name+":", value)
		}
	}
	line("key", k.Path)
	line("of kind", k.Kind)
	line("document", document)
	line("type", typeText(k))
	line("default", valueText(k.Default))
	line("variable", k.Variable)
	for _, example := range k.Examples {
		line("example", valueText(example))
	}
	fmt.Fprintf(b, "\n%s\n", k.Description)
}

func typeText(k schema.Key) string {
	if k.Required {
		return k.Type + ", required"
	}
	return k.Type
}

func valueText(v any) string {
	if v == nil {
		return ""
	}
	return schema.Text(v)
}
