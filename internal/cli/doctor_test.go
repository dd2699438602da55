package cli

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/testenv"
)

// examined runs doctor and gives the states by group, the worst of each.
func examined(t *testing.T, args ...string) (code int, states map[string]daemon.CheckState, out string) {
	t.Helper()
	code, out, talk := command(t, t.Context(), append(args, "doctor", "-o", "json")...)
	var doc struct {
		Type    string
		Version int
		Checks  []daemon.Check
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Type != "doctor" || doc.Version != 1 {
		t.Fatalf("%v: %s%s", err, out, talk)
	}
	rank := map[daemon.CheckState]int{daemon.CheckNone: 0, daemon.CheckOK: 1, daemon.CheckWarning: 2, daemon.CheckFailed: 3}
	states = map[string]daemon.CheckState{}
	for _, c := range doc.Checks {
		if was, ok := states[c.Group]; !ok || rank[c.State] > rank[was] {
			states[c.Group] = c.State
		}
		if c.State == daemon.CheckFailed && (c.Problem == nil || c.Problem.Code == "" || c.Problem.Fix == "" && c.Group != "fleet") {
			t.Errorf("%s failed without a way out: %+v", c.Group, c)
		}
	}
	return code, states, out
}

func TestDoctor_AllIsWellInTheWorldAndNothingStays(t *testing.T) {
	for name, value := range map[string]string{"LC_ALL": "C.UTF-8", "TERM": "xterm", "HTTPS_PROXY": "", "HTTP_PROXY": "", "https_proxy": "", "http_proxy": ""} {
		t.Setenv(name, value)
	}
	w, config := inWorld(t)
	head := w.Git.Head()
	code, states, out := examined(t, "-c", config)
	if code != exitOK {
		t.Errorf("exit %d\n%s", code, out)
	}
	for _, group := range []string{"config", "git", "fleet", "source", "target", "trust", "ca", "clock", "disk"} {
		if states[group] != daemon.CheckOK {
			t.Errorf("%s is %q\n%s", group, states[group], out)
		}
	}
	if _, err := os.Stat(filepath.Join(w.Dir(), "state")); !os.IsNotExist(err) || w.Git.Head() != head {
		t.Errorf("a state directory or a commit is left: %v", err)
	}
	tags, err := http.Get("http://" + w.Local.Back() + "/v2/poundlock-doctor/tags/list")
	if err != nil {
		t.Fatal(err)
	}
	defer tags.Body.Close()
	var list struct{ Tags []string }
	if err := json.NewDecoder(tags.Body).Decode(&list); len(list.Tags) > 0 {
		t.Errorf("tags are left: %v %v", list.Tags, err)
	}
	code, text, talk := command(t, t.Context(), "-c", config, "doctor")
	if code != exitOK {
		t.Errorf("exit %d: %s", code, talk)
	}
	for _, want := range []string{"✔ git      read + push to fleet.git", "✔ target   127.0.0.1:", "push, pull, referrers", "delete-tag", `✔ trust    key "vendor" (ECDSA P-256), no network`, "✔ forge    platform/fleet at 127.0.0.1:", "✔ clock    at most"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not there:\n%s", want, text)
		}
	}
	t.Setenv("LC_ALL", "C")
	if _, text, _ := command(t, t.Context(), "-c", config, "doctor"); strings.ContainsAny(text, "✔✗") || !strings.Contains(text, "ok git      read + push") {
		t.Errorf("marks of a plain terminal:\n%s", text)
	}
}

func TestDoctor_NamesTheOneThingThatIsBroken(t *testing.T) {
	w, config := inWorld(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	with := func(old, new string) string {
		t.Helper()
		if !strings.Contains(string(text), old) {
			t.Fatalf("the configuration has no %q", old)
		}
		return configure(t, strings.Replace(string(text), old, new, 1))
	}
	wrong, file := filepath.Join(t.TempDir(), "wrong"), filepath.Join(t.TempDir(), "file")
	for _, f := range []string{wrong, file} {
		if err := os.WriteFile(f, []byte("wrong-canary"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	readOnly := func(r *http.Request) *testenv.Fault {
		if r.Method == http.MethodDelete {
			return &testenv.Fault{Status: http.StatusMethodNotAllowed}
		}
		return nil
	}
	for _, tt := range []struct {
		name   string
		config string
		before func()
		group  string
		state  daemon.CheckState
		code   int
		says   string
	}{
		{name: "unknown key", config: with("site: demo", "siteN: demo"), group: "config", state: daemon.CheckFailed, code: exitConfig, says: "siteN"},
		{name: "secret is missing", config: with("git-password", "git-pasword"), group: "config", state: daemon.CheckFailed, code: exitConfig, says: "git.auth.password"},
		{name: "Git password", config: with(filepath.Join(w.Dir(), "git-password"), wrong), group: "git", state: daemon.CheckFailed, code: exitAuth, says: "AUTH004"},
		{name: "Git server is down", config: with(w.Git.Host(), "127.0.0.1:1"), group: "git", state: daemon.CheckFailed, code: exitRetry, says: "NET002"},
		{name: "no branch", config: with("branch: main", "branch: mian"), group: "git", state: daemon.CheckFailed, code: exitConfig, says: "GIT021"},
		{name: "local registry is down", config: with(w.Local.Host(), "127.0.0.1:1"), group: "target", state: daemon.CheckFailed, code: exitRetry, says: "NET002"},
		{name: "upstream is down", config: with(w.Upstream.URL(), "http://127.0.0.1:1"), group: "source", state: daemon.CheckFailed, code: exitRetry, says: "NET002"},
		{name: "state directory is a file", config: with(filepath.Join(w.Dir(), "state"), filepath.Join(file, "state")), group: "disk", state: daemon.CheckFailed, code: exitConfig, says: "DISK002"},
		{name: "authorities are missing", config: configure(t, string(text)+"tls: {caFiles: [nowhere.pem]}\n"), group: "ca", state: daemon.CheckFailed, code: exitConfig, says: "nowhere.pem"},
		{name: "local registry deletes nothing", config: config, before: func() { w.Local.Proxy().Break(readOnly) }, group: "target", state: daemon.CheckWarning, code: exitOK, says: "REG003"},
		{name: "local registry asks for a user", config: config, before: func() { w.Local.Proxy().Break(nil); w.Local.RequireBasic("robot", "right-canary") }, group: "target", state: daemon.CheckFailed, code: exitAuth, says: "AUTH002"},
		{name: "fleet is wrong", config: config, before: func() {
			w.Local.RequireBasic("", "")
			if _, err := w.Git.Commit(t.Context(), "broken", map[string]string{"desired/policy.yaml": "version: 1\nruels: []\n"}); err != nil {
				t.Fatal(err)
			}
		}, group: "fleet", state: daemon.CheckFailed, code: exitConfig, says: "desired/policy.yaml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.before != nil {
				tt.before()
			}
			code, states, out := examined(t, "-c", tt.config)
			if states[tt.group] != tt.state || !strings.Contains(out, tt.says) {
				t.Errorf("%s is %q, want %q, with %q:\n%s", tt.group, states[tt.group], tt.state, tt.says, out)
			}
			if code != tt.code {
				t.Errorf("exit %d, want %d\n%s", code, tt.code, out)
			}
			if strings.Contains(out, "canary") {
				t.Errorf("a secret is shown: %s", out)
			}
			for group, state := range states {
				if state == daemon.CheckFailed && group != tt.group && tt.name != "secret is missing" && tt.name != "authorities are missing" {
					t.Errorf("%s fails too:\n%s", group, out)
				}
			}
		})
	}
}

// Before anything is installed, and with nobody to ask, doctor still tells what it can.
func TestDoctor_BeforehandAsksNobody(t *testing.T) {
	w, config := inWorld(t)
	w.Close()
	t.Setenv("HTTPS_PROXY", "http://me:proxy-canary@proxy.example:3128")
	code, out, talk := command(t, t.Context(), "-c", config, "doctor", "--pre", "-o", "json")
	if code != exitOK {
		t.Fatalf("exit %d: %s%s", code, out, talk)
	}
	for _, unwanted := range []string{`"git"`, `"source"`, `"target"`, "canary"} {
		if strings.Contains(out, unwanted) {
			t.Errorf("%s is there:\n%s", unwanted, out)
		}
	}
	for _, want := range []string{`"config"`, `"disk"`, `"ca"`, `"clock"`, "HTTPS_PROXY proxy.example:3128"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is missing:\n%s", want, out)
		}
	}
	code, out, talk = command(t, t.Context(), "-c", configure(t, "version: 1\nsite: x\n"), "doctor", "--pre")
	if code != exitConfig || !strings.Contains(out, "fix:") {
		t.Errorf("exit %d: %s%s", code, out, talk)
	}
}

// What doctor is green about, a run can use; what it has not looked at it names.
func TestDoctor_IsNotGreenWhereARunFails(t *testing.T) {
	w, config := inWorld(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, tt := range []struct {
		name  string
		args  []string
		group string
		says  []string
	}{
		{"a busy address", []string{"--set", "listen=" + busy.Addr().String()}, "daemon", []string{"NET009", "flag --set listen"}},
		{"a client certificate that is missing", []string{"--set", "tls.certFile=/nowhere.pem", "--set", "tls.keyFile=/nowhere.key"}, "config", []string{"tls.certFile: /nowhere.pem cannot be read", "tls.keyFile"}},
		{"a state in /proc", []string{"--set", "stateDir=/proc/foo"}, "disk", []string{"DISK001", "the state directory /proc/foo"}},
		{"a mistake in the configuration", []string{"--set", "audit=1ns"}, "config", []string{"CFG006", "not looked at"}},
	} {
		code, states, out := examined(t, append([]string{"-c", config}, tt.args...)...)
		if code == exitOK || states[tt.group] != daemon.CheckFailed || len(states) != 12 {
			t.Errorf("%s: exit %d, %v", tt.name, code, states)
		}
		for _, want := range tt.says {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not told:\n%s", tt.name, want, out)
			}
		}
	}
	password := filepath.Join(w.Dir(), "password")
	if err := os.WriteFile(password, []byte("x-canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, out := examined(t, "-c", config, "--set", "registries.local.auth.username=u", "--set", "registries.local.auth.password.file="+password); !strings.Contains(out, "anonymous (it never asked for the credential)") {
		t.Errorf("it vouches for a credential that nobody saw:\n%s", out)
	}
}
