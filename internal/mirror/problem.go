package mirror

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file. Lines and columns count from 1; 0 means the file as a whole. Commit is
// set for files of the fleet repository.
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

// Problem is one mistake in a file that people write: what is wrong, where, why it matters and how to
// mend it. Code is stable, for searching the documentation.
type Problem struct {
	Code  string   `json:"code"`
	What  string   `json:"what"`
	Where Position `json:"where"`
	Why   string   `json:"why,omitempty"`
	Fix   string   `json:"fix,omitempty"`
}

// Error gives the problem as one block of text, place first.
func (p Problem) Error() string {
	var b strings.Builder
	if p.Where.File != "" {
		fmt.Fprintf(&b, "%s: ", p.Where)
	}
	fmt.Fprintf(&b, "error[%s]: %s", p.Code, p.What)
	if p.Why != "" {
		fmt.Fprintf(&b, "\n  why: %s", p.Why)
	}
	if p.Fix != "" {
		fmt.Fprintf(&b, "\n  fix: %s", p.Fix)
	}
	return b.String()
}

// Problems are all mistakes found in one pass. As an error it means that nothing was changed.
type Problems []Problem

// Error lists every problem and says that nothing was changed.
func (p Problems) Error() string {
	lines := make([]string, 0, len(p)+1)
	for _, one := range p {
		lines = append(lines, one.Error())
	}
	word := "problems"
	if len(p) == 1 {
		word = "problem"
	}
	return strings.Join(append(lines, fmt.Sprintf("%d %s, nothing was changed", len(p), word)), "\n")
}

// Err gives p as an error, nil when there is no problem, so that an empty list is never a non-nil error.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Where.File, b.Where.File), cmp.Compare(a.Where.Line, b.Where.Line),
			cmp.Compare(a.Where.Column, b.Where.Column))
	})
	return p
}

// Add appends a problem whose text is built as by fmt.Sprintf.
func (p *Problems) Add(code string, where Position, fix, format string, args ...any) {
	*p = append(*p, Problem{Code: code, Where: where, Fix: fix, What: fmt.Sprintf(format, args...)})
}
