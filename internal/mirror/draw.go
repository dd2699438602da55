package mirror

import (
	"fmt"
	"strings"
	"unicode"
)

// drawSnippet writes the line of the file with its number, and below it the mark with the hint.
func (p Problem) drawSnippet(b *strings.Builder, hint string) {
	number := fmt.Sprint(p.Where.Line)
	line := printable([]rune(p.Snippet))
	fmt.Fprintf(b, "\n %s | %s", number, string(line))
	if p.Caret < 1 || p.Caret > len(line)+1 {
		return
	}
	end := min(p.Caret-1+max(p.Width, 1), max(len(line), p.Caret))
	mark := strings.Repeat(" ", cells(line[:p.Caret-1])) + strings.Repeat("^", max(cells(line[p.Caret-1:min(end, len(line))]), 1))
	fmt.Fprintf(b, "\n %s | %s", strings.Repeat(" ", len(number)), mark)
	if hint != "" {
		b.WriteString(" " + hint)
	}
}

// splitHint takes the question off a fix that begins with one: it stands at the mark.
func splitHint(fix string) (hint, rest string) {
	if !strings.HasPrefix(fix, "did you mean ") {
		return "", fix
	}
	i := strings.Index(fix, "?")
	if i < 0 {
		return "", fix
	}
	return fix[:i+1], strings.TrimSpace(fix[i+1:])
}

// printable replaces, character by character, what a terminal must not get. A tab becomes one space, so that
// characters and columns stay in step.
func printable(line []rune) []rune {
	out := make([]rune, len(line))
	for i, r := range line {
		switch {
		case r == '\t':
			out[i] = ' '
		case unicode.IsPrint(r) && !unicode.Is(unicode.Mn, r):
			out[i] = r
		default:
			out[i] = '·'
		}
	}
	return out
}

// cells gives how many columns of a terminal characters take: the wide ones of East Asia and pictures take two.
func cells(line []rune) int {
	n := 0
	for _, r := range line {
		n++
		if unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana) || r >= 0xff01 && r <= 0xff60 || r >= 0x3000 && r <= 0x303f || r >= 0x1f300 && r <= 0x1faff {
			n++
		}
	}
	return n
}
