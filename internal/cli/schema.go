package cli

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/schema"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema [name]", Short: "Print the JSON Schema of a document", Args: cobra.MaximumNArgs(1),
		Long: `Prints the JSON Schema (draft-07) of a document: of those that people write, for editors, and of those that
commands write with -o json, for programs. Without a name it lists them.

An editor with a YAML language server checks and completes a file whose first line names its schema:
  # yaml-language-server: $schema=config.schema.json`,
		Example: `  poundlock schema
  poundlock schema config > config.schema.json
  poundlock schema output/plan`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, s := range schemas() {
				names = append(names, s.name+"\t"+s.short)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listSchemas()
			}
			var names []string
			for _, s := range schemas() {
				if s.name == args[0] {
					return document(a.out, asJSON, s.schema())
				}
				names = append(names, s.name)
			}
			return misused(cmd, nearestWord(args[0], names), "there is no schema %q; `poundlock schema` lists them", args[0])
		},
	}
}

func (a *app) listSchemas() error {
	var rows [][]string
	for _, s := range schemas() {
		rows = append(rows, []string{s.name, s.short})
	}
	return a.table([]string{"SCHEMA", "OF"}, rows)
}

// published is a schema that can be asked for.
type published struct {
	name, short string
	schema      func() *schema.Schema
}

// schemas gives every schema that is published: of what people write, then of what commands write.
func schemas() []published {
	var all []published
	for _, d := range documents() {
		all = append(all, published{d.Name, d.File + ": " + d.Short, func() *schema.Schema { return d.Schema }})
	}
	// A drop-in file is no document of its own: it has the keys of config, any of them.
	all = slices.Insert(all, 1, published{"config.d", "config.d/*.yaml: what is laid over config.yaml, in any part", func() *schema.Schema { return schema.Partial(configSchema()) }})
	// Nor is a floor: it has the keys of policy.
	all = append(all, published{"floor", "trust.floor of config.yaml: what the policy of the fleet can only tighten", floorSchema})
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		all = append(all, published{"output/" + name, "-o json: " + outputs[name].short, func() *schema.Schema { return outputSchema(name, true) }})
	}
	return all
}

// nearestWord gives the word that was most likely meant, or one whose last part it is; "" when none is close.
func nearestWord(word string, known []string) string {
	if near := mirror.Nearest(word, known); near != "" {
		return near
	}
	for _, k := range known {
		if strings.HasSuffix(k, "."+word[strings.LastIndex(word, ".")+1:]) {
			return k
		}
	}
	return ""
}
