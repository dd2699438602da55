package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/testenv"
)

// machineCommands are the command lines that TestOutputs runs, by command: for every one that has -o json.
var machineCommands = map[string][]string{
	"acknowledge":     nil,
	"config view":     nil,
	"events":          nil,
	"resume":          {"ess"},
	"status":          nil,
	"suspend":         {"ess", "--reason", "the vendor ships broken images"},
	"promote":         {"tools", "quay.io/example-tools/probe:3.2", "--to", "staging", "--direct"},
	"freeze":          {"elastic", "snapshot", "as", "9.3.0", "--direct"},
	"rollback":        {"tools", "--stage", "staging", "--direct"},
	"hold":            {"tools", "--stage", "staging", "--reason", "ticket 4711"},
	"release":         {"tools", "--stage", "staging"},
	"trigger":         {"tools", "--wait"},
	"doctor":          nil,
	"explain":         {"git.poll"},
	"explain-verdict": {"quay.io/example-tools/probe:3.2"},
	"policy test":     nil,
	"policy diff":     {"testdata/fleet"},
	"get entries":     nil,
	"get packages":    nil,
	"get promotions":  nil,
	"diff":            {"snapshot", "staging"},
	"wait":            {"promotion/1", "--timeout", "1ms"},
	"get runs":        nil,
	"get sets":        nil,
	"get stages":      nil,
	"plan":            nil,
	"render":          {"--check"},
	"lint":            {"testdata/lint/certs.d"},
	"package build":   {"testdata/package/acme", "--dry-run"},
	"package check":   {"testdata/package/acme"},
	"sync":            nil,
	"trace":           {"ghcr.io/example-tools/unsigned:1.0.0"},
	"validate":        nil,
	"verify":          {"quay.io/example-tools/probe:3.2"},
	"version":         nil,
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

// typed reads a document for programs and holds it against the schema of its type.
func typed(t *testing.T, from string, text []byte) string {
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
	strictly(t, from, head.Type, text)
	return head.Type
}

// strictly holds a document against a schema, in which no other key may stand than those that are published.
func strictly(t *testing.T, from, name string, text []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v\n%s", from, err, text)
	}
	if err := compiled(t, outputSchema(name, false)).Validate(doc); err != nil {
		t.Errorf("%s: %v\n%.2000s", from, err, text)
	}
}

// writes hands on what is written, until nobody takes it.
type writes chan []byte

func (w writes) Write(b []byte) (int, error) {
	select {
	case w <- bytes.Clone(b):
	default:
	}
	return len(b), nil
}

// follows gives the first event that a follower is told once the daemon has something to do.
func follows(t *testing.T, config string) []byte {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	lines, ended := make(writes, 1), make(chan int, 1)
	go func() {
		ended <- Main(ctx, []string{"-c", config, "events", "--follow", "-o", "json"}, lines, io.Discard)
	}()
	defer func() { cancel(); <-ended }()
	for {
		if code, _, talk := command(t, ctx, "-c", config, "trigger", "tools"); code != exitOK {
			t.Fatalf("trigger: exit %d: %s", code, talk)
		}
		select {
		case line := <-lines:
			return line
		case <-time.After(100 * time.Millisecond): // it did not listen yet
		}
	}
}

// aDaemon runs one until the function that it gives is called. It answers when aDaemon returns.
func aDaemon(t *testing.T, file string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- Main(ctx, []string{"-c", file, "run"}, io.Discard, io.Discard) }()
	loaded, err := config.Load(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		client, err := daemon.Dial(loaded)
		if err == nil {
			if _, err = client.Status(ctx); err == nil {
				break
			}
		}
		select {
		case <-tick.C:
		case code := <-ended:
			t.Fatalf("the daemon ended with %d", code)
		}
	}
	return func() {
		cancel()
		<-ended
	}
}

// vouched gives the same configuration with trust.fleet, which accepts the history up to now.
func vouched(t *testing.T, w *testenv.World, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keys, signed := filepath.Join(t.TempDir(), "allowed"), filepath.Join(filepath.Dir(file), "vouched.yaml")
	for name, data := range map[string]string{
		keys:   "alice@corp ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIeqeC0sSx0Rj8Ddk2t0y0tYw0L0LAkXnQ1sB0fX2V1c\n",
		signed: string(text) + "\ntrust: {fleet: {allowedSigners: " + keys + ", since: " + w.Git.Head() + "}}\n",
	} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return signed
}

func TestOutputs_EveryCommandKeepsItsSchema(t *testing.T) {
	w, config := inPackageWorld(t)
	commands := speaksJSON((&app{out: io.Discard, talk: &talker{to: io.Discard}}).root())
	// What there is to tell of comes about first; the last one wants a daemon.
	turn := map[string]int{"sync": -5, "promote": -4, "rollback": -3, "suspend": -2, "resume": -1, "trigger": 1}
	slices.SortStableFunc(commands, func(a, b string) int { return cmp.Compare(turn[a], turn[b]) })
	seen := map[string]bool{}
	for _, name := range commands {
		args, ok := machineCommands[name]
		if !ok {
			t.Errorf("%s knows -o json and no document of it is tried: add it to machineCommands", name)
			continue
		}
		if name == "trigger" {
			defer aDaemon(t, config)()
			strictly(t, "events --follow", "event", follows(t, config))
			seen["event"] = true
		}
		file := config
		if name == "acknowledge" {
			file = vouched(t, w, config)
		}
		if name == "rollback" { // wants something to go back to
			if code, _, talk := command(t, t.Context(), "-c", file, "promote", "tools", "--to", "staging", "--direct"); code != exitOK {
				t.Fatalf("promote: exit %d: %s", code, talk)
			}
		}
		_, out, talk := command(t, t.Context(), slices.Concat([]string{"-c", file}, strings.Fields(name), args, []string{"-o", "json"})...)
		documents := 0
		for dec := json.NewDecoder(strings.NewReader(out)); ; documents++ {
			var text json.RawMessage
			if err := dec.Decode(&text); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
			seen[typed(t, name, text)] = true
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
	seen[typed(t, "a command that failed", []byte(lines[len(lines)-1]))] = true
	for name := range outputs {
		if !seen[name] {
			t.Errorf("nothing that is tried gives a document of type %s", name)
		}
	}
}
