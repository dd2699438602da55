package cli

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// sayf talks to whoever looks on, at the width of their terminal.
func (a *app) sayf(format string, args ...any) {
	fmt.Fprint(a.talk, fit(fmt.Sprintf(format, args...), a.terminalOf(a.talk).width))
}

// print writes data for people, at the width of their terminal.
func (a *app) print(text string) error {
	_, err := io.WriteString(a.out, fit(text, a.terminal().width))
	return err
}

// quotedLine is a line of a file that a problem shows, or the mark below it: they stand as they are.
var quotedLine = regexp.MustCompile(`^ *\d* \| `)

// fit breaks lines that are wider than a terminal between two words; what follows is indented below its line.
// Only spaces are broken at, so that a digest, a reference or an option is never cut: one that is wider than
// the terminal stands on a line of its own. Width 0 is as wide as it takes.
func fit(text string, width int) string {
	if width <= 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		body := strings.TrimSuffix(line, "\n")
		if ansi.StringWidth(body) <= width || quotedLine.MatchString(body) {
			b.WriteString(line)
			continue
		}
		b.WriteString(hang(body, width))
		b.WriteString(line[len(body):])
	}
	return b.String()
}

// hang breaks one line, with what follows indented by two more than its beginning.
func hang(line string, width int) string {
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))] + "  "
	b, column := strings.Builder{}, 0
	for rest := line; rest != ""; {
		spaces := len(rest) - len(strings.TrimLeft(rest, " "))
		word, _, _ := strings.Cut(rest[spaces:], " ")
		next := spaces + ansi.StringWidth(word)
		if word != "" && column > len(indent) && column+next > width {
			b.WriteString("\n" + indent + word)
			column = len(indent) + next - spaces
		} else {
			b.WriteString(rest[:spaces] + word)
			column += next
		}
		rest = rest[spaces+len(word):]
	}
	return strings.TrimRight(b.String(), " ")
}
