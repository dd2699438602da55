package cli

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/schema"
)

var update = flag.Bool("update", false, "write the golden files")

const referenceFile = "../../docs/configuration.md"

const referenceIntro = `# Configuration reference

<!-- Made from the struct tags by ` + "`go test ./internal/cli -run Reference -update`" + `. Change the tags, not this file. -->

Five documents are written by people. The same text is in the binary: ` + "`poundlock explain git.poll`" + `.

The daemon's configuration comes in layers, of which a later one wins: defaults, then ` + "`config.yaml`" + `, then the files of
` + "`config.d/`" + ` beside it by name, then environment variables, then ` + "`--set key=value`" + `. A variable spells the path of a key in capitals, with two
underscores for each dot and one for a dash or a dot inside a name; a list is written with commas. ` + "`poundlock config view --origin`" + ` says where each
value came from. A relative path starts at the folder of the file that has it. The documents of the fleet repository come from Git alone.

Unknown keys, duplicate keys and wrong types are refused, all in one pass. A duration has a unit (` + "`30s`, `15m`, `72h`" + `). A secret is never written into a
file: a key that wants one refers to where it lies.

## In an editor

` + "`poundlock schema config > config.schema.json`" + ` writes the JSON Schema (draft-07) of a document; an editor with a YAML language server then checks and
completes a file whose first line names it, offline:

` + "```yaml\n# yaml-language-server: $schema=config.schema.json\n```\n"

func TestReference_IsMadeFromTheTags(t *testing.T) {
	var b strings.Builder
	b.WriteString(referenceIntro)
	for _, d := range documents() {
		b.WriteString("\n" + d.Reference())
	}
	if *update {
		if err := os.WriteFile(referenceFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf("%s does not say what the tags say; run `go test ./internal/cli -run Reference -update`", referenceFile)
	}
	for _, d := range documents() {
		for _, k := range d.Keys() {
			if !strings.Contains(b.String(), "| `"+k.Name()+"` |") {
				t.Errorf("the reference lacks %s.%s", d.Name, k.Path)
			}
		}
	}
}

// A comment of the example that is a key: one word, a colon, and what it would be.
var commentedKey = regexp.MustCompile(`^( *)# ( *)([a-zA-Z]+):( .*)?$`)

// uncommented gives the example with every commented key active, in the shape in which it stands.
func uncommented(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		lines[i] = commentedKey.ReplaceAllString(line, "$1$2$3:$4")
	}
	return strings.Join(lines, "\n")
}

func TestExample_HasEveryKey(t *testing.T) {
	full := uncommented(t)
	root, problems := mirror.ParseDocument("config.example.yaml", []byte(full))
	problems = append(problems, root.Decode(&config.Config{})...)
	if err := problems.Err(); err != nil {
		t.Fatalf("with every key active the example is not read: %v\n%s", err, full)
	}
	if err := asEditor(t, people(t)["config"], full); err != nil {
		t.Errorf("with every key active: %v", err)
	}
	have := map[string]bool{}
	gather(root, "", have)
	// A field of a type that stands in several places, such as tls, is shown once.
	keys, shown := documents()[0].Keys(), map[string]bool{}
	field := func(k schema.Key) string { return k.Name() + k.Description }
	for _, k := range keys {
		if have[strings.Replace(k.Path, "<name>", "*", 1)] {
			shown[field(k)] = true
		}
	}
	for _, k := range keys {
		if !shown[field(k)] {
			t.Errorf("the example lacks %s; add it, or add it commented out with its default", k.Path)
		}
	}
}

func gather(n mirror.Node, prefix string, into map[string]bool) {
	for _, key := range n.Keys() {
		path := prefix + key
		if slices.Contains([]string{"registries.", "calls.", "notify.", "webhooks.receivers.", "secrets.credentials."}, prefix) { // names of people's own
			path = prefix + "*"
		}
		into[path] = true
		gather(n.Key(key), path+".", into)
		for _, item := range n.Key(key).Items() {
			gather(item, path+"[].", into)
		}
	}
}

func TestExample_CommentedKeysShowTheirDefaults(t *testing.T) {
	active, err := os.ReadFile("../../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	stands := map[string]bool{}
	root, problems := mirror.ParseDocument("config.example.yaml", active)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	gather(root, "", stands)
	full, _ := mirror.ParseDocument("config.example.yaml", []byte(uncommented(t)))
	d, compared := documents()[0], 0
	for _, k := range d.Keys() {
		if k.Default == nil || stands[k.Path] || strings.Contains(k.Path, "<name>") {
			continue
		}
		node := full
		for _, part := range strings.Split(k.Path, ".") {
			node = node.Key(part)
		}
		if text, ok := node.Text(); ok {
			compared++
			if text != valueText(k.Default) {
				t.Errorf("%s is commented out as %s, and the default is %s", k.Path, text, valueText(k.Default))
			}
		}
	}
	if compared < 5 {
		t.Errorf("only %d defaults were compared", compared)
	}
}
