package mirror

import (
	"strconv"
	"strings"
	"unicode"
)

// maxText bounds one text of a problem in characters: a value of a megabyte is no help to anybody.
const maxText = 600

// Clean makes text that may come from a file fit for a terminal and for eyes: one line, without characters that
// steer a terminal or turn the direction of writing, without private keys and passwords in addresses, and not
// endless.
func Clean(s string) string { return Shorten(Printable(Redact(s)), maxText) }

// Printable gives text in one line, with an escape such as \x1b in the place of every character that steers a
// terminal, turns the direction of writing or is not to be seen. It is for text that came from elsewhere and is
// shown as data; Clean is for text about what went wrong.
func Printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// Shorten gives text of at most so many characters, with … in the place of what it cut off. Secrets are masked
// before: of half a secret nobody knows that it is one.
func Shorten(s string, characters int) string {
	n := 0
	for i := range s {
		if n++; n > characters {
			return s[:i] + "…"
		}
	}
	return s
}
