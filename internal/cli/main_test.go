package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// command runs one command line in this process, as main does.
func command(t *testing.T, ctx context.Context, args ...string) (code int, out, talk string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(ctx, args, &o, &e)
	return code, o.String(), e.String()
}

// inWorld makes the world of the demo and gives the path of a configuration for it.
func inWorld(t *testing.T) (*testenv.World, string) {
	t.Helper()
	w, err := testenv.NewWorld(t.Context(), t.TempDir(), testenv.WorldOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, configure(t, w.ConfigYAML())
}

func configure(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDemo_RefusesExactlyTheBadImages(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	code, out, talk := command(t, t.Context(), "demo", "--once")
	if code != exitPartial {
		t.Fatalf("exit %d, want %d\n%s\n%s", code, exitPartial, out, talk)
	}
	last := out[strings.LastIndex(out, "set tools\n"):]
	for _, want := range []string{"! ghcr.io/example-tools/unsigned:1.0.0", "! ghcr.io/example-tools/wrong-key:1.0.0", "! quay.io/example-tools/tampered:1.0.0",
		"? quay.io/example-tools/missing:1.0.0", "Plan: 4 refused, 1 missing upstream, 88 unchanged.", "kind: ConfigMap",
		"poundlock/sync: success 2 entries stand as asked for", "Merge pull request '[staging] Promote packages from snapshot (fleet_server-1.6.0, nginx-1.20.0)' (#2)", "Merge pull request '[staging] ess: 38 entries from snapshot' (#1)",
		"  rendered/demo/consumers/workers/registries.yaml\n", "== rendered/demo/consumers/workers/certs.d/docker.io/hosts.toml\n", "/v2/staging/docker.io\"]\n",
		"/epr/staging/\n    fleet_server-1.6.0  nginx-1.20.0\n", "/epr/production/\n    (nothing yet)\n"} {
		if !strings.Contains(last, want) {
			t.Errorf("the end of the demo lacks %q:\n%s", want, last)
		}
	}
	for _, want := range []string{"gates: denied ✔  previous ✔", "opened http://127.0.0.1:", "== what alice reads at http", "poundlock/plan: success 38 to copy", "poundlock/policy: success",
		"poundlock/sync: success 38 entries stand as asked for", "! threat_feed-0.4.0", "elastic: snapshot → staging"} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo lacks %q:\n%s", want, out)
		}
	}
	for _, unwanted := range []string{"set ess", "{\"time\"", "demo-password"} {
		if strings.Contains(last, unwanted) {
			t.Errorf("the end of the demo shows %q:\n%s", unwanted, last)
		}
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestPlan_ChangesNothingAndIsVersionedJSON(t *testing.T) {
	w, config := inWorld(t)
	head := w.Git.Head()
	code, out, talk := command(t, t.Context(), "-c", config, "plan", "-o", "json")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, talk)
	}
	var doc struct {
		Version int `json:"version"`
		Plans   []mirror.Plan
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Version != 1 || len(doc.Plans) != 2 {
		t.Fatalf("plan: version %d, %d plans, %v", doc.Version, len(doc.Plans), err)
	}
	for _, p := range doc.Plans {
		for _, a := range p.Actions {
			if a.Kind == mirror.Copy && a.Reason.Detail == "" {
				t.Errorf("%s: no reason", a.Key)
			}
		}
	}
	if n := w.Local.Proxy().Counts().Writes(); n != 0 || w.Git.Head() != head {
		t.Errorf("plan wrote: %d requests, head %s", n, w.Git.Head())
	}
	if _, err := os.Stat(filepath.Join(w.Dir(), "state")); !os.IsNotExist(err) {
		t.Errorf("plan made a state directory: %v", err)
	}
}

func TestVerify_SaysWhyAndExitsByTheAnswer(t *testing.T) {
	_, config := inWorld(t)
	for _, tt := range []struct {
		image, want string
		code        int
	}{
		{"quay.io/example-tools/probe:3.2", "signed", exitOK},
		{"ghcr.io/example-tools/unsigned:1.0.0", "no signature found", exitRefused},
		{"ghcr.io/example-tools/wrong-key:1.0.0", "no acceptable signature", exitRefused},
	} {
		code, out, talk := command(t, t.Context(), "-c", config, "verify", tt.image)
		if code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%s: exit %d, want %d; %q lacks %q; %s", tt.image, code, tt.code, out, tt.want, talk)
		}
	}
}

func TestExitCodes(t *testing.T) {
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
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("wrong-canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		args   []string
		code   int
		says   string
		before func()
	}{
		{name: "version", args: []string{"version"}, code: exitOK},
		{name: "no such command", args: []string{"snyc"}, code: exitFailure, says: "unknown command"},
		{name: "no configuration", args: []string{"-c", "", "plan"}, code: exitConfig, says: "--config"},
		{name: "configuration wrong", args: []string{"-c", with("site: demo", "siteN: demo"), "sync"}, code: exitConfig, says: "did you mean \"site\"?"},
		{name: "Git password wrong", args: []string{"-c", with(filepath.Join(w.Dir(), "git-password"), wrong), "sync"}, code: exitAuth},
		{name: "Git server down", args: []string{"-c", with(w.Git.Host(), "127.0.0.1:1"), "sync"}, code: exitRetry},
		{name: "interrupted", ctx: ended, args: []string{"-c", config, "sync"}, code: exitInterrupted},
		{name: "partly refused", args: []string{"-c", config, "sync"}, code: exitPartial},
		{name: "all refused", args: []string{"-c", config, "sync"}, code: exitRefused, before: func() {
			if _, err := w.Git.Commit(t.Context(), "deny all", map[string]string{"desired/policy.yaml": "version: 1\nrules: []\n", "desired/ess.yaml": "", "desired/consumers/workers.yaml": "",
				"desired/tools/images.txt": "ghcr.io/example-tools/unsigned:1.0.0\n"}); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "fleet repository wrong", args: []string{"-c", config, "sync"}, code: exitConfig, says: "desired/policy.yaml", before: func() {
			if _, err := w.Git.Commit(t.Context(), "broken", map[string]string{"desired/policy.yaml": "version: 1\nruels: []\n"}); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.before != nil {
				tt.before()
			}
			if tt.ctx == nil {
				tt.ctx = t.Context()
			}
			code, out, talk := command(t, tt.ctx, tt.args...)
			if code != tt.code || !strings.Contains(talk, tt.says) {
				t.Errorf("exit %d, want %d, and %q to say %q\n%s", code, tt.code, talk, tt.says, out)
			}
			if strings.Contains(out+talk, "canary") {
				t.Errorf("a secret is shown: %s%s", out, talk)
			}
		})
	}
}

func TestSync_TwoProcessesOnOneStateAreRefused(t *testing.T) {
	_, config := inWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan int, 1)
	up := make(chan struct{})
	go func() { first <- Main(ctx, []string{"-c", config, "run"}, &bytes.Buffer{}, &onFirstWrite{done: up}) }()
	<-up
	code, _, talk := command(t, t.Context(), "-c", config, "sync")
	if code != exitLocked || !strings.Contains(talk, "another poundlock") {
		t.Errorf("exit %d, want %d: %s", code, exitLocked, talk)
	}
	if code, _, talk := command(t, t.Context(), "-c", config, "plan"); code != exitOK {
		t.Errorf("plan beside a daemon: exit %d: %s", code, talk)
	}
	cancel()
	if code := <-first; code != exitOK && code != exitInterrupted {
		t.Errorf("a stopped daemon: exit %d", code)
	}
}

// onFirstWrite closes done when a daemon says its first word: then it holds its state directory.
type onFirstWrite struct {
	done chan struct{}
	said bool
}

func (w *onFirstWrite) Write(b []byte) (int, error) {
	if !w.said {
		w.said = true
		close(w.done)
	}
	return len(b), nil
}
