package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

const minimal = `version: 1
site: berlin
stateDir: state
git: {url: "https://git.example.org/fleet.git"}
registries:
  local: {host: "registry.example.org:5000", prefix: mirror}
`

func loaded(t *testing.T, text string, environ []string, overrides map[string]any) (Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(file, environ, overrides)
}

// saysAt says whether an error has the problem "place: error[CODE]: what", or without a place anywhere.
func saysAt(err error, want string) bool {
	place, what, ok := strings.Cut(want, ": error[")
	if !ok {
		return strings.Contains(err.Error(), want)
	}
	_, after, found := strings.Cut(err.Error(), "error["+what)
	return found && strings.Contains(after, place)
}

func TestLoad_ExampleIsReadStrictly(t *testing.T) {
	c, err := Load("../../config.example.yaml", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Registries["ems"].Auth.Realms, "gitlab.matrix.org"; len(got) != 1 || got[0] != want {
		t.Errorf("realms of ems: got %v, want [%s]", got, want)
	}
	if c.Audit != 6*time.Hour || c.Git.Poll != 30*time.Second {
		t.Errorf("durations: audit %v, poll %v", c.Audit, c.Git.Poll)
	}
}

func TestLoad_LaterLayersWin(t *testing.T) {
	c, err := loaded(t, minimal+"schedule: \"@every 1h\"\n",
		[]string{"POUNDLOCK_GIT__POLL=7s", "POUNDLOCK_STATEDIR=/var/lib/x", "POUNDLOCK_REGISTRIES__LOCAL__LIMITS__CONCURRENT=9", "POUNDLOCK_CONFIG=ignored", "OTHER=x"},
		map[string]any{"git.poll": "9s"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Git.Poll != 9*time.Second || c.StateDir != "/var/lib/x" || c.Registries["local"].Limits.Concurrent != 9 || c.Schedule != "@every 1h" || c.Git.Branch != "main" {
		t.Errorf("merged: poll %v, stateDir %s, concurrent %d, schedule %s, branch %s", c.Git.Poll, c.StateDir, c.Registries["local"].Limits.Concurrent, c.Schedule, c.Git.Branch)
	}
	if got := c.Registries["local"].Host; got != "registry.example.org:5000" {
		t.Errorf("host under an overridden registry: got %q", got)
	}
}

// Each mistake is found at its line, by its code, and says nothing of a value that may be a secret.
func TestLoad_EachMistakeIsNamedWithItsPlace(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", minimal + "polcy: x\n", "config.yaml:7:1: error[DOC002]: unknown key \"polcy\""},
		{"duplicate key", minimal + "site: bonn\n", "config.yaml:7:1: error[DOC003]: duplicate key \"site\", first in line 2"},
		{"wrong type", minimal + "audit: [1h]\n", "config.yaml:7:8: error[DOC004]: audit: want a duration"},
		{"duration without a unit", minimal + "audit: 30\n", "config.yaml:7:8: error[DOC004]: audit: want a duration"},
		{"list where a map belongs", strings.Replace(minimal, "registries:\n  local: {host: \"registry.example.org:5000\", prefix: mirror}", "registries: [local]", 1), "config.yaml:5:13: error[DOC004]: registries: want a mapping, have a list"},
		{"secret in clear", strings.Replace(minimal, "prefix: mirror", "auth: {username: u, password: hunter2}", 1), "error[DOC012]: registries.local.auth.password: want a reference to a secret, have a single value"},
		{"password in the URL", strings.Replace(minimal, "https://git", "https://u:hunter2@git", 1), "config.yaml:4:12: error[CFG008]: git.url carries a password"},
		{"user in the URL", strings.Replace(minimal, "https://git.example.org/fleet.git", "http://hunter2@git.example.org/fleet.git", 1), "config.yaml:4:12: error[CFG008]: git.url carries a user name"},
		{"password in the short form", strings.Replace(minimal, "https://git.example.org/fleet.git", "bob:hunter2@127.0.0.1:fleet.git", 1), "config.yaml:4:12: error[CFG008]: git.url carries a password"},
		{"password without a scheme", strings.Replace(minimal, "https://git.example.org/fleet.git", "//u:hunter2@git.example.org/fleet.git", 1), "config.yaml:4:12: error[CFG008]: git.url carries a password"},
		{"relative path to Git", strings.Replace(minimal, "https://git.example.org/fleet.git", "fleet.git", 1), "config.yaml:4:12: error[CFG010]: git.url is no address"},
		{"ssh without a key", strings.Replace(minimal, "https://git.example.org/fleet.git", "git@git.example.org:fleet.git", 1), "config.yaml:4:6: error[CFG001]: git.auth.sshKey is missing"},
		{"realm that is a URL", strings.Replace(minimal, "prefix: mirror", `auth: {realms: [auth.example.org, "https://u:hunter2@auth.example.org/"]}`, 1), "error[CFG028]: registries.local.auth.realms: an item is no host"},
		{"realm with a wildcard", strings.Replace(minimal, "prefix: mirror", `auth: {realms: ["*.example.org"]}`, 1), "config.yaml:6:62: error[CFG028]: registries.local.auth.realms"},
		{"redirect with a path", strings.Replace(minimal, "prefix: mirror", `auth: {redirects: ["*.example.org", cdn.example.org/x]}`, 1), "error[CFG028]: registries.local.auth.redirects: an item is no host"},
		{"branch that Git does not take", strings.Replace(minimal, "fleet.git\"", "fleet.git\", branch: \"a..b\"", 1), "error[CFG027]: git.branch \"a..b\""},
		{"state branch that Git does not take", strings.Replace(minimal, "fleet.git\"", "fleet.git\", stateBranch: \"a..b\"", 1), "error[CFG080]: git.stateBranch \"a..b\""},
		{"state branch below the branch", strings.Replace(minimal, "fleet.git\"", "fleet.git\", stateBranch: main/state", 1), "error[CFG080]: git.stateBranch \"main/state\" and git.branch \"main\""},
		{"user in an endpoint", strings.Replace(minimal, "prefix: mirror", `endpoint: "https://hunter2@10.0.0.1"`, 1), "error[CFG015]: registries.local.endpoint"},
		{"query in an endpoint", strings.Replace(minimal, "prefix: mirror", `endpoint: "https://10.0.0.1/?token=hunter2"`, 1), "error[CFG015]: registries.local.endpoint"},
		{"query in the URL", strings.Replace(minimal, "fleet.git", "fleet.git?token=hunter2", 1), "error[CFG008]: git.url carries a query"},
		{"plain http to Git", strings.Replace(minimal, "https://git", "http://git", 1), "config.yaml:4:12: error[CFG009]: git.url is plain http"},
		{"no local registry", strings.Replace(minimal, "local:", "other:", 1), "error[CFG001]: registries.local is missing"},
		{"host with a path", strings.Replace(minimal, "registry.example.org:5000", "registry.example.org/x", 1), "error[CFG013]"},
		{"plain http registry", strings.Replace(minimal, "prefix: mirror", `endpoint: "http://10.0.0.1"`, 1), "error[CFG009]: registries.local.endpoint is plain http"},
		{"one host twice", minimal + "  again: {host: \"registry.example.org:5000\"}\n", "error[CFG003]"},
		{"bad cron line", minimal + "schedule: \"61 * * * *\"\n", "config.yaml:7:11: error[CFG005]: schedule \"61"},
		{"unknown time zone", minimal + "timeZone: Mars/Base\n", "config.yaml:7:11: error[CFG004]: unknown time zone"},
		{"template that does not compile", strings.Replace(minimal, "fleet.git\"", "fleet.git\", message: \"{{.Set\"", 1), "git.message: message template"},
		{"negative", minimal + "audit: -1h\n", "error[CFG006]: audit must be above zero"},
		{"poll without a pause", strings.Replace(minimal, "fleet.git\"", "fleet.git\", poll: 0s", 1), "error[CFG006]: git.poll must be above zero"},
		{"poll that floods", strings.Replace(minimal, "fleet.git\"", "fleet.git\", poll: 1ns", 1), "error[CFG006]: git.poll must be at least 10ms"},
		{"look that floods", minimal + "schedule: \"@every 1ns\"\n", "config.yaml:7:11: error[CFG005]: schedule \"@every 1ns\" looks more often"},
		{"look that never comes", minimal + "schedule: \"0 0 31 2 *\"\n", "config.yaml:7:11: error[CFG005]: schedule \"0 0 31 2 *\" never comes"},
		{"socket too long", minimal + "socket: /run/" + strings.Repeat("x", 99) + "\n", "config.yaml:7:9: error[CFG040]: the path of the socket has 104 bytes"},
		{"socket too long below the state", strings.Replace(minimal, "stateDir: ", "stateDir: /"+strings.Repeat("x", 99)+" #", 1), "config.yaml:3:11: error[CFG040]: the path of the socket"},
		{"newer version", strings.Replace(minimal, "version: 1", "version: 2", 1), "error[DOC008]: version 2 is newer"},
		{"tab indentation", "version: 1\n\tsite: x\n", "error[DOC001]"},
		{"alias bomb", "version: 1\na: &a [x,x]\nb: &b [*a,*a]\n", "error[DOC006]: anchors and aliases are not read"},
		{"path out of the repository", strings.Replace(minimal, "fleet.git\"", "fleet.git\", path: \"../x\"", 1), "error[CFG012]"},
		{"embedded elsewhere", minimal + "  hub: {host: docker.io, embedded: {dir: x, listen: \"127.0.0.1:1\"}}\n", "error[CFG016]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := loaded(t, tt.text, nil, nil)
			var problems mirror.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want mirror.Problems", err)
			}
			if !saysAt(err, tt.want) {
				t.Errorf("got:\n%v\nwant: %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestLoad_AllMistakesInOnePass(t *testing.T) {
	_, err := loaded(t, strings.Replace(minimal, "site: berlin", "site: Berlin West", 1)+"schedule: never\ntimeZone: Mars/Base\naudit: 0s\n", nil, nil)
	var problems mirror.Problems
	if !errors.As(err, &problems) || len(problems) < 3 {
		t.Fatalf("got %v, want at least three problems", err)
	}
}

func TestLoad_UnknownVariableIsNamed(t *testing.T) {
	_, err := loaded(t, minimal, []string{"POUNDLOCK_GIT__POL=7s"}, nil)
	if err == nil || !strings.Contains(err.Error(), "POUNDLOCK_GIT__POL") {
		t.Errorf("got %v, want the variable named", err)
	}
}

func TestSecret_IsReadAtEachUseAndNeverPrinted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	s := Secret{File: file}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(file, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := s.Read()
		if err != nil || got.Reveal() != want {
			t.Errorf("got %q, %v; want %q", got.Reveal(), err, want)
		}
		if shown := fmt.Sprintf("%v %s %+v %#v", got, got, got, got); strings.Contains(shown, want) {
			t.Errorf("printed in clear: %s", shown)
		}
	}
	if _, err := (Secret{Env: "POUNDLOCK_TEST_UNSET"}).Read(); err == nil {
		t.Error("an unset variable is read as empty")
	}
	if _, err := (Secret{File: file + ".none"}).Read(); err == nil {
		t.Error("a missing file is read as empty")
	}
}

func TestLoad_WarnsOfVariablesThatSetNothing(t *testing.T) {
	for _, tt := range []struct{ variable, want string }{
		{"POUNDLOCK_STATE_DIR=/x", "the variable POUNDLOCK_STATE_DIR sets nothing; did you mean POUNDLOCK_STATEDIR?"},
		{"POUNDLOCK_GIT_POLL=1m", "did you mean POUNDLOCK_GIT__POLL?"},
		{"POUNDLOCK_REGISTRIES_LOCAL_AUTH_PASSWORD_FILE=/x", "did you mean POUNDLOCK_REGISTRIES__LOCAL__AUTH__PASSWORD__FILE?"},
		{"POUNDLOCK_SCHEDUEL=hunter2", "did you mean POUNDLOCK_SCHEDULE?"},
		{"POUNDLOCK_XYZZY=hunter2", "the variable POUNDLOCK_XYZZY sets nothing; the keys are in `poundlock explain config`"},
		{"POUNDLOCK_REGISTRIES__LOCL__HOST=hunter2.example", `env POUNDLOCK_REGISTRIES__LOCL__HOST makes a registry "locl", which is in no file; did you mean POUNDLOCK_REGISTRIES__LOCAL__HOST?`},
		{"POUNDLOCK_REGISTRIES__GHCR__HOST=ghcr.io", ""},
		{"POUNDLOCK_VERSION=1.4.2", "the variable POUNDLOCK_VERSION sets nothing"}, // images and charts like to set it
		{"POUNDLOCK_REGISTRY_PASSWORD=hunter2", ""},                                // a secret is read from it
		{"POUNDLOCK_CONFIG=x", ""},
		{"POUNDLOCK_SERVICE_HOST=10.0.0.1", ""}, {"POUNDLOCK_SERVICE_PORT_HTTP=80", ""}, {"POUNDLOCK_PORT=tcp://10.0.0.1:80", ""},
		{"POUNDLOCK_PORT_80_TCP_ADDR=10.0.0.1", ""}, {"POUNDLOCK_METRICS_SERVICE_HOST=10.0.0.1", ""}, {"POUNDLOCK_METRICS_PORT_9090_TCP=tcp://10.0.0.1:9090", ""},
	} {
		t.Run(tt.variable, func(t *testing.T) {
			c, err := loaded(t, strings.Replace(minimal, "prefix: mirror", "auth: {username: u, password: {env: POUNDLOCK_REGISTRY_PASSWORD}}", 1), []string{tt.variable}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(c.Warnings, "\n"); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) || strings.Contains(got, "hunter2") || len(c.Warnings) > 1 {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
