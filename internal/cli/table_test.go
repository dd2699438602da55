package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"charm.land/lipgloss/v2"
)

func tableOf(t *testing.T, header []string, rows [][]string) string {
	t.Helper()
	var b bytes.Buffer
	if err := (&app{out: &b}).table(header, rows); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTable_AlignsByWhatIsSeen(t *testing.T) {
	t.Setenv("COLUMNS", "")
	got := tableOf(t, []string{"NAME", "VALUE"}, [][]string{{"ascii", "1"}, {"日本", "2"}, {"e\u0301t\u00e9", "3"}, {"", "4"}})
	want := "NAME   VALUE\nascii  1\n日本   2\ne\u0301t\u00e9    3\n       4\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTable_NoRowsNoOutput(t *testing.T) {
	if got := tableOf(t, []string{"NAME"}, nil); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestTable_CutsNothingOnANarrowTerminal(t *testing.T) {
	t.Setenv("COLUMNS", "40")
	digest := "sha256:" + strings.Repeat("ab", 32)
	got := tableOf(t, []string{"SET", "DIGEST", "BASIS"}, [][]string{{"ess", digest, ""}, {"tools", digest, "signed"}})
	want := "set: ess\ndigest:\n  " + digest + "\n\nset: tools\ndigest:\n  " + digest + "\nbasis: signed\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	narrow := tableOf(t, []string{"SET", "N"}, [][]string{{"ess", "1"}})
	if narrow != "SET  N\ness  1\n" {
		t.Errorf("what fits is a table: %q", narrow)
	}
}

func TestTable_LetsNothingSteerTheTerminal(t *testing.T) {
	got := tableOf(t, []string{"NAME"}, [][]string{{"a\x1b[31mred\x07\r\nb\u202ec\u0000"}})
	if strings.ContainsAny(got, "\x1b\x07\r\u202e\x00") || strings.Count(got, "\n") != 2 {
		t.Errorf("got %q", got)
	}
}

func TestTable_ColourIsOnlyTheHeader(t *testing.T) {
	text := columns([]string{"NAME"}, [][]string{{"one"}}, true)
	if !strings.Contains(text, "\x1b[1m") || strings.Contains(strings.SplitN(text, "\n", 2)[1], "\x1b[1") {
		t.Errorf("got %q", text)
	}
	if plain := columns([]string{"NAME"}, [][]string{{"one"}}, false); strings.Contains(plain, "\x1b") {
		t.Errorf("got %q", plain)
	}
}

func TestTerminal_OffATerminalThereIsNone(t *testing.T) {
	t.Setenv("COLUMNS", "")
	if got := (&app{out: io.Discard}).terminal(); got != (terminal{}) {
		t.Errorf("got %+v", got)
	}
	t.Setenv("COLUMNS", "wide")
	if got := (&app{out: io.Discard}).terminal(); got.width != 0 {
		t.Errorf("got %+v", got)
	}
}

func FuzzTable_EveryLineFits(f *testing.F) {
	f.Add("ess", "日本語", 40)
	f.Add("\x1b]0;title\x07", "👩‍👩‍👧", 10)
	f.Fuzz(func(t *testing.T, a, b string, width int) {
		text := columns([]string{"A", "B"}, [][]string{{clean(a), clean(b)}, {clean(b), clean(a)}}, false)
		if strings.ContainsAny(text, "\x1b\x07\r") {
			t.Errorf("steers: %q", text)
		}
		if lines := strings.Count(text, "\n"); lines != 3 {
			t.Errorf("%d lines of %q", lines, text)
		}
		for line := range strings.Lines(text) {
			if lipgloss.Width(line) > 2+2*max(lipgloss.Width(clean(a)), lipgloss.Width(clean(b)), 1) {
				t.Errorf("too wide: %q", line)
			}
		}
	})
}
