package render

import (
	"github.com/poundlock/poundlock/internal/mirror"
)

// Lint finds what the consumer of a file would refuse, misread or silently ignore. The file may be hand-written.
func Lint(kind, name string, data []byte) mirror.Problems {
	if k := kinds[kind]; k.lint != nil {
		return k.lint(name, data)
	}
	return nil
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
