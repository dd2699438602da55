package mirror

import (
	"slices"
	"strings"
)

// maxSnippet is the longest snippet in characters; a longer line is cut around the mark.
const maxSnippet = 100

// Quote fills the snippets of problems in files whose values may be secrets, such as the configuration. shape is
// a value of the type that the files are decoded into: a value is shown only where that type has a key which
// is certain to be no secret. Where a file cannot be parsed, only keys are shown.
func (p Problems) Quote(files Files, shape any) {
	p.quote(files, func(data []byte) masker { return newStrictMasker(data, shape) })
}

// QuotePublic fills the snippets of problems in files that lie in Git for everybody to read. Only what must
// not be in Git in the first place is masked: private keys, passwords and the like.
func (p Problems) QuotePublic(files Files) {
	p.quote(files, func(data []byte) masker { return newPublicMasker(data) })
}

// masker hides characters of one file. hidden gives, for a line from 1 and its characters, which are not to be
// shown.
type masker interface {
	hidden(n int, line []rune) []bool
}

func (p Problems) quote(files Files, newMasker func([]byte) masker) {
	type source struct {
		lines []string
		masker
	}
	read := map[string]source{}
	for i := range p {
		where := p[i].Where
		data, ok := files[where.File]
		if !ok || where.Line < 1 || p[i].Snippet != "" || len(data) > MaxDocument {
			continue
		}
		s, ok := read[where.File]
		if !ok {
			s = source{splitLines(data), newMasker(data)}
			read[where.File] = s
		}
		if where.Line > len(s.lines) {
			continue // the end of the file
		}
		line := []rune(s.lines[where.Line-1])
		p[i].Snippet, p[i].Caret, p[i].Width = snippet(line, s.hidden(where.Line, line), where.Column)
	}
}

// snippet makes the text to show of a line with its mark. Hidden characters become three stars, however many
// they are.
func snippet(line []rune, hidden []bool, column int) (text string, caret, width int) {
	from, to := markOf(line, column)
	out := make([]rune, 0, len(line))
	place := make([]int, len(line)+1) // in out, by place in line
	for i, r := range line {
		if r == '#' && i >= to && (i == 0 || line[i-1] == ' ') && !slices.Contains(hidden[i:], false) {
			line, hidden = line[:i], hidden[:i] // a comment that is not to be shown
			break
		}
		switch {
		case !hidden[i]:
			if place[i] = len(out); r == '\t' && from <= i && i < to {
				r = '→'
			}
			out = append(out, r)
		case i == 0 || !hidden[i-1]:
			place[i] = len(out)
			out = append(out, '*', '*', '*')
		default:
			place[i] = place[i-1]
		}
	}
	place[len(line)] = len(out)
	for to > 0 && to < len(line) && hidden[to-1] && hidden[to] {
		to++ // a mark that ends inside hidden text ends behind the stars
	}
	begin, end := place[from], max(place[to], place[from]+1)
	out = printable(out)
	if len(out) <= maxSnippet {
		return strings.TrimRight(string(out), " "), begin + 1, end - begin
	}
	cut := max(0, min(begin-maxSnippet/3, len(out)-maxSnippet))
	stop := min(len(out), cut+maxSnippet)
	shown := string(out[cut:stop])
	caret = begin - cut + 1
	if cut > 0 {
		shown, caret = "…"+shown, caret+1
	}
	if stop < len(out) {
		shown += "…"
	}
	return shown, caret, min(end, stop) - begin
}

// markOf gives what the mark covers, as places in line: the word, the quoted text or the single sign at a
// column; the whole text of the line where no column is known.
func markOf(line []rune, column int) (from, to int) {
	if column < 1 {
		for from < len(line) && (line[from] == ' ' || line[from] == '\t') {
			from++
		}
		for to = len(line); to > from && line[to-1] == ' '; {
			to--
		}
		return from, to
	}
	from = min(column-1, len(line))
	if from == len(line) {
		return from, from
	}
	if quote := line[from]; quote == '"' || quote == '\'' {
		if end := closing(string(line[from+1:]), byte(quote)); end >= 0 {
			return from, from + 2 + len([]rune(string(line[from+1:])[:end]))
		}
		return from, from + 1
	}
	ends := func(i int) bool { return i == len(line) || line[i] == ' ' || line[i] == '\t' }
	if strings.ContainsRune("[]{},&*!|>%@`\t ", line[from]) || strings.ContainsRune(":-?", line[from]) && ends(from+1) {
		return from, from + 1
	}
	flow := 0 // brackets that are open before the mark
	for _, r := range line[:from] {
		switch r {
		case '[', '{':
			flow++
		case ']', '}':
			flow--
		}
	}
	for to = from; to < len(line); to++ {
		r := line[to]
		if r == '#' && ends(to-1) || r == ':' && ends(to+1) || flow > 0 && strings.ContainsRune(",]}", r) {
			break
		}
	}
	for to > from && ends(to-1) {
		to--
	}
	return from, max(to, from+1)
}
