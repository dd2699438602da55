package mirror

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxDocuments bounds how many documents of one file are read.
const maxDocuments = 256

// ParseDocuments reads a file of several YAML documents, as manifests are written, each as ParseDocument does. Each keeps
// the lines of the file; one that holds nothing but comments is left out.
func ParseDocuments(file string, data []byte) ([]Node, Problems) {
	if ps := CheckText(file, data); len(ps) > 0 {
		return nil, ps
	}
	var all []Node
	var ps Problems
	lines := splitLines(data)
	for start := 0; start < len(lines); {
		end := start + 1
		for end < len(lines) && !beginsDocument(lines[end]) {
			end++
		}
		body := strings.Join(lines[start:end], "\n")
		if beginsDocument(lines[start]) {
			body = "   " + body[len("---"):]
		}
		if !onlyComments(body) {
			if len(all) == maxDocuments {
				ps.Add("DOC006", Position{File: file, Line: start + 1}, "split the file", "the file holds more than %d documents", maxDocuments)
				return all, ps
			}
			n, problems := ParseDocument(file, []byte(strings.Repeat("\n", start)+body))
			ps = append(ps, problems...)
			if !problems.Stop() {
				all = append(all, n)
			}
		}
		start = end
	}
	return all, ps
}

// beginsDocument says whether a line is the mark before a document; that of a certificate has more dashes.
func beginsDocument(line string) bool {
	rest, ok := strings.CutPrefix(line, "---")
	return ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t')
}

func onlyComments(body string) bool {
	for line := range strings.Lines(body) {
		if text := strings.TrimSpace(line); text != "" && text != "..." && !strings.HasPrefix(text, "#") {
			return false
		}
	}
	return true
}

// Items gives the parts of a list; none for anything else.
func (n Node) Items() []Node {
	var all []Node
	if n.node != nil && n.node.Kind == yaml.SequenceNode {
		for _, c := range n.node.Content {
			all = append(all, Node{n.file, c})
		}
	}
	return all
}
