package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestMan_IsTheSameTwiceAndWholeWithoutAReader(t *testing.T) {
	t.Setenv("POUNDLOCK_CONFIG", "/home/canary/config.yaml")
	dir, again := t.TempDir(), filepath.Join(t.TempDir(), "new")
	for _, d := range []string{dir, again} {
		if code, out, talk := command(t, t.Context(), "man", d); code != exitOK || out != "" {
			t.Fatalf("exit %d: %s%s", code, out, talk)
		}
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(again, filepath.Base(page)))
		if err != nil || string(text) != string(other) {
			t.Errorf("%s differs between two runs: %v", filepath.Base(page), err)
		}
		wellFormed(t, filepath.Base(page), string(text))
		if strings.Contains(string(text), "/home/canary") {
			t.Errorf("%s shows this machine's environment", filepath.Base(page))
		}
	}
}

var request = regexp.MustCompile(`^\.(TH|SH|SS|PP|TP|RS|RE|nf|fi|IP|EX|EE|in|br|nh|ad|\\")( |$|\d)`)

// wellFormed holds a page against what man needs: a title first, a name section, known requests, and no text
// that a reader would take for a request.
func wellFormed(t *testing.T, name, text string) {
	t.Helper()
	if !regexp.MustCompile(`(?m)^\.TH `).MatchString(text) || !strings.Contains(text, ".SH NAME\n"+strings.ReplaceAll(strings.TrimSuffix(name, ".1"), "-", `-`)) {
		t.Errorf("%s lacks title or name:\n%s", name, text[:min(300, len(text))])
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, ".") && !request.MatchString(strings.TrimRight(line, "\n")) || strings.HasPrefix(line, "'") && !strings.HasPrefix(line, `'\"`) {
			t.Errorf("%s: unknown request %q", name, line)
		}
	}
}

func TestMan_TellsExitCodesEnvironmentAndFiles(t *testing.T) {
	code, out, talk := command(t, t.Context(), "man")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, talk)
	}
	for _, want := range []string{".SH EXIT STATUS\nUnknown codes must be treated as failure.\n", ".SH ENVIRONMENT\n", ".SH FILES\n", ".SH SEE ALSO", `\fBpoundlock-plan(1)\fP`} {
		if !strings.Contains(out, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, code := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130} {
		if !strings.Contains(out, ".TP\n\\fB"+strconv.Itoa(code)+"\\fP\n") {
			t.Errorf("the page lacks exit code %d", code)
		}
	}
}

func TestMan_TakesTheDateOfTheBuild(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "86400000")
	if _, out, _ := command(t, t.Context(), "man"); !strings.Contains(out, `"Sep 1972"`) {
		t.Errorf("no date of the epoch: %s", out[:min(200, len(out))])
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if code, _, talk := command(t, t.Context(), "man"); code != exitFailure || !strings.Contains(talk, "SOURCE_DATE_EPOCH") {
		t.Errorf("exit %d: %s", code, talk)
	}
}

func TestVersion_IsADocument(t *testing.T) {
	code, out, talk := command(t, t.Context(), "version", "-o", "json")
	var doc buildInfo
	if err := json.Unmarshal([]byte(out), &doc); code != exitOK || err != nil {
		t.Fatalf("exit %d: %v %s", code, err, talk)
	}
	if doc.Type != "version" || doc.Version != 1 || doc.Poundlock == "" || !strings.HasPrefix(doc.Go, "go1.") || !strings.Contains(doc.Platform, "/") {
		t.Errorf("got %+v", doc)
	}
	code, out, _ = command(t, t.Context(), "version")
	if code != exitOK || !strings.HasPrefix(out, "poundlock "+doc.Poundlock+" ") {
		t.Errorf("exit %d: %q", code, out)
	}
}
