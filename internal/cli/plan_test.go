package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
	"github.com/poundlock/poundlock/testenv"
)

// printedCommand gives the arguments of the command that a line of output names.
func printedCommand(t *testing.T, out, label string) []string {
	t.Helper()
	_, after, ok := strings.Cut(out, label+" ")
	if !ok {
		t.Fatalf("no %q in:\n%s", label, out)
	}
	words := strings.Fields(strings.SplitN(after, "\n", 2)[0])
	if words[0] != "poundlock" || strings.ContainsAny(strings.Join(words, ""), "'\"") {
		t.Fatalf("not a plain command: %q", words)
	}
	return words[1:]
}

// The story of a change: a plan is looked at, saved, carried out, and nothing is left to do. Each command that is
// printed works as it is printed.
func TestPlan_IsSavedAndCarriedOut(t *testing.T) {
	_, config := inWorld(t)
	file := filepath.Join(t.TempDir(), "change.plan")
	code, out, talk := command(t, t.Context(), "-c", config, "plan", "--detailed-exitcode", "--out", file)
	if code != exitChanges {
		t.Fatalf("plan: exit %d, want %d: %s", code, exitChanges, talk)
	}
	for _, want := range []string{"  + ", "signed by vendor", "pinned in desired/ at ", "desired/tools/images.txt:", " layer", "KiB", "0 B already here",
		"! ghcr.io/example-tools/unsigned:1.0.0", "[no-signature]", "fix: ", "3 refused, 1 missing upstream, 0 unchanged.   Run: poundlock -c " + config + " sync --plan " + file} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q", want)
		}
	}
	code, out, talk = command(t, t.Context(), printedCommand(t, out, "Run:")...)
	if code != exitPartial {
		t.Fatalf("sync: exit %d, want %d: %s%s", code, exitPartial, out, talk)
	}
	for _, want := range []string{"✔ copied ", "✔ commit ", "now: 3 refused, 1 missing upstream, ", "partial: 3 images refused by policy, 1 image missing upstream (exit 3)   Next: "} {
		if !strings.Contains(out, want) {
			t.Errorf("the end of the sync lacks %q:\n%s", want, out)
		}
	}
	if code, out, talk := command(t, t.Context(), printedCommand(t, out, "Next:")...); code != exitOK {
		t.Errorf("what comes next: exit %d: %s%s", code, out, talk)
	}
	code, out, talk = command(t, t.Context(), "-c", config, "plan", "--detailed-exitcode")
	if code != exitOK || strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "No changes. Git ") || !strings.Contains(out, "(3 refused, 1 missing upstream, listed with -v).") {
		t.Errorf("plan afterwards: exit %d:\n%s%s", code, out, talk)
	}
	if code, out, _ = command(t, t.Context(), "-c", config, "plan", "-v"); code != exitOK || !strings.Contains(out, "[no-signature]") || !strings.Contains(out, "as before).") {
		t.Errorf("plan -v: exit %d:\n%s", code, out)
	}
	if code, out, _ = command(t, t.Context(), "-c", config, "plan", "--offline"); code != exitOK || !strings.HasPrefix(out, "No changes.") {
		t.Errorf("plan --offline: exit %d:\n%s", code, out)
	}
}

func TestExecute_APanicIsAFailure(t *testing.T) {
	for level, shown := range map[string]bool{"": false, "debug": true} {
		var talk bytes.Buffer
		a := &app{talk: &talker{to: &talk}, logLevel: level}
		err := a.execute(t.Context(), &cobra.Command{Use: "broken", RunE: func(*cobra.Command, []string) error { panic("index out of range") }})
		var problem mirror.Problem
		if !errors.As(err, &problem) || problem.Code != "ERR001" || !strings.Contains(problem.What, "index out of range") || codeOf(err) != exitFailure {
			t.Errorf("got %v, exit %d", err, codeOf(err))
		}
		if strings.Contains(talk.String(), "goroutine") != shown {
			t.Errorf("--log-level %q: %s", level, talk.String())
		}
	}
}

func TestPlan_OutAsksAsASyncDoes(t *testing.T) {
	_, config := inWorld(t)
	if code, _, talk := command(t, t.Context(), "-c", config, "sync"); code != exitPartial {
		t.Fatalf("exit %d: %s", code, talk)
	}
	for args, remembers := range map[string]bool{"plan": true, "plan --refresh": false, "plan --out " + filepath.Join(t.TempDir(), "p"): false} {
		_, out, talk := command(t, t.Context(), append([]string{"-c", config, "-o", "json"}, strings.Fields(args)...)...)
		var doc plan.Document
		if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.AsOf.IsZero() == remembers || strings.Contains(talk, "as of") {
			t.Errorf("%s: answers as of %s, want old ones: %t; %v %s", args, doc.AsOf, remembers, err, talk)
		}
	}
}

func TestPlan_Forms(t *testing.T) {
	_, config := inWorld(t)
	forms := map[string]string{}
	for _, form := range []string{"table", "wide", "json", "yaml", "markdown", "github", "name"} {
		code, out, talk := command(t, t.Context(), "-c", config, "plan", "tools", "-o", form)
		if code != exitOK || out == "" {
			t.Fatalf("-o %s: exit %d: %s", form, code, talk)
		}
		if !strings.Contains(out, "ghcr.io/example-tools/unsigned:1.0.0") || strings.Contains(out, "synapse") {
			t.Errorf("-o %s: an entry is missing, or another set is there:\n%s", form, out)
		}
		forms[form] = out
	}
	var j, y plan.Document
	if err := json.Unmarshal([]byte(forms["json"]), &j); err != nil || j.Type != "plan" || j.Version != 1 || j.Totals.Copy != 4 || j.Totals.BytesToCopy == 0 || j.Git == "" {
		t.Errorf("json: %v, %+v", err, j.Totals)
	}
	var any map[string]any
	if err := yaml.Unmarshal([]byte(forms["yaml"]), &any); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(any)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &y); err != nil || len(y.Plans) != 1 || len(y.Plans[0].Actions) != len(j.Plans[0].Actions) {
		t.Errorf("yaml: %v, %d plans", err, len(y.Plans))
	}
	if code, out, _ := command(t, t.Context(), "-c", config, "plan", "-o", "markdown", "--max-bytes", "3000"); code != exitOK || len(out) > 3000 || !strings.Contains(out, "3 refused") {
		t.Errorf("--max-bytes: exit %d, %d bytes", code, len(out))
	}
}

func TestSync_TellsProgramsWhatItDid(t *testing.T) {
	_, config := inWorld(t)
	code, out, talk := command(t, t.Context(), "-c", config, "sync", "-o", "json", "--only", "tools")
	var end synced
	if err := json.Unmarshal([]byte(out), &end); err != nil {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, talk)
	}
	if code != exitPartial || end.Type != "sync" || end.Version != 1 || end.Code != code || end.Outcome != "partial" || end.Copied != 4 || end.Moved != 4 ||
		len(end.Sets) != 1 || end.Sets[0].Commit == "" || end.Sets[0].Subject == "" || end.Left.Refused != 3 || end.Left.Missing != 1 || end.Left.Unchanged != 4 {
		t.Errorf("exit %d, %+v", code, end)
	}
}

func TestPlanAndSync_ExitCodes(t *testing.T) {
	w, config := inWorld(t)
	broken := func(f testenv.Fault) func() {
		return func() {
			w.Upstream.Proxy().Break(testenv.Always(testenv.OfKind(testenv.ManifestHead), f))
			t.Cleanup(func() { w.Upstream.Proxy().Break(nil) })
		}
	}
	file := filepath.Join(t.TempDir(), "change.plan")
	edited := filepath.Join(t.TempDir(), "edited.plan")
	for _, tt := range []struct {
		name   string
		before func()
		args   string
		code   int
		says   string
	}{
		{"plan", nil, "plan", exitOK, ""},
		{"plan with changes", nil, "plan --detailed-exitcode", exitChanges, ""},
		{"plan of no such set", nil, "plan tolos", exitConfig, `did you mean "tools"?`},
		{"plan of no such entry", nil, "plan ess/synapse/synaps", exitConfig, `did you mean "synapse/synapse"?`},
		{"plan of nothing", nil, "plan --only=", exitConfig, "want set or set/entry"},
		{"plan of nothing in a set", nil, "plan tools/", exitConfig, "want set or set/entry"},
		{"plan of a broken glob", nil, "plan tools/[", exitConfig, "is no glob"},
		{"plan of a glob with a comma", nil, "plan --only tools/{ghcr.io,quay.io}/**", exitOK, ""},
		{"plan into no file", nil, "plan --out=", exitFailure, "--out: want the name of a file"},
		{"plan in too few bytes", nil, "plan -o markdown --max-bytes 300", exitFailure, "at least 2000"},
		{"plan in less than no bytes", nil, "plan -o markdown --max-bytes=-5", exitFailure, "at least 2000"},
		{"sync of nothing", nil, "sync --only=", exitConfig, "want set or set/entry"},
		{"sync of no plan", nil, "sync --plan=", exitFailure, "--plan: want the name of a file"},
		{"plan in no such form", nil, "plan -o csv", exitFailure, "table, wide, json"},
		{"plan offline without a clone", nil, "plan --offline", exitConfig, "not read yet"},
		{"save a plan", nil, "plan --only tools/ghcr.io/** --out " + file, exitOK, ""},
		{"sync an edited plan", func() {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(edited, []byte(strings.Replace(string(text), `"refuse"`, `"copy"`, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "sync --plan " + edited, exitConfig, "PLN003"},
		{"sync --plan", nil, "sync --plan " + file, exitPartial, ""},
		{"sync --plan that is stale", func() {
			if _, err := w.MoveUpstream(t.Context(), "ghcr.io/example-tools/backup:2.4.1"); err != nil {
				t.Fatal(err)
			}
		}, "sync --plan " + file, exitConfig, "PLN001"},
		{"sync of one entry", nil, "sync --only tools/ghcr.io/example-tools/backup:2.4.1", exitOK, ""},
		{"sync of a glob with a comma", nil, "sync --only tools/{none,ghcr.io/example-tools/backup}:*", exitOK, ""},
		{"sync of what is refused", nil, "sync --only tools/ghcr.io/example-tools/unsigned:1.0.0", exitRefused, ""},
		{"sync of no such set", nil, "sync --only toolz", exitConfig, `did you mean "tools"?`},
		{"plan while upstream says no", broken(testenv.Fault{Status: 403}), "plan tools --refresh", exitAuth, ""},
		{"plan while upstream is broken", broken(testenv.Fault{Status: 400}), "plan tools --refresh", exitRetry, ""},
		{"sync while upstream says no", broken(testenv.Fault{Status: 403}), "sync --only tools", exitAuth, ""},
		{"sync while upstream is broken", broken(testenv.Fault{Status: 400}), "sync --only tools", exitRetry, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.before != nil {
				tt.before()
			}
			code, out, talk := command(t, t.Context(), append([]string{"-c", config}, strings.Fields(tt.args)...)...)
			if code != tt.code || !strings.Contains(talk, tt.says) {
				t.Errorf("exit %d, want %d, and to say %q\n%s%s", code, tt.code, tt.says, out, talk)
			}
		})
	}
}
