package docs

import (
	"flag"
	"os"
	"regexp"
	"testing"
)

var update = flag.Bool("update", false, "write the files that pages show into them")

// shown is a file of the repository in full on a page: its name, and below that its text.
var shown = regexp.MustCompile("(?s)(File `([^`\n]+)`:\n\n````?[a-z]*\n)(.*?)(````?\n)")

// What a page shows as a file of the repository is that file, so that whoever follows the page begins with what works.
func TestPages_ShowRealFiles(t *testing.T) {
	files := 0
	for _, topic := range Topics() {
		page, _ := Page(topic.Name)
		is := shown.ReplaceAllStringFunc(page, func(block string) string {
			parts := shown.FindStringSubmatch(block)
			text, err := os.ReadFile("../" + parts[2])
			if err != nil {
				t.Errorf("%s.md: %v", topic.Name, err)
				return block
			}
			files++
			return parts[1] + string(text) + parts[4]
		})
		if is == page {
			continue
		}
		if !*update {
			t.Errorf("%s.md shows files otherwise than they are: run this test with -update", topic.Name)
			continue
		}
		if err := os.WriteFile(topic.Name+".md", []byte(is), 0o644); err != nil {
			t.Error(err)
		}
	}
	if files == 0 {
		t.Error("no page shows a file")
	}
}
