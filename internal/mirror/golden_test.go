package mirror

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files")

// Each archive is a small fleet repository with mistakes; its file "problems" is what a person is shown.
func TestParseDesired_NamesEveryMistakeWithPlaceAndFix(t *testing.T) {
	archives, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files, want := Files{}, ""
			kept := archive.Files[:0]
			for _, f := range archive.Files {
				if f.Name == "problems" {
					want = string(f.Data)
					continue
				}
				files[f.Name] = f.Data
				kept = append(kept, f)
			}
			_, problems := ParseDesired("c0ffee", files)
			if len(problems) == 0 {
				t.Fatal("no problem was found")
			}
			for _, p := range problems {
				if p.Code == "" || p.What == "" || p.Where.File == "" || p.Where.Commit != "c0ffee" {
					t.Errorf("a problem lacks code, text, file or commit: %+v", p)
				}
			}
			problems.QuotePublic(files)
			got := problems.Err().Error() + "\n"
			if *update {
				archive.Files = append(kept, txtar.File{Name: "problems", Data: []byte(got)})
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("problems:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}
