package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/poundlock/poundlock/daemon/config"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Show the configuration that is in effect",
		Example: "  poundlock config view --origin\n  poundlock explain registries.local",
	}
	cmd.AddCommand(a.configViewCommand())
	return cmd
}

// configDocument is what `config view -o json` gives.
type configDocument struct {
	Type    string         `json:"type"` // config
	Version int            `json:"version"`
	Values  []config.Value `json:"values"`
}

func (a *app) configViewCommand() *cobra.Command {
	var origin bool
	cmd := &cobra.Command{
		Use: "view", Short: "Print every value in effect, and where it was set", Args: cobra.NoArgs,
		Long: `Prints the configuration as it is in effect: the defaults, the file, the files of its drop-in folder (config.d/*.yaml beside
config.yaml), variables such as POUNDLOCK_GIT__POLL, and flags such as --set git.poll=1m, each over those before.

With --origin each value tells where it was set: default, config.yaml:12:9, config.d/10-site.yaml:3:7, env POUNDLOCK_GIT__POLL
or flag --set git.poll. The YAML can be used as a configuration file. Secrets are shown as what refers to them; nothing is
read of them, and no network is used.`,
		Example: `  poundlock -c config.yaml config view
  poundlock -c config.yaml config view --origin -o table
  poundlock -c config.yaml config view -o json | jq '.values[] | select(.origin | startswith("env "))'`,
	}
	cmd.Flags().BoolVar(&origin, "origin", false, "also where each value was set")
	output := a.outputFlag(cmd, asYAML, asJSON, asTable)
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := a.load()
		if err != nil {
			return err
		}
		switch values := c.Values(); *output {
		case asJSON:
			return document(a.out, asJSON, configDocument{"config", 1, values})
		case asTable:
			return a.configTable(values, origin)
		default:
			return a.configYAML(values, origin)
		}
	}
	return cmd
}

func (a *app) configTable(values []config.Value, origin bool) error {
	header, rows := []string{"KEY", "VALUE"}, make([][]string, len(values))
	if origin {
		header = append(header, "ORIGIN")
	}
	for i, v := range values {
		text := fmt.Sprint(v.Value)
		if list, ok := v.Value.([]string); ok {
			text = strings.Join(list, ", ")
		}
		if rows[i] = []string{v.Path, text}; origin {
			rows[i] = append(rows[i], v.Origin.String())
		}
	}
	return a.table(header, rows)
}

// configYAML prints the values as a configuration file.
func (a *app) configYAML(values []config.Value, origin bool) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, v := range values {
		at := root
		for _, key := range v.Keys[:len(v.Keys)-1] {
			at = mappingBelow(at, key)
		}
		value := new(yaml.Node)
		if err := value.Encode(v.Value); err != nil {
			return err
		}
		if value.Kind == yaml.SequenceNode {
			value.Style = yaml.FlowStyle
		}
		if origin {
			value.LineComment = "# " + clean(v.Origin.String())
		}
		at.Content = append(at.Content, scalarNode(v.Keys[len(v.Keys)-1]), value)
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return err
	}
	if err := enc.Close(); err != nil {
		return err
	}
	_, err := a.out.Write(b.Bytes())
	return err
}

// mappingBelow gives the mapping under a key, which is the last one of its mapping or new.
func mappingBelow(n *yaml.Node, key string) *yaml.Node {
	if last := len(n.Content) - 1; last > 0 && n.Content[last-1].Value == key {
		return n.Content[last]
	}
	m := &yaml.Node{Kind: yaml.MappingNode}
	n.Content = append(n.Content, scalarNode(key), m)
	return m
}

func scalarNode(text string) *yaml.Node {
	n := new(yaml.Node)
	n.SetString(text)
	return n
}
