package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon/config"
)

const viewed = `version: 1
site: "007"
git:
  url: ssh://git@git.example.org/fleet.git
  poll: 90s
  message: "{{.Subject}}\n\n# more: of \"it\""
  auth: {sshKey: {file: id}, knownHosts: known_hosts}
registries:
  local: {embedded: {dir: reg, listen: "127.0.0.1:5000"}}
  docker.io: {host: docker.io, auth: {keychain: true, realms: ["1.10", b.example]}}
tls: {caFiles: [a.pem, ../b.pem]}
`

func TestConfigView_IsAConfigurationFile(t *testing.T) {
	t.Setenv("POUNDLOCK_REGISTRIES__DOCKER_IO__LIMITS__CONCURRENT", "12")
	file := configure(t, viewed)
	values := func(file string) []config.Value {
		t.Helper()
		c, err := config.Load(file, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Values()
	}
	for _, args := range [][]string{{}, {"--origin"}, {"-o", "yaml"}} {
		code, out, talk := command(t, t.Context(), append([]string{"-c", file, "--set", "git.branch=next", "config", "view"}, args...)...)
		if code != exitOK || talk != "" {
			t.Fatalf("exit %d: %s", code, talk)
		}
		again := values(configure(t, out))
		var got []string
		for _, v := range again {
			v.Origin = config.Origin{}
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(text))
		}
		code, out, talk = command(t, t.Context(), "-c", file, "--set", "git.branch=next", "config", "view", "-o", "json")
		if code != exitOK {
			t.Fatalf("exit %d: %s", code, talk)
		}
		var doc configDocument
		var raw struct{ Values []map[string]any }
		if err := json.Unmarshal([]byte(out), &raw); err != nil {
			t.Fatal(err)
		}
		for _, v := range raw.Values {
			doc.Values = append(doc.Values, config.Value{Path: v["path"].(string), Value: v["value"]})
		}
		var want []string
		for _, v := range doc.Values {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(text))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: loaded again\n%s\nwant\n%s", args, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestConfigView_SaysWhereEachValueWasSet(t *testing.T) {
	t.Setenv("POUNDLOCK_AUDIT", "1h")
	config := configure(t, viewed)
	dropIn := filepath.Join(filepath.Dir(config), "config.d", "10-site.yaml")
	if err := os.MkdirAll(filepath.Dir(dropIn), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dropIn, []byte("timeZone: UTC\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, talk := command(t, t.Context(), "-c", config, "--set", "git.branch=next", "config", "view", "-o", "json")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, talk)
	}
	var doc struct {
		Type    string
		Version int
		Values  []struct {
			Path, Origin string
			Value        any
		}
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Type != "config" || doc.Version != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	got := map[string]string{}
	for _, v := range doc.Values {
		got[v.Path] = v.Origin
	}
	_, table, _ := command(t, t.Context(), "-c", config, "--set", "git.branch=next", "config", "view", "--origin", "-o", "table")
	for path, want := range map[string]string{"site": config + ":2:7", "git.auth.sshKey.file": config + ":7:25", "timeZone": dropIn + ":1:11", "audit": "env POUNDLOCK_AUDIT",
		"git.branch": "flag --set git.branch", "listen": "default"} {
		if got[path] != want || !strings.Contains(table, want) {
			t.Errorf("%s: got %s, want %s\n%s", path, got[path], want, table)
		}
	}
	if _, out, _ := command(t, t.Context(), "-c", config, "config", "view", "-o", "table"); strings.Contains(out, "ORIGIN") {
		t.Errorf("origins that nobody asked for:\n%s", out)
	}
}

const canary = "canary-S3cr3t.v4lue"

// loading gives the command lines of every command that reads the configuration.
func loading(t *testing.T) [][]string {
	t.Helper()
	without := []string{"demo", "init", "help", "completion", "man", "schema", "explain", "version"}
	args := map[string][]string{"trigger": {"ess"}, "suspend": {"ess", "--reason", "because"}, "resume": {"ess"},
		"freeze": {"ess", "staging", "as", "1.0"}, "promote": {"ess", "--to", "staging"}, "rollback": {"ess", "--stage", "staging"}, "hold": {"ess", "--stage", "staging", "--reason", "because"}, "release": {"ess", "--stage", "staging"}, "trace": {"nginx"}, "verify": {"docker.io/library/nginx:1"},
		"support-bundle": {"--out", filepath.Join(t.TempDir(), "bundle.tar.gz")}} // what it holds has a test of its own
	var all [][]string
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		for _, sub := range cmd.Commands() {
			if len(path) == 0 && slices.Contains(without, sub.Name()) || sub.Hidden {
				continue
			}
			line := append(slices.Clone(path), sub.Name())
			if sub.HasSubCommands() {
				walk(sub, line)
				continue
			}
			line = append(line, args[sub.Name()]...)
			all = append(all, line)
			if o := sub.Flags().Lookup("output"); o != nil && strings.Contains(o.Usage, "json") {
				all = append(all, append(slices.Clone(line), "-o", "json"))
			}
		}
	}
	walk((&app{}).root(), nil)
	if len(all) < 20 {
		t.Fatalf("only %d command lines: %v", len(all), all)
	}
	return all
}

// Whatever is wrong or right with the configuration, no command shows a secret of any layer.
func TestCommands_ShowNoSecretOfTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := func(gitAuth, localAuth string) string {
		return "version: 1\nsite: berlin\nlisten: \"127.0.0.1:0\"\ngit: {url: \"http://127.0.0.1:1/fleet.git\", insecure: true, auth: {" + gitAuth + "}}\n" +
			"registries:\n  local: {host: \"127.0.0.1:1\", insecure: true, auth: {" + localAuth + "}}\n"
	}
	bad := text("username: u, password: {file: "+secret+"}", "username: u, password: {credential: secret}")
	lines := loading(t)
	for _, tt := range []struct {
		name, text, dropIn string
		environ            map[string]string
		flags              []string
		right              bool // nothing is wrong with it
	}{
		{name: "right", text: text("token: {env: POUNDLOCK_TEST_CANARY}", "username: u, password: {credential: secret}") + "  hub: {host: \"127.0.0.1:2\", auth: {token: {file: " + secret + "}}}\n",
			environ: map[string]string{"POUNDLOCK_TEST_CANARY": canary, "POUNDLOCK_PASSWORD": canary, "POUNDLOCK_GIT__URL": "https://" + canary + "@127.0.0.1:1/x"}, right: true},
		{name: "clear in the file", text: text("username: u, password: "+canary, "")},
		{name: "clear in a drop-in file", text: bad, dropIn: "git: {auth: {token: " + canary + "}}\n"},
		{name: "broken drop-in file", text: bad, dropIn: "git:\n  auth:\n    password: " + canary + "\n   x: [\n"},
		{name: "clear in a variable", text: bad, environ: map[string]string{"POUNDLOCK_GIT__AUTH__PASSWORD": canary}},
		{name: "clear in a flag", text: bad, flags: []string{"--set", "git.auth.token=" + canary}},
		{name: "clear in a flag without a key", text: bad, flags: []string{"--set", canary}},
		{name: "in the address, by a variable", text: bad, environ: map[string]string{"POUNDLOCK_GIT__URL": "https://u:" + canary + "@git.example"}},
		{name: "in the endpoint", text: bad, flags: []string{"--set", "registries.local.endpoint=http://u:" + canary + "@127.0.0.1:1"}},
		{name: "instead of a boolean", text: bad, environ: map[string]string{"POUNDLOCK_REGISTRIES__LOCAL__AUTH__KEYCHAIN": canary}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CREDENTIALS_DIRECTORY", dir)
			for name, value := range tt.environ {
				t.Setenv(name, value)
			}
			config := configure(t, tt.text)
			if tt.dropIn != "" {
				if err := os.Mkdir(filepath.Join(filepath.Dir(config), "config.d"), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(filepath.Dir(config), "config.d", "x.yaml"), []byte(tt.dropIn), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			var all sync.WaitGroup
			for _, line := range lines {
				all.Go(func() {
					var o, e bytes.Buffer
					code := Main(ctx, slices.Concat([]string{"-c", config}, tt.flags, line), &o, &e)
					for _, part := range []string{"canary", "S3cr3t", "v4lue"} {
						if strings.Contains(o.String()+e.String(), part) {
							t.Errorf("%v shows %q:\n%s\n%s", line, part, &o, &e)
							break
						}
					}
					if code == exitOK && !tt.right && !slices.Contains(line, "support-bundle") {
						t.Errorf("%v: the configuration is wrong, and the command ends well", line)
					}
				})
			}
			all.Wait()
		})
	}
}
