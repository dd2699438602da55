package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// inFolder puts the files of an archive, without what is wanted, into a folder and goes there.
func inFolder(t *testing.T, archive *txtar.Archive) (want map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("POUNDLOCK_CONFIG", "")
	want = map[string]string{}
	for _, f := range archive.Files {
		if strings.HasPrefix(f.Name, "want.") {
			want[f.Name] = string(f.Data)
			continue
		}
		if err := os.MkdirAll(filepath.Dir(f.Name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.Name, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return want
}

// golden compares what a command said with the files of an archive, or writes them with -update.
func golden(t *testing.T, name string, archive *txtar.Archive, want, got map[string]string) {
	t.Helper()
	if *update {
		kept := archive.Files[:0]
		for _, f := range archive.Files {
			if !strings.HasPrefix(f.Name, "want.") {
				kept = append(kept, f)
			}
		}
		for _, file := range []string{"want.txt", "want.json"} {
			if text, ok := got[file]; ok {
				kept = append(kept, txtar.File{Name: file, Data: []byte(text)})
			}
		}
		archive.Files = kept
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for file, text := range got {
		if text != want[file] {
			t.Errorf("%s: got\n%s\nwant\n%s", file, text, want[file])
		}
	}
}

// Each archive is a configuration, a fleet repository or both with one mistake. What a person is shown, and what a
// program is given, is compared; it was read by a person before it was accepted.
func TestValidate_TellsEachMistake(t *testing.T) {
	archives, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(archives) < 60 {
		t.Fatalf("%d archives, want at least 60: %v", len(archives), err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want := inFolder(t, archive)
			var args []string
			if _, err := os.Stat("config.yaml"); err == nil {
				args = append(args, "-c", "config.yaml")
			}
			args = append(args, "validate")
			if _, err := os.Stat("desired"); err == nil {
				args = append(args, ".")
			}
			code, text, talk := command(t, t.Context(), args...)
			if code != exitConfig || talk != "" {
				t.Fatalf("exit %d, want %d; talk %q\n%s", code, exitConfig, talk, text)
			}
			_, doc, _ := command(t, t.Context(), append(args, "-o", "json")...)
			_, marks, _ := command(t, t.Context(), append(args, "-o", "github")...)
			var v validation
			if err := json.Unmarshal([]byte(doc), &v); err != nil || v.Type != "validation" || v.Version != 1 || len(v.Problems) == 0 {
				t.Fatalf("%+v, %v", v, err)
			}
			for _, p := range v.Problems {
				// Whatever a fix tells people to run is there.
				if _, rest, found := strings.Cut(p.Fix, "`poundlock "); found {
					line, _, _ := strings.Cut(rest, "`")
					if code, _, talk := command(t, t.Context(), strings.Fields(strings.ReplaceAll(line, "'", ""))...); code != exitOK && !strings.HasPrefix(line, "init") {
						t.Errorf("%q of the fix: exit %d: %s", line, code, talk)
					}
				}
				if p.Code == "" || p.What == "" || p.Fix == "" || p.Where.File == "" {
					t.Errorf("a problem lacks its code, text, fix or file: %+v", p)
				}
			}
			if lines := strings.Split(strings.TrimSpace(marks), "\n"); len(lines) != len(v.Problems) || !strings.HasPrefix(lines[0], "::error file=") {
				t.Errorf("%d annotations of %d problems:\n%s", len(lines), len(v.Problems), marks)
			}
			if strings.Contains(text+doc+marks, "canary") || strings.ContainsAny(text+marks, "\x1b\u202e") {
				t.Errorf("a secret or a control character is shown:\n%s", text)
			}
			golden(t, filepath.Join(here, name), archive, want, map[string]string{"want.txt": text, "want.json": doc})
		})
	}
}
