package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

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
		{"plan in no such form", nil, "plan -o csv", exitFailure, "table, wide, json"},
		{"plan offline without a clone", nil, "plan --offline", exitFailure, "without --offline"},
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
		{"sync of what is refused", nil, "sync --only tools/ghcr.io/example-tools/unsigned:1.0.0", exitRefused, ""},
		{"sync of no such set", nil, "sync --only toolz", exitConfig, `did you mean "tools"?`},
		{"plan while upstream says no", broken(testenv.Fault{Status: 403}), "plan tools --refresh", exitRetry, ""},
		{"sync while upstream says no", broken(testenv.Fault{Status: 403}), "sync --only tools", exitRetry, ""},
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
