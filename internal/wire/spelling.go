package wire

import (
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLayers is how many times a text may have been escaped over itself.
const maxLayers = 3

// unescaped is a text with escapes undone, and for each of its bytes where in the text it was read from it begins.
type unescaped struct {
	text  string
	begin []int // one more than bytes: the last is the end
}

// escapes are the ways in which a server, or a library on the way to the log, may write one character with several.
type escapes int

const (
	percent   escapes = 1 << iota // %2F of URLs
	backslash                     // \/, \u002f and \x2f of JSON and Go
	entity                        // &amp; and &#38; of HTML
	invisible                     // characters that take no room: they are left out
)

// hasEscapes says whether anything in a text may be an escape.
func hasEscapes(text string) bool {
	return strings.ContainsAny(text, `%\&`) || strings.ContainsFunc(text, isInvisible)
}

func isInvisible(r rune) bool { return !unicode.IsPrint(r) && !unicode.IsSpace(r) }

func plain(text string) unescaped {
	u := unescaped{text, make([]int, len(text)+1)}
	for i := range u.begin {
		u.begin[i] = i
	}
	return u
}

// reading finds a way to undo the escapes of a text so that it tells something: up to maxLayers of them, in any order,
// with and without what is invisible.
func reading(text string, tells func(string) bool) (unescaped, bool) {
	readings, seen := []unescaped{plain(text)}, map[string]bool{text: true}
	for range maxLayers + 1 {
		var deeper []unescaped
		for _, u := range readings {
			for _, read := range []unescaped{u, u.undo(invisible)} {
				if tells(read.text) {
					return read, true
				}
			}
			for _, way := range []escapes{percent, backslash, entity, percent | backslash | entity} {
				if next := u.undo(way); !seen[next.text] {
					seen[next.text] = true
					deeper = append(deeper, next)
				}
			}
		}
		readings = deeper
	}
	return unescaped{}, false
}

// undo takes one layer of escapes off.
func (u unescaped) undo(which escapes) unescaped {
	var b strings.Builder
	var begin []int
	for i := 0; i < len(u.text); {
		char, size := one(u.text[i:], which)
		for range len(char) {
			begin = append(begin, u.begin[i])
		}
		b.WriteString(char)
		i += size
	}
	return unescaped{b.String(), append(begin, u.begin[len(u.text)])}
}

// one gives the first character of a text and the bytes that it takes there.
func one(s string, which escapes) (char string, size int) {
	switch {
	case s[0] == '%' && which&percent != 0 && len(s) >= 3:
		if n, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
			return string([]byte{byte(n)}), 3
		}
	case s[0] == '\\' && which&backslash != 0 && len(s) >= 2:
		if strings.IndexByte(`"'/\`, s[1]) >= 0 {
			return s[1:2], 2
		}
		if n, wide, rest, err := strconv.UnquoteChar(s, 0); err == nil && wide {
			return string(n), len(s) - len(rest)
		} else if err == nil {
			return string([]byte{byte(n)}), len(s) - len(rest)
		}
	case s[0] == '&' && which&entity != 0:
		if end := strings.IndexByte(s[:min(len(s), 12)], ';'); end > 0 {
			if text := html.UnescapeString(s[:end+1]); text != s[:end+1] {
				return text, end + 1
			}
		}
	}
	r, size := utf8.DecodeRuneInString(s)
	if which&invisible != 0 && isInvisible(r) {
		return "", size
	}
	return s[:size], size
}
