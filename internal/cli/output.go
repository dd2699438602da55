package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
)

// format is what -o asks for.
type format string

// The formats that commands know. Each command names its own, the first being the default.
const (
	asTable    format = "table"
	asWide     format = "wide"
	asText     format = "text"
	asJSON     format = "json"
	asYAML     format = "yaml"
	asName     format = "name"
	asMarkdown format = "markdown"
	asGitHub   format = "github" // workflow annotations
)

// outputFlag gives a command -o with the formats that it knows.
func (a *app) outputFlag(cmd *cobra.Command, formats ...format) *format {
	f := &choice{value: formats[0], known: formats, app: a}
	cmd.Flags().VarP(f, "output", "o", f.list())
	_ = cmd.RegisterFlagCompletionFunc("output", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return strings.Split(f.list(), ", "), cobra.ShellCompDirectiveNoFileComp
	}) // fails only for a flag that is not there
	return &f.value
}

// choice is the flag behind outputFlag.
type choice struct {
	value format
	known []format
	app   *app
}

func (c *choice) list() string {
	var words []string
	for _, f := range c.known {
		words = append(words, string(f))
	}
	return strings.Join(words, ", ")
}

// String gives the format that is chosen.
func (c *choice) String() string { return string(c.value) }

// Type names the kind of value in help texts.
func (c *choice) Type() string { return "format" }

// Set chooses a format; one that the command does not know is refused.
func (c *choice) Set(s string) error {
	if !slices.Contains(c.known, format(s)) {
		return fmt.Errorf("want one of: %s", c.list())
	}
	c.value = format(s)
	c.app.machine = c.value == asJSON
	return nil
}

// document writes a value for programs, as JSON or as the same document in YAML.
func document(w io.Writer, f format, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	text := b.Bytes()
	if f == asYAML {
		// JSON is YAML: reading it back keeps the order of the fields.
		var node yaml.Node
		if err := yaml.Unmarshal(text, &node); err != nil {
			return err
		}
		block(&node)
		var err error
		if text, err = yaml.Marshal(&node); err != nil {
			return err
		}
	}
	_, err := w.Write(text)
	return err
}

// block takes the style of JSON off a document.
func block(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		block(c)
	}
}
