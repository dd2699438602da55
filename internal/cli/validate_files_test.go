package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	validConfig = "version: 1\nsite: berlin\nstateDir: state\ngit:\n  url: /nowhere/fleet.git\nregistries:\n  local:\n    host: registry.example.org:5000\n"
	validPolicy = "version: 1\nrules:\n  - {match: \"docker.io/**\", require: {pinned: true}}\n"
	validSet    = "version: 1\nsource: {kind: list, images: [\"docker.io/library/nginx:1.25\"]}\n"
)

func put(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What is wrong with files themselves, which no archive can hold. The words of the command are compared with
// testdata/bad-files.
func TestValidate_TellsWhatIsWrongWithFiles(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	link := func(t *testing.T, to, name string) {
		t.Helper()
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	fleet := map[string]string{"desired/policy.yaml": validPolicy, "desired/web.yaml": validSet}
	for _, tt := range []struct {
		name   string
		files  map[string]string
		before func(t *testing.T)
		args   []string
	}{
		{name: "config-directory", files: map[string]string{"config.yaml/x": ""}, args: []string{"-c", "config.yaml", "validate"}},
		{name: "config-missing", args: []string{"-c", "confg.yaml", "validate"}},
		{name: "config-below-a-file", files: map[string]string{"etc": ""}, args: []string{"-c", "etc/config.yaml", "validate"}},
		{name: "config-binary", files: map[string]string{"config.yaml": "\x7fELF\x02\x01\x01\x00"}, args: []string{"-c", "config.yaml", "validate"}},
		{name: "config-latin1", files: map[string]string{"config.yaml": "version: 1\nsite: M\xfcnchen\n"}, args: []string{"-c", "config.yaml", "validate"}},
		{name: "config-utf16", files: map[string]string{"config.yaml": "\xff\xfev\x00e\x00r\x00s\x00i\x00o\x00n\x00"}, args: []string{"-c", "config.yaml", "validate"}},
		{name: "config-too-large", files: map[string]string{"config.yaml": strings.Repeat("# nothing\n", mirror.MaxDocument/10+1)}, args: []string{"-c", "config.yaml", "validate"}},
		{name: "fleet-missing", args: []string{"validate", "fleet"}},
		{name: "fleet-file", files: map[string]string{"fleet": ""}, args: []string{"validate", "fleet"}},
		{name: "fleet-without-desired", files: map[string]string{"fleet/README.md": "", "config.yaml": validConfig + "schedule: \"@every 1h\"\n"}, args: []string{"-c", "config.yaml", "validate", "fleet"}},
		{name: "fleet-symlink", files: fleet, before: func(t *testing.T) { link(t, "/etc/passwd", "desired/secret.yaml") }, args: []string{"validate"}},
		{name: "fleet-symlinked-directory", files: fleet, before: func(t *testing.T) { link(t, "..", "desired/all") }, args: []string{"validate", "."}},
		{name: "fleet-utf16", files: map[string]string{"desired/policy.yaml": validPolicy, "desired/web.yaml": "\xff\xfev\x00e\x00"}, args: []string{"validate"}},
		{name: "fleet-binary-list", files: map[string]string{"desired/policy.yaml": validPolicy, "desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n", "desired/web.txt": "a\x00b"}, args: []string{"validate"}},
		{name: "fleet-elsewhere", files: map[string]string{"fleet/desired/policy.yaml": validPolicy, "fleet/desired/web.yaml": validSet + "layuot: path\n"}, args: []string{"validate", "fleet/"}},
		{name: "fleet-git-path", files: map[string]string{"config.yaml": strings.Replace(validConfig, "git:\n", "git:\n  path: sites/berlin\n", 1), "fleet/sites/berlin/desired/policy.yaml": "version: 1\nruels: []\n"}, args: []string{"-c", "config.yaml", "validate", "fleet"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(here, "testdata", "bad-files", tt.name+".txtar")
			archive, err := txtar.ParseFile(file)
			if err != nil && !*update {
				t.Fatal(err)
			} else if err != nil {
				archive = &txtar.Archive{Comment: []byte(strings.Join(tt.args, " ") + "\n")}
			}
			want := inFolder(t, &txtar.Archive{Files: archive.Files})
			put(t, tt.files)
			if tt.before != nil {
				tt.before(t)
			}
			code, text, talk := command(t, t.Context(), tt.args...)
			if code != exitConfig || talk != "" {
				t.Fatalf("exit %d, want %d; talk %q\n%s", code, exitConfig, talk, text)
			}
			_, doc, _ := command(t, t.Context(), append(tt.args, "-o", "json")...)
			golden(t, file, archive, want, map[string]string{"want.txt": text, "want.json": doc})
		})
	}
}

func TestValidate_SaysWhatIsValid(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		args  []string
		out   string
	}{
		{"the configuration", map[string]string{"config.yaml": validConfig}, []string{"-c", "config.yaml", "validate"}, "config.yaml is valid\n"},
		{"the current folder", map[string]string{"desired/policy.yaml": validPolicy, "desired/web.yaml": validSet}, []string{"validate"}, "1 set is valid\n"},
		{"both", map[string]string{"config.yaml": validConfig, "f/desired/policy.yaml": validPolicy, "f/desired/web.yaml": validSet, "f/desired/b.yaml": validSet}, []string{"-c", "config.yaml", "validate", "f"}, "config.yaml and 2 sets are valid\n"},
		{"for a workflow", map[string]string{"desired/policy.yaml": validPolicy}, []string{"validate", "-o", "github"}, ""},
		{"below git.path", map[string]string{"config.yaml": strings.Replace(validConfig, "git:\n", "git:\n  path: sites/berlin\n", 1), "f/sites/berlin/desired/policy.yaml": validPolicy}, []string{"-c", "config.yaml", "validate", "f"}, "config.yaml and 0 sets are valid\n"},
		{"the folder of git.path itself", map[string]string{"config.yaml": strings.Replace(validConfig, "git:\n", "git:\n  path: sites/berlin\n", 1), "f/sites/berlin/desired/policy.yaml": validPolicy}, []string{"-c", "config.yaml", "validate", "f/sites/berlin"}, "config.yaml and 0 sets are valid\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFolder(t, &txtar.Archive{})
			put(t, tt.files)
			code, out, talk := command(t, t.Context(), tt.args...)
			if code != exitOK || out != tt.out || talk != "" {
				t.Errorf("exit %d, %q, want %q; talk %q", code, out, tt.out, talk)
			}
		})
	}
}

func TestValidate_IsVersionedJSONAlsoWithoutProblems(t *testing.T) {
	inFolder(t, &txtar.Archive{})
	put(t, map[string]string{"config.yaml": validConfig, "desired/policy.yaml": validPolicy, "desired/web.yaml": validSet})
	code, out, _ := command(t, t.Context(), "-c", "config.yaml", "validate", ".", "-o", "json")
	var doc map[string]any
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	if got, want := fmt.Sprint(doc), "map[config:config.yaml fleet:. problems:[] sets:1 type:validation version:1]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestValidate_WithNothingToCheckSaysWhatToGive(t *testing.T) {
	inFolder(t, &txtar.Archive{})
	code, out, talk := command(t, t.Context(), "validate")
	if code != exitConfig || out != "" || !strings.Contains(talk, "nothing to check") {
		t.Errorf("exit %d, %q, %q", code, out, talk)
	}
}

func TestValidate_WarningsAreTalk(t *testing.T) {
	inFolder(t, &txtar.Archive{})
	put(t, map[string]string{"config.yaml": validConfig})
	t.Setenv("POUNDLOCK_STATE_DIR", "/x")
	code, out, talk := command(t, t.Context(), "-c", "config.yaml", "validate")
	if code != exitOK || out != "config.yaml is valid\n" || !strings.Contains(talk, "POUNDLOCK_STATE_DIR") {
		t.Errorf("exit %d, %q, %q", code, out, talk)
	}
}

// Mistakes that only a run can find have the same form: where, what, and a fix that one can do.
func TestRun_TellsWhatIsWrongWithThePlaceItRunsIn(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config string
		files  map[string]string
		says   []string
	}{
		{"secret file that is not there", validConfig + "    auth: {username: u, password: {file: secrets/password}}\n", nil,
			[]string{"error[CFG017]", "registries.local.auth.password", "secrets/password", " fix: "}},
		{"secret file that is a directory", validConfig + "    auth: {username: u, password: {file: secrets}}\n", map[string]string{"secrets/x": ""},
			[]string{"error[CFG017]", "registries.local.auth.password", "directory", " fix: "}},
		{"secret variable that is not set", validConfig + "    auth: {username: u, password: {env: POUNDLOCK_TEST_ABSENT}}\n", nil,
			[]string{"error[CFG017]", "POUNDLOCK_TEST_ABSENT", " fix: "}},
		{"state directory below a file", strings.Replace(validConfig, "stateDir: state", "stateDir: file/state", 1), map[string]string{"file": ""},
			[]string{"error[", "state", " fix: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFolder(t, &txtar.Archive{})
			put(t, map[string]string{"config.yaml": tt.config})
			put(t, tt.files)
			code, out, talk := command(t, t.Context(), "-c", "config.yaml", "sync")
			if code == exitOK {
				t.Errorf("exit 0: %s", out)
			}
			for _, want := range tt.says {
				if !strings.Contains(talk, want) {
					t.Errorf("exit %d, %q is missing in:\n%s", code, want, talk)
				}
			}
		})
	}
}
