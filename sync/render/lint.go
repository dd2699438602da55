package render

import (
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// isDocument says whether a file is YAML or JSON by its name: programs and fixtures hold the same words.
func isDocument(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(path.Ext(name)))
}

// Lint finds what the consumer of a file would refuse, misread or silently ignore. The file may be hand-written.
func Lint(kind, name string, data []byte) mirror.Problems {
	k := kinds[kind]
	if k.lint == nil {
		return nil
	}
	ps := k.lint(name, data)
	for i, p := range ps { // the file is none of our documents, so explain knows nothing of its keys
		if before, _, ours := strings.Cut(p.Fix, "see `poundlock explain "); ours {
			ps[i].Fix = strings.TrimSuffix(before, ", or ")
		}
		if ps[i].Fix == "" && p.Fix != "" {
			ps[i].Fix = "delete it"
		}
	}
	return ps
}

// Linted lists the kinds of which hand-written files can be checked, sorted.
func Linted() []string {
	var names []string
	for _, name := range Kinds() {
		if kinds[name].lint != nil {
			names = append(names, name)
		}
	}
	return names
}

// KindOf says of which kinds a file most likely is, by its name and content; none where nobody knows it.
func KindOf(name string, data []byte) []string {
	var likely []string
	for _, kind := range Linted() {
		if reads := kinds[kind].reads; reads != nil && reads(name, data) {
			likely = append(likely, kind)
		}
	}
	return likely
}
