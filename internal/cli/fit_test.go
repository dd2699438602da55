package cli

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

func TestFit_BreaksBetweenWordsAndCutsNothing(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	for _, tt := range []struct{ name, text, want string }{
		{"what fits", "short\n", "short\n"},
		{"a sentence", "error[X]: it is too long for this one\n", "error[X]: it is too\n  long for this one\n"},
		{"below its own indent", "    key   the value of it all\n", "    key   the value\n      of it all\n"},
		{"a digest", "  image " + digest + " stands\n", "  image\n    " + digest + "\n    stands\n"},
		{"an option", "run sync --only a-b-c-d-e-f\n", "run sync --only\n  a-b-c-d-e-f\n"},
		{"a line of a file", " 10 |   polcy: enforce everything\n", " 10 |   polcy: enforce everything\n"},
		{"wide characters", "日本語日本 日本語日本 日本\n", "日本語日本\n  日本語日本 日本\n"},
		{"no end of line", "one two three four five six", "one two three four\n  five six"},
	} {
		if got := fit(tt.text, 20); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
		}
		if got := fit(tt.text, 0); got != tt.text {
			t.Errorf("%s: without a width: got %q", tt.name, got)
		}
	}
}

// With 40 columns nothing that people read is wider, but for words that must not be cut.
func TestCommands_FitANarrowTerminal(t *testing.T) {
	_, config := inWorld(t)
	if code, _, talk := command(t, t.Context(), "-c", config, "sync", "--only", "tools"); code != exitPartial {
		t.Fatalf("sync: exit %d: %s", code, talk)
	}
	t.Setenv("COLUMNS", "40")
	for _, args := range [][]string{{"doctor"}, {"trace", "unsigned"}, {"events"}, {"status"}, {"explain", "git.poll"}, {"plan", "--help"}, {"help", "policy"},
		{"get", "entries"}, {"verify", "ghcr.io/example-tools/unsigned:1.0.0"}, {"trace", "nothing-like-it"}, {"get", "entries", "--bogus"}} {
		_, out, talk := command(t, t.Context(), append([]string{"-c", config}, args...)...)
		for line := range strings.Lines(out + talk) {
			line = strings.TrimSuffix(line, "\n")
			if words := strings.Fields(line); ansi.StringWidth(line) > 40 && len(words) > 1 && !quotedLine.MatchString(line) {
				t.Errorf("%v: too wide: %q", args, line)
			}
		}
	}
}
