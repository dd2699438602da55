package daemon

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

// A file that would be too large to be read again is not committed, or no later step could read its folder; the set goes on.
func TestRendered_NoFileIsTooLargeToBeReadAgain(t *testing.T) {
	t.Parallel()
	s, _, tool, _ := consumerSite(t)
	s.commit("a template", map[string]string{"desired/big.tmpl": "first",
		"desired/tools.yaml": "version: 1\nsource: {kind: list, file: tools.txt}\nlayout: path\nrender: {template: {files: [{name: x.txt, from: big.tmpl}]}}\n"})
	s.sync()
	text := strings.Repeat(strings.Repeat("b", 9_999)+"\n", 24)
	many := []mirror.Reference{tool}
	for _, name := range []string{"a", "b", "c", "d"} {
		many = append(many, s.push("quay.io/example/"+name+":1", name))
	}
	s.commit("large", map[string]string{"desired/big.tmpl": "{{ range .Images }}" + text + "{{ end }}", "desired/tools.txt": list(many...)})
	r := s.sync()
	kept := keptFolders(r["tools"].Plan)["rendered/demo/tools/snapshot"]
	if !strings.Contains(kept, "x.txt would have 1200000 bytes") || len(s.file("rendered/demo/tools/snapshot/x.txt")) > git.MaxFile {
		t.Errorf("it is written, or it is not said why not: %q", kept)
	}
	if !strings.Contains(s.file("rendered/demo/record/tools/snapshot.yaml"), "quay.io/example/d:1") {
		t.Error("what stands is not recorded")
	}
	s.names(hostsFile("quay.io"), "quay.io")

	// Somebody else's file that is too large is written anew like any other edit, and stops no set.
	s.commit("by hand", map[string]string{hostsFile("docker.io"): strings.Repeat("x", git.MaxFile+1), "desired/big.tmpl": "small"})
	s.sync()
	s.names(hostsFile("docker.io"), "apps", "docker.io")
	if got := s.file("rendered/demo/tools/snapshot/x.txt"); got != "small" {
		t.Errorf("got %d bytes", len(got))
	}
}
