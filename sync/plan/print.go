package plan

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Style is how a plan is printed for people.
type Style struct {
	Width int    // columns of the terminal; 0: as wide as it takes
	Color bool   // paint the symbols, which carry the meaning without it
	All   bool   // list also what is refused or missing as it was at the last run
	Wide  bool   // whole digests, the local tag, what policy says
	Next  string // the command to run next, where there is something to do
	List  string // the command that lists what is counted and not shown; "" to name none
}

var symbols = map[mirror.Kind]string{
	mirror.Fetch: ">", mirror.Copy: "+", mirror.Tag: "~", mirror.Render: "~", mirror.Drop: "-", mirror.Refuse: "!", mirror.Missing: "?", mirror.Failed: "x",
}

// symbol gives the mark of an action; "" for one that is counted and not shown.
func symbol(a mirror.Action) string {
	switch {
	case a.Reason.Code == mirror.Offline:
		return "?"
	case a.Kind == mirror.Unchanged && special(a):
		return "*"
	}
	return symbols[a.Kind]
}

// special says whether policy admits an action in spite of the rules, or warns of it.
func special(a mirror.Action) bool {
	return a.Outcome == mirror.OutcomeException || a.Outcome == mirror.OutcomeWarn || len(a.Warnings) > 0
}

// Table writes plans for people as they are, without what only a preview knows.
func Table(w io.Writer, plans ...mirror.Plan) error {
	return Text(w, NewDocument(Sizes{}, plans...), Style{})
}

// Text writes a plan for people: a row for everything that is not as desired, under what cannot be done the line
// that asks for it and what mends it, and a last line that counts. Columns are aligned by what a terminal shows.
// Rows that are wider than the terminal break; nothing is cut.
func Text(w io.Writer, d Document, s Style) error {
	if err := Rows(w, d, s); err != nil {
		return err
	}
	last := d.last(s.All || s.Wide)
	if s.Next != "" && d.Totals.Changes() {
		last += "   Run: " + s.Next
	}
	if s.List != "" && d.hides(s) {
		last += "   List them: " + s.List
	}
	var b strings.Builder
	writeLine(&b, "", last, s.Width)
	return write(w, &b)
}

// hides says whether something that policy has more to say of than yes or no is counted and has no row.
func (d Document) hides(s Style) bool {
	return slices.ContainsFunc(d.Plans, func(p Set) bool {
		return slices.ContainsFunc(p.Actions, func(a Row) bool { return (special(a.Action) || a.Stands) && !s.shown(a.Action) })
	})
}

// Rows writes the rows of Text without the last line.
func Rows(w io.Writer, d Document, s Style) error {
	var b strings.Builder
	for _, p := range d.Plans {
		rows := rowsOf(p, s)
		switch {
		case p.Suspended != nil:
			writeLine(&b, "", clean(p.suspended()), s.Width)
		case len(rows) > 0:
			writeLine(&b, "", "set "+clean(p.Set), s.Width)
		}
		writeRows(&b, rows, s)
	}
	for _, o := range d.Orphans {
		writeLine(&b, "", clean(o.note()), s.Width)
	}
	return write(w, &b)
}

func write(w io.Writer, b *strings.Builder) error {
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// row is one action as it is shown: cells that are aligned with those of the other rows, words that follow, and
// a second line.
type row struct {
	kind   mirror.Kind
	symbol string
	cells  []string
	tail   []string // why, and the line that asks for it
	gates  string   // of a promotion
	below  []string // the line that asks for it, and what mends it
}

// shown says whether an action has a row.
func (s Style) shown(a mirror.Action) bool {
	quiet := a.AsBefore || a.Kind == mirror.Unchanged && len(a.Warnings) == 0 // such as an exception that holds for long
	return symbol(a) != "" && (!quiet || s.All || s.Wide)
}

func rowsOf(p Set, s Style) []row {
	var rows []row
	gates := map[mirror.Stage]string{} // those told last: entries that move together have the same
	for _, a := range p.Actions {
		if !s.shown(a.Action) {
			continue
		}
		r := row{kind: a.Kind, symbol: symbol(a.Action), cells: []string{name(a.Action)}}
		if a.Path == "" {
			r.cells = append(r.cells, string(a.Stage), tag(a.Action), digestOf(a.Image, s.Wide), "", "")
		}
		if a.Kind == mirror.Copy {
			r.cells[4], r.cells[5] = sizeOf(a.Size)
		}
		why, where := why(a.Action), place(a.Where)
		if s.Wide && !a.To.IsZero() && a.Path == "" {
			why += "; to " + a.To.WithDigest(mirror.Digest{}).String()
		}
		r.tail = []string{why}
		if a.Fix == "" {
			r.tail = append(r.tail, where)
		} else {
			r.below = []string{where, "fix: " + a.Fix}
		}
		for _, warning := range a.Warnings {
			r.below = append(r.below, "warning: "+warning)
		}
		if told := Gates(a.Action); told != gates[a.Stage] {
			gates[a.Stage], r.gates = told, clean(told)
		}
		for _, words := range [][]string{r.cells, r.tail, r.below} {
			for i := range words {
				words[i] = clean(words[i])
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// place gives file:line.
func place(p mirror.Position) string {
	p.Column = 0
	return p.String()
}

func name(a mirror.Action) string {
	if a.Path != "" {
		return a.Path
	}
	return cmp.Or(a.Key.Entry, "(source)") // what the set is read from could not be asked
}

func tag(a mirror.Action) string {
	if a.Path != "" {
		return ""
	}
	return a.Image.Tag
}

// digestOf gives the digest of an image; "" for one that is not known.
func digestOf(image mirror.Reference, whole bool) string {
	switch {
	case !image.HasDigest():
		return ""
	case whole:
		return image.Digest.String()
	}
	return mirror.Short(image.Digest)
}

func sizeOf(s mirror.Size) (layers, size string) {
	switch {
	case s.Unknown != "":
		return "", "size unknown"
	case s == (mirror.Size{}):
		return "", ""
	}
	return count(s.Layers, "layer", "layers"), Bytes(s.Bytes)
}

// why gives the reason of an action, with who admits it or what is missing.
func why(a mirror.Action) string {
	text := a.Reason.String()
	if a.Path != "" {
		return text // which follows from the entries
	}
	switch a.Kind {
	case mirror.Refuse:
		word := "refused: "
		if waits(a) {
			word = "waits: "
		}
		text = word + text
	case mirror.Failed:
		if a.Reason.Code != mirror.Offline {
			text = "failed: " + text
		}
	}
	switch a.Kind {
	case mirror.Refuse, mirror.Missing, mirror.Failed:
		return fmt.Sprintf("%s [%s]", text, join([]string{string(a.Reason.Code), a.Reason.Problem}, " "))
	}
	switch {
	case a.Basis == "":
	case a.Kind == mirror.Unchanged && a.Reason.Detail == "":
		text = "stands; " + a.Basis
	default:
		text += "; " + a.Basis
	}
	if word := spoken[a.Outcome]; word != "" {
		text += " [" + word + "]"
	}
	return text
}

// spoken says in words what stands out of what policy says, so that neither symbol nor colour has to.
var spoken = map[mirror.Outcome]string{mirror.OutcomeException: "exception", mirror.OutcomeWarn: "not enforced"}

// indent is what stands before the continuation of a row.
const indent = "    "

// writeRows aligns the cells of all rows. Where even those do not fit side by side, each row is stacked.
func writeRows(b *strings.Builder, rows []row, s Style) {
	var widths [6]int
	for _, r := range rows {
		for i, cell := range r.cells {
			if len(r.cells) > 1 { // the path of a file is as long as it is, and has no other cells
				widths[i] = max(widths[i], ansi.StringWidth(cell))
			}
		}
	}
	side := 3 // "  +"
	for i, width := range widths {
		if width > 0 {
			side += width + 1 + min(i, 1)
		}
	}
	for _, r := range rows {
		mark := r.symbol
		if s.Color {
			mark = paint(r.kind, mark)
		}
		b.WriteString("  " + mark)
		if s.Width > 0 && side > s.Width {
			r.stack(b, s.Width)
		} else {
			r.align(b, widths[:], s.Width)
		}
		if len(r.below) > 0 {
			writeLine(b, indent, join(r.below, "   "), s.Width)
		}
		if r.gates != "" {
			writeLine(b, indent, r.gates, s.Width)
		}
	}
}

func (r row) align(b *strings.Builder, widths []int, width int) {
	var line strings.Builder
	for i, cell := range r.cells {
		if widths[i] > 0 || len(r.cells) == 1 {
			line.WriteString(strings.Repeat(" ", 1+min(i, 1)) + cell + strings.Repeat(" ", max(0, widths[i]-ansi.StringWidth(cell))))
		}
	}
	tail := join(r.tail, "  ")
	if width == 0 || 3+ansi.StringWidth(line.String())+2+ansi.StringWidth(tail) <= width {
		b.WriteString(strings.TrimRight(line.String()+"  "+tail, " ") + "\n")
		return
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	writeLine(b, indent, tail, width)
}

func (r row) stack(b *strings.Builder, width int) {
	b.WriteString(" " + r.cells[0] + "\n")
	for _, part := range append([]string{join(r.cells[1:], "  ")}, r.tail...) {
		if part != "" {
			writeLine(b, indent, part, width)
		}
	}
}

// writeLine writes text behind an indent and breaks it between words where it is wider than the terminal. A
// word that is too wide stands on a line of its own, whole.
func writeLine(b *strings.Builder, indent, text string, width int) {
	if width == 0 || len(indent)+ansi.StringWidth(text) <= width {
		b.WriteString(indent + text + "\n")
		return
	}
	at := 0
	for _, word := range strings.Fields(text) {
		n := ansi.StringWidth(word)
		switch {
		case at == 0:
			b.WriteString(indent + word)
			at = len(indent) + n
		case at+1+n <= width:
			b.WriteString(" " + word)
			at += 1 + n
		default:
			b.WriteString("\n" + indent + word)
			at = len(indent) + n
		}
	}
	b.WriteString("\n")
}

func join(parts []string, between string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, between)
}

func paint(k mirror.Kind, s string) string {
	colour := map[mirror.Kind]ansi.BasicColor{mirror.Fetch: ansi.Green, mirror.Copy: ansi.Green, mirror.Tag: ansi.Yellow, mirror.Render: ansi.Yellow, mirror.Missing: ansi.Magenta}
	c, ok := colour[k]
	if !ok {
		c = ansi.Red
	}
	return ansi.Style{}.ForegroundColor(c).Styled(s)
}

// clean keeps text that came from elsewhere from steering the terminal.
func clean(s string) string { return mirror.Printable(s) }
