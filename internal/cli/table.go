package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
	"golang.org/x/term"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// terminal is what is known of the place that output goes to.
type terminal struct {
	is     bool // a person may be looking at it
	width  int  // columns; 0: as wide as it takes
	colour bool
	moves  bool // its cursor can be moved: it is not dumb and knows how many rows it has
}

// terminal looks at where data goes.
func (a *app) terminal() terminal { return a.terminalOf(a.out) }

// terminalOf looks at where w goes. The width is the terminal's own, else what COLUMNS says: a serial line has
// none of its own. There is no colour off a terminal, nor where NO_COLOR, TERM=dumb or --no-color forbid it.
func (a *app) terminalOf(w io.Writer) terminal {
	var t terminal
	if f, ok := fileOf(w); ok && term.IsTerminal(int(f.Fd())) {
		t.is = true
		var rows int
		t.width, rows, _ = term.GetSize(int(f.Fd())) // 0 when it does not know
		t.moves = rows > 0 && os.Getenv("TERM") != "dumb"
		t.colour = !a.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	if columns, err := strconv.Atoi(os.Getenv("COLUMNS")); t.width == 0 && err == nil && columns > 0 {
		t.width = columns
	}
	return t
}

// gap stands between two columns.
const gap = 2

// table writes rows under a header, in columns aligned by what the terminal shows. Where the columns do not fit
// side by side each row becomes a block of `key: value` lines, since a digest that is cut is worth nothing. No
// rows, no output: whoever calls says what that means.
func (a *app) table(header []string, rows [][]string) error {
	return a.print(a.tableText(header, rows))
}

// tableText gives what table writes.
func (a *app) tableText(header []string, rows [][]string) string {
	if len(rows) == 0 {
		return ""
	}
	t := a.terminal()
	width := -gap
	for column := range header {
		widest := lipgloss.Width(header[column])
		for _, row := range rows {
			row[column] = clean(row[column])
			widest = max(widest, lipgloss.Width(row[column]))
		}
		width += widest + gap
	}
	if t.width > 0 && width > t.width {
		return blocks(header, rows)
	}
	return columns(header, rows, t.colour)
}

func columns(header []string, rows [][]string, colour bool) string {
	cell := lipgloss.NewStyle().PaddingRight(gap)
	head := cell
	if colour {
		head = head.Bold(true)
	}
	rendered := table.New().Headers(header...).Rows(rows...).Wrap(false).
		BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).BorderHeader(false).BorderColumn(false).
		StyleFunc(func(row, _ int) lipgloss.Style {
			if row == table.HeaderRow {
				return head
			}
			return cell
		}).Render()
	var b strings.Builder
	for line := range strings.Lines(rendered) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

func blocks(header []string, rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		if i > 0 {
			b.WriteByte('\n')
		}
		for column, value := range row {
			if value != "" {
				fmt.Fprintf(&b, "%s: %s\n", strings.ToLower(header[column]), value)
			}
		}
	}
	return b.String()
}

// clean keeps text that came from elsewhere from steering the terminal and from breaking a row.
func clean(s string) string { return mirror.Printable(s) }

// age says how long ago something was, in its largest unit; "" for a time that is not known.
func age(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return plan.Age(now.Sub(t))
}
