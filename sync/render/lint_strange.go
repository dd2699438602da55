package render

import (
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Reads says whether a file shows by its name or content that it is of a kind. One whose name says nothing is judged by its
// content.
func Reads(kind, name string, data []byte) bool {
	reads, endings := kinds[kind].reads, []string{"", ".yaml", ".conf", ".toml"}
	if isDocument(name) {
		endings = endings[:1] // and of no other form
	}
	return reads != nil && slices.ContainsFunc(endings, func(ending string) bool { return reads(name+ending, data) })
}

// wordOrEscape finds words, and what %q writes for signs, which belong to no word.
var wordOrEscape = regexp.MustCompile(`\\(?:[abfnrtv"\\]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})|[\pL\pN_]+`)

// WithoutWords takes the words of a file out of what is told of it: a file that was read as what it is not may hold anything,
// and its words are no hosts and keys but perhaps passwords.
func WithoutWords(ps mirror.Problems, kind string, data []byte) {
	words := map[string]bool{}
	text := string(data)
	for _, word := range wordOrEscape.FindAllString(text, -1) {
		words[word] = true
	}
	hide := func(told string) string {
		return wordOrEscape.ReplaceAllStringFunc(told, func(word string) string {
			// A long value may have been cut.
			if words[word] && len(word) > 2 || len(word) >= 8 && strings.Contains(text, word) {
				return "***"
			}
			return word
		})
	}
	for i := range ps {
		ps[i].What, ps[i].Fix, ps[i].Why, ps[i].Path = hide(ps[i].What), hide(ps[i].Fix), hide(ps[i].Why), ""
	}
	if len(ps) > 0 {
		ps[0].Why = "neither name nor content say that this is a file for " + kind + ", so nothing is shown of what it says"
	}
}
