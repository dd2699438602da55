package mirror

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// syntax is what the YAML library says of a document that it cannot read: its words, and the places where
// what it was reading began and where it gave up.
type syntax struct {
	file       string
	lines      []string
	text       string
	start, end Position
}

// The library gives places as L<line>.C<column>, and -C<column> where the line is the same.
var placePattern = regexp.MustCompile(` at L(\d+)\.C(\d+)(?:-(?:L(\d+)\.)?C(\d+))?: `)

// syntaxProblem says in words of ours why a document cannot be read, as exactly as can be told.
func syntaxProblem(file string, data []byte, err error) Problem {
	s := syntax{file: file, lines: splitLines(data), text: err.Error()}
	number := func(text string) int { n, _ := strconv.Atoi(text); return n }
	if m := placePattern.FindStringSubmatch(s.text); m != nil {
		s.start = Position{File: file, Line: number(m[1]), Column: number(m[2])}
		s.end = s.start
		if m[4] != "" {
			s.end = Position{File: file, Line: number(m[3]), Column: number(m[4])}
			if m[3] == "" {
				s.end.Line = s.start.Line
			}
		}
	}
	for _, rule := range []func(syntax) *Problem{syntax.documents, syntax.conflict, syntax.tab, syntax.quote, syntax.alias, syntax.flow, syntax.colon, syntax.scalar, syntax.indentation} {
		if p := rule(s); p != nil {
			return *p
		}
	}
	return *s.problem(s.end, "see the line and the one above it", "this is no YAML")
}

func (s syntax) problem(where Position, fix, format string, args ...any) *Problem {
	where.File = s.file
	return &Problem{Code: "DOC001", Where: where, Fix: fix, What: fmt.Sprintf(format, args...)}
}

func (s syntax) says(words ...string) bool {
	for _, w := range words {
		if strings.Contains(s.text, w) {
			return true
		}
	}
	return false
}

// line gives a line by its number, from 1.
func (s syntax) line(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	return s.lines[n-1]
}

// above gives the last line before n that is neither empty nor a comment, and its number.
func (s syntax) above(n int) (int, string) {
	for n--; n >= 1; n-- {
		if text := strings.TrimSpace(s.line(n)); text != "" && !strings.HasPrefix(text, "#") {
			return n, s.line(n)
		}
	}
	return 0, ""
}

func (s syntax) documents() *Problem {
	switch {
	case s.says("no documents in stream"):
		p := s.problem(Position{}, "write the document, or delete the file", "the file is empty")
		p.Code = "DOC011"
		return p
	case s.says("expected single document"):
		seen := false
		for i, line := range s.lines {
			if strings.HasPrefix(line, "---") && seen {
				return s.problem(Position{Line: i + 1, Column: 1}, "one document a file: move the rest to a file of its own", "a second document begins here")
			}
			text := strings.TrimSpace(line)
			seen = seen || text != "" && !strings.HasPrefix(text, "#") && !strings.HasPrefix(text, "%")
		}
		return s.problem(Position{}, "one document a file", "the file holds several documents")
	}
	return nil
}

func (s syntax) conflict() *Problem {
	for i, line := range s.lines {
		if strings.HasPrefix(line, "<<<<<<< ") {
			return s.problem(Position{Line: i + 1, Column: 1}, "keep one of the two sides and delete the three lines with markers", "a merge conflict was not resolved")
		}
	}
	return nil
}

func (s syntax) tab() *Problem {
	if !s.says("tab character", "cannot start any token") {
		return nil
	}
	line := s.line(s.end.Line)
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	if i := strings.IndexByte(indent, '\t'); i >= 0 {
		return s.problem(Position{Line: s.end.Line, Column: i + 1}, "indent with spaces, two for each level", "the line is indented with a tab, which YAML does not allow")
	}
	return nil
}

// quote finds a quote that is never closed, also when a later one was taken for its end.
func (s syntax) quote() *Problem {
	const fix = "close it at the end of the value, or take the quotes away"
	switch {
	case s.says("quoted scalar") && s.says("end of stream", "document indicator"):
		return s.problem(s.start, fix, "the quote that opens here is never closed")
	case s.says("unknown escape", "hexdecimal", "escape code"):
		return s.problem(s.end, `use single quotes, or write \\ for a backslash`, "a backslash begins no known escape in double quotes")
	case s.says("expected key", "expected ','"):
		for n := s.start.Line; n <= s.end.Line; n++ {
			if at := opensQuote(s.line(n)); at > 0 && n < s.end.Line {
				return s.problem(Position{Line: n, Column: at}, fix, "the quote that opens here is not closed in its line")
			}
		}
	}
	return nil
}

var quoteStart = regexp.MustCompile(`(?:^|[:,\[{-]) *(["'])`)

// opensQuote gives the column of a quote that begins a value and is not closed in the line, 0 when there is none.
func opensQuote(line string) int {
	for rest, before := line, 0; ; {
		m := quoteStart.FindStringSubmatchIndex(rest)
		if m == nil {
			return 0
		}
		quote, after := rest[m[2]], rest[m[3]:]
		end := closing(after, quote)
		if end < 0 {
			return len([]rune(line[:before+m[2]])) + 1
		}
		before += m[3] + end + 1
		rest = after[end+1:]
	}
}

func closing(text string, quote byte) int {
	for i := 0; i < len(text); i++ {
		switch {
		case quote == '"' && text[i] == '\\':
			i++
		case text[i] == quote && quote == '\'' && strings.HasPrefix(text[i+1:], "'"):
			i++
		case text[i] == quote:
			return i
		}
	}
	return -1
}

func (s syntax) alias() *Problem {
	if s.says("unknown anchor") || s.says("scanning an alias", "scanning an anchor", "scanning a tag", "parsing a tag") {
		return s.problem(s.start, `put it in quotes, as in "*"`, "a value that begins with *, & or ! has a meaning of its own in YAML")
	}
	return nil
}

func (s syntax) flow() *Problem {
	open := map[bool]string{true: "[", false: "{"}[s.says("flow sequence")]
	shut := map[string]string{"[": "]", "{": "}"}[open]
	switch {
	case !s.says("flow sequence", "flow mapping", "flow node"):
		return nil
	case s.says("flow node"):
		return s.problem(s.end, "see that brackets close in the order in which they open", "a value or a closing bracket is missing here")
	case s.end.Line == s.start.Line && s.end.Column <= len([]rune(strings.TrimRight(s.line(s.end.Line), " "))):
		return s.problem(s.end, "put a comma before it, or close with "+shut, "a comma or %s is missing before this", shut)
	}
	return s.problem(s.start, "close it with "+shut, "the %s that opens here is never closed", open)
}

func (s syntax) colon() *Problem {
	if s.says("could not find expected ':'") {
		return s.problem(s.start, `write "key: value", or indent the line if it belongs to the value above`, "the line is no key with a value")
	}
	if !s.says("mapping values are not allowed") {
		return nil
	}
	line := s.line(s.end.Line)
	runes := []rune(line)
	before := string(runes[:min(max(s.end.Column-1, 0), len(runes))])
	if strings.Contains(before, ": ") {
		return s.problem(s.end, `put the whole value in quotes, or begin a new line if this is the next key`, "a second colon stands in this line")
	}
	n, above := s.above(s.end.Line)
	first := Position{Line: s.end.Line, Column: indentOf(line) + 1}
	switch {
	case n > 0 && !strings.Contains(above, ":"):
		return s.problem(Position{Line: n, Column: indentOf(above) + 1}, `write "key: value"`, "the line is no key with a value")
	case indentOf(line) > indentOf(above):
		fix := fmt.Sprintf("indent it by %d spaces, as line %d", indentOf(above), n)
		if indentOf(above) == 0 {
			fix = fmt.Sprintf("begin it without spaces, as line %d", n)
		}
		return s.problem(first, fix, "the line is indented deeper than the one above, which has a value already")
	}
	return s.problem(first, "indent it as the other keys beside it", "the indentation of this line fits nothing above")
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

func (s syntax) scalar() *Problem {
	switch {
	case s.says("cannot start any token"):
		return s.problem(s.end, "put the value in quotes", "a value must not begin with this character")
	case s.says("block scalar"):
		return s.problem(s.start, `put the value in quotes, or begin the text in the next line`, "a value that begins with | or > announces a block of text in the next lines")
	case s.says("incompatible YAML", "directive"):
		return s.problem(s.end, "delete the line", "the line begins with a percent sign: directives are not read")
	}
	return nil
}

func (s syntax) indentation() *Problem {
	line := s.line(s.end.Line)
	text := strings.TrimLeft(line, " ")
	switch {
	case s.says("expected '-' indicator"):
		return s.problem(s.end, `begin it with "- ", or indent it below the item it belongs to`, "a key stands where the next item of a list is expected")
	case !s.says("expected key"):
		return nil
	case s.end.Column-1 > indentOf(line):
		return s.problem(s.end, "put the whole value in quotes, or delete what is too much", "the value ends before this, and something follows in the same line")
	case strings.HasPrefix(text, "- "), text == "-":
		return s.problem(s.end, "indent it as the other items, or put a key without a value above it", "an item of a list stands where a key is expected")
	case strings.HasPrefix(text, "]"), strings.HasPrefix(text, "}"):
		return s.problem(s.end, "delete it", "a bracket is closed that was not opened")
	}
	return s.problem(s.end, "indent it as the keys that it belongs to", "the indentation of this line fits nothing above")
}
