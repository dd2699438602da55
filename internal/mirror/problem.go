package mirror

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file. Lines and columns count from 1, columns in characters as editors do; 0 means
// the file as a whole. Commit is set for files of the fleet repository.
type Position struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Commit string `json:"commit,omitempty"`
}

// String gives file:line:column as editors read it, without the parts that are not known.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is one mistake in a file that people write, or one trouble with the world around: what is wrong,
// where, why it matters and how to mend it. Code is stable, for searching the documentation.
type Problem struct {
	Code  string   `json:"code"`
	What  string   `json:"what"`
	Where Position `json:"where"`
	Why   string   `json:"why,omitempty"`
	Fix   string   `json:"fix,omitempty"`
	// Snippet is the line of the file with every value that may be a secret masked. The mark below it begins at
	// character Caret of the snippet, from 1, and is Width characters long. Quote fills all three.
	Snippet string `json:"snippet,omitempty"`
	Caret   int    `json:"caret,omitempty"`
	Width   int    `json:"width,omitempty"`
	// Path is the key that the problem is about, such as git.poll; for a misspelt key the one that was most
	// likely meant. Later checks leave such keys alone.
	Path string `json:"-"`
}

// Error gives the problem as people read it: what, where, the line with a mark, why and the fix. Nothing in it
// can steer a terminal.
func (p Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "error[%s]: %s", p.Code, Clean(p.What))
	if p.Where.File != "" {
		fmt.Fprintf(&b, "\n  --> %s", Clean(p.Where.String()))
		if p.Where.Commit != "" {
			fmt.Fprintf(&b, " (commit %.10s)", Clean(p.Where.Commit))
		}
	}
	hint, fix := "", Clean(p.Fix)
	if p.Snippet != "" {
		hint, fix = splitHint(fix)
		p.drawSnippet(&b, hint)
	}
	if p.Why != "" {
		fmt.Fprintf(&b, "\n why: %s", Clean(p.Why))
	}
	if fix != "" {
		fmt.Fprintf(&b, "\n fix: %s", fix)
	}
	return b.String()
}

// Annotation gives the problem as a workflow command of GitHub Actions, which Gitea and Forgejo read too: one
// line that marks the place in a pull request.
func (p Problem) Annotation() string {
	props := []string{}
	if p.Where.File != "" {
		props = append(props, "file="+annotationProperty.Replace(Clean(p.Where.File)))
	}
	if p.Where.Line > 0 {
		props = append(props, fmt.Sprintf("line=%d", p.Where.Line))
	}
	if p.Where.Column > 0 {
		props = append(props, fmt.Sprintf("col=%d", p.Where.Column))
	}
	props = append(props, "title="+annotationProperty.Replace(Clean(p.Code)))
	lines := []string{Clean(p.What)}
	if p.Why != "" {
		lines = append(lines, "why: "+Clean(p.Why))
	}
	if p.Fix != "" {
		lines = append(lines, "fix: "+Clean(p.Fix))
	}
	return "::error " + strings.Join(props, ",") + "::" + annotationData.Replace(strings.Join(lines, "\n"))
}

// A workflow command ends at its line, and its properties at a comma or a double colon.
var (
	annotationData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	annotationProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// Problems are all mistakes found in one pass. As an error it means that nothing was changed.
type Problems []Problem

// maxTold is how many problems are told at once: who made more mends these first, and a wrong file is wrong in
// every line.
const maxTold = 100

// Told gives the problems that are told, and how many more there are.
func (p Problems) Told() (first Problems, more int) {
	first = p[:min(len(p), maxTold)]
	return first, len(p) - len(first)
}

// Error lists the problems, as far as they are told, and says that nothing was changed.
func (p Problems) Error() string {
	var b strings.Builder
	told, more := p.Told()
	for _, one := range told {
		b.WriteString(one.Error() + "\n\n")
	}
	if more > 0 {
		fmt.Fprintf(&b, "and %d more\n\n", more)
	}
	word := "problems"
	if len(p) == 1 {
		word = "problem"
	}
	fmt.Fprintf(&b, "%d %s, nothing was changed", len(p), word)
	return b.String()
}

// Err gives p as an error in the order of the files, each problem once; nil when there is none, so that an
// empty list is never a non-nil error.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Where.File, b.Where.File), cmp.Compare(a.Where.Line, b.Where.Line),
			cmp.Compare(a.Where.Column, b.Where.Column))
	})
	return slices.Compact(p)
}

// Add appends a problem whose text is built as by fmt.Sprintf.
func (p *Problems) Add(code string, where Position, fix, format string, args ...any) {
	p.AddAt("", code, where, fix, format, args...)
}

// AddAt is Add for a problem of the key at path.
func (p *Problems) AddAt(path, code string, where Position, fix, format string, args ...any) {
	*p = append(*p, Problem{Code: code, Where: where, Path: path, Fix: Clean(fix), What: Clean(fmt.Sprintf(format, args...))})
}

// Touch says whether a problem was found already at the key path, above it or below it: then what another
// check makes of the key would be noise.
func (p Problems) Touch(path string) bool {
	return slices.ContainsFunc(p, func(one Problem) bool {
		return one.Path != "" && (within(path, one.Path) || within(one.Path, path))
	})
}

// Plus gives the problems with those of a later check, except where one was told of the same key of the same
// file already.
func (p Problems) Plus(more Problems) Problems {
	all := slices.Clone(p)
	for _, one := range more {
		noise := slices.ContainsFunc(p, func(told Problem) bool {
			return told.Where.File == one.Where.File && one.Path != "" && Problems{told}.Touch(one.Path)
		})
		if !noise {
			all = append(all, one)
		}
	}
	return all
}

func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Suggest gives the fix for a word that is none of the known ones: the one that was most likely meant, else all.
func Suggest(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return ""
	}
	return "known: " + strings.Join(known, ", ")
}

// UnknownWord is the error of a value that is none of a few words; a problem made of it suggests the word that
// was meant.
type UnknownWord struct {
	Kind, Word string
	Known      []string
}

// Error names the word and those that are known.
func (u UnknownWord) Error() string {
	return fmt.Sprintf("unknown %s %q: want %s", u.Kind, u.Word, orList(u.Known))
}

func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
