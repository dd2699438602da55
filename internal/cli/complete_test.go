package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// completed gives the words that the shell would be offered.
func completed(t *testing.T, args ...string) []string {
	t.Helper()
	code, out, talk := command(t, t.Context(), append([]string{"__complete"}, args...)...)
	if code != exitOK {
		t.Fatalf("%v: exit %d: %s", args, code, talk)
	}
	if said := strings.TrimSpace(strings.ReplaceAll(talk, "Completion ended with directive: ShellCompDirectiveNoFileComp", "")); said != "" {
		t.Errorf("%v: says %q", args, said)
	}
	var words []string
	for line := range strings.Lines(out) {
		if word, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); !strings.HasPrefix(word, ":") {
			words = append(words, word)
		}
	}
	return words
}

func completionOffersLiveNames(t *testing.T, config string) {
	for _, tt := range []struct{ args, want string }{
		{"get sets ", "ess tools"},
		{"get sets e", "ess"},
		{"trigger ", "ess tools"},
		{"suspend to", "tools"},
		{"resume to", "tools"},
		{"get stages ", "snapshot staging production"},
		{"get entries --stage sta", "staging"},
		{"get entries --only ", "ess tools"},
		{"get runs --only t", "tools"},
		{"verify --stage p", "production"},
		{"sync --only tools/quay.io/example-tools/pro", "tools/quay.io/example-tools/probe:3.2"},
		{"trace probe", "tools/quay.io/example-tools/probe:3.2"},
		{"get entries -o ", "table wide json yaml name"},
		{"get ", "entries packages promotions runs sets stages"},
		{"help poli", "policy"},
		{"help CFG00", "CFG001 CFG002 CFG003 CFG004 CFG005 CFG006 CFG007 CFG008 CFG009"},
	} {
		if got := strings.Join(completed(t, append([]string{"-c", config}, strings.Split(tt.args, " ")...)...), " "); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.args, got, tt.want)
		}
	}
}

func TestComplete_SaysNothingWhereSomethingIsWrong(t *testing.T) {
	_, config := inWorld(t) // nothing was fetched yet
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("siteN: x\n\tno"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{config, broken, filepath.Join(t.TempDir(), "none.yaml"), ""} {
		if got := completed(t, "-c", file, "get", "sets", ""); len(got) > 0 {
			t.Errorf("%s: %v", file, got)
		}
	}
}
