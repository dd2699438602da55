package render

import (
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxDocuments bounds how many documents of one file are read.
const maxDocuments = 256

// documents reads a file of several YAML documents, as manifests are written. Each keeps the lines of the file; one
// that holds nothing but comments is left out.
func documents(name string, data []byte) ([]mirror.Node, mirror.Problems) {
	var all []mirror.Node
	var ps mirror.Problems
	lines := strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	for start := 0; start < len(lines); {
		end := start + 1
		for end < len(lines) && !strings.HasPrefix(lines[end], "---") {
			end++
		}
		body := lines[start:end]
		if text := strings.TrimPrefix(body[0], "---"); text != body[0] {
			body = append([]string{text}, body[1:]...)
		}
		if !empty(body) {
			if len(all) == maxDocuments {
				ps.Add("DOC006", mirror.Position{File: name, Line: start + 1}, "split the file", "the file holds more than %d documents", maxDocuments)
				return all, ps
			}
			n, problems := mirror.ParseDocument(name, []byte(strings.Repeat("\n", start)+strings.Join(body, "\n")))
			ps = append(ps, problems...)
			if !problems.Stop() {
				all = append(all, n)
			}
		}
		start = end
	}
	return all, ps
}

func empty(lines []string) bool {
	for _, line := range lines {
		if text := strings.TrimSpace(line); text != "" && text != "..." && !strings.HasPrefix(text, "#") {
			return false
		}
	}
	return true
}

// items gives the parts of a list; none for anything else.
func items(n mirror.Node) []mirror.Node {
	var all []mirror.Node
	_ = n.DecodeAs("", &all) // what is no list has no items
	return all
}

// text gives the text of a scalar; "" for anything else.
func text(n mirror.Node) string {
	s, _ := n.Text()
	return s
}
