package forge

import (
	"strings"
	"unicode"
)

// text makes one line of printable characters of what comes from outside, at most n of them.
func text(s string, n int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	return cut(s, n)
}

// cut gives the first n characters of a text, the last one of them being … where something is left out.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}

// hiddenMarker is a marker as it stands in a comment, where readers do not see it.
func hiddenMarker(marker string) string { return "<!-- " + text(marker, 80) + " -->\n" }

// markerRoom is what a marker may take of a comment, in characters.
const markerRoom = 100
