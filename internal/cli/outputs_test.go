package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spf13/cobra"
)

// machineCommands are the command lines that TestOutputs runs, by command: for every one that has -o json.
var machineCommands = map[string][]string{
	"doctor":      nil,
	"explain":     {"git.poll"},
	"get entries": nil,
	"get runs":    nil,
	"get sets":    nil,
	"get stages":  nil,
	"plan":        nil,
	"sync":        nil,
	"trace":       {"ghcr.io/example-tools/unsigned:1.0.0"},
	"validate":    nil,
	"verify":      {"quay.io/example-tools/probe:3.2"},
	"version":     nil,
}

// speaksJSON lists the commands at and below cmd that know -o json.
func speaksJSON(cmd *cobra.Command) []string {
	var names []string
	if f := cmd.Flags().Lookup("output"); f != nil {
		if c, ok := f.Value.(*choice); !ok || slices.Contains(c.known, asJSON) {
			names = append(names, strings.TrimPrefix(cmd.CommandPath(), "poundlock "))
		}
	}
	for _, below := range cmd.Commands() {
		names = append(names, speaksJSON(below)...)
	}
	return names
}

// strictly reads a document for programs and holds it against the schema of its type, in which no other key
// may stand than those that are published.
func strictly(t *testing.T, from string, text []byte) string {
	t.Helper()
	var head struct {
		Type    string
		Version int
	}
	if err := json.Unmarshal(text, &head); err != nil {
		t.Errorf("%s: %v\n%s", from, err, text)
		return ""
	}
	if _, ok := outputs[head.Type]; !ok {
		t.Errorf("%s: no schema is published for the type %q: add it to outputs\n%.300s", from, head.Type, text)
		return head.Type
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled(t, outputSchema(head.Type, false)).Validate(doc); err != nil {
		t.Errorf("%s: %v\n%.2000s", from, err, text)
	}
	return head.Type
}

func TestOutputs_EveryCommandKeepsItsSchema(t *testing.T) {
	_, config := inWorld(t)
	commands := speaksJSON((&app{out: io.Discard, talk: io.Discard}).root())
	// What there is to tell of comes about by a sync.
	slices.SortStableFunc(commands, func(a, b string) int {
		return strings.Compare(strings.Replace(a, "sync", " ", 1), strings.Replace(b, "sync", " ", 1))
	})
	seen := map[string]bool{}
	for _, name := range commands {
		args, ok := machineCommands[name]
		if !ok {
			t.Errorf("%s knows -o json and no document of it is tried: add it to machineCommands", name)
			continue
		}
		_, out, talk := command(t, t.Context(), slices.Concat([]string{"-c", config}, strings.Fields(name), args, []string{"-o", "json"})...)
		documents := 0
		for dec := json.NewDecoder(strings.NewReader(out)); ; documents++ {
			var text json.RawMessage
			if err := dec.Decode(&text); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
			seen[strictly(t, name, text)] = true
		}
		if documents == 0 {
			t.Errorf("%s: no document\n%s", name, talk)
		}
	}
	for name := range machineCommands {
		if !slices.Contains(commands, name) {
			t.Errorf("no command %s knows -o json", name)
		}
	}
	// What ends the talk of a command that failed.
	_, _, talk := command(t, t.Context(), "-c", configure(t, "version: 1\nsiet: x\n"), "plan", "-o", "json")
	lines := strings.Split(strings.TrimSpace(talk), "\n")
	seen[strictly(t, "a command that failed", []byte(lines[len(lines)-1]))] = true
	for name := range outputs {
		if !seen[name] {
			t.Errorf("nothing that is tried gives a document of type %s", name)
		}
	}
}
