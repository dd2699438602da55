package plan

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Markdown writes a plan for a merge request or a change request: the summary, then a table for each set with
// what cannot be done first. limit bounds the text in bytes, from MinMarkdown on; 0 means no bound: forges cut a
// comment at about 60 kB. What does not fit is left out row by row from the end, changes before refusals, and
// counted; the summary always stays. Names are escaped, so that none can leave its cell.
func Markdown(w io.Writer, d Document, limit int) error {
	head := "### Poundlock plan\n\n**" + escape(d.last(false)) + "**\n"
	if d.Git != "" {
		head += fmt.Sprintf("\nGit <code>%s</code>, site %s, registry <code>%s</code>\n", escape(d.Git), escape(d.Site), escape(d.Registry))
	}
	for _, note := range d.notes() {
		if text := "\n" + escape(note) + "\n"; limit == 0 || len(head)+len(text) <= limit/2 {
			head += text
		}
	}
	var all []line
	for i, p := range d.Plans {
		for _, a := range p.Actions {
			if (Style{}).shown(a.Action) {
				all = append(all, line{set: i, row: a})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b line) int { return cmp.Compare(a.urgency(), b.urgency()) })
	tellGates(all)
	kept := len(all)
	if limit > 0 {
		kept = fitting(d, all, limit-len(head))
	}
	text := head + tables(d, all[:kept])
	if left := all[kept:]; len(left) > 0 {
		text += leftOut(left)
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// MinMarkdown is the least number of bytes that a plan in Markdown may be held to: the summary always fits.
const MinMarkdown = 2000

// line is a row of the table of one set.
type line struct {
	set   int
	row   Row
	gates string // of a promotion, where the line before has others
}

// tellGates tells the gates of promotions, once for lines that follow each other and have the same.
func tellGates(lines []line) {
	for i := range lines {
		lines[i].gates = Gates(lines[i].row.Action)
	}
	for i := len(lines) - 1; i > 0; i-- {
		if before := lines[i-1]; before.set == lines[i].set && before.row.Stage == lines[i].row.Stage && before.gates == lines[i].gates {
			lines[i].gates = ""
		}
	}
}

func (l line) urgency() int {
	switch {
	case l.row.Waits:
		return 2
	case l.row.Kind == mirror.Refuse:
		return 0
	case l.row.Kind == mirror.Missing, l.row.Kind == mirror.Failed:
		return 1
	}
	return 3
}

// fitting gives how many of the lines fit into so many bytes, with the heads of their tables and the words for
// those that are left out.
func fitting(d Document, all []line, room int) int {
	seen := map[int]bool{}
	last := 0
	for n, l := range all {
		if room -= len(l.markdown()); !seen[l.set] {
			seen[l.set] = true
			room -= len(tableHead(d.Plans[l.set].Set))
		}
		if room < 0 {
			return last
		}
		if n+1 == len(all) || room >= len(leftOut(all[n+1:])) {
			last = n + 1
		}
	}
	return last
}

func leftOut(left []line) string {
	refused := 0
	for _, l := range left {
		if l.urgency() < 2 {
			refused++
		}
	}
	text := fmt.Sprintf("\n%s left out", count(len(left), "row is", "rows are"))
	if refused > 0 {
		text += fmt.Sprintf(", %d of them cannot be done", refused)
	}
	return text + "; run `poundlock plan` to see all.\n"
}

func tables(d Document, lines []line) string {
	var b strings.Builder
	for i, p := range d.Plans {
		head := false
		for _, l := range lines {
			if l.set != i {
				continue
			}
			if !head {
				b.WriteString(tableHead(p.Set))
				head = true
			}
			b.WriteString(l.markdown())
		}
	}
	return b.String()
}

func tableHead(set string) string {
	return fmt.Sprintf("\n#### Set %s\n\n|  | Entry | Stage | Tag | Digest | Size | Why | Where |\n|---|---|---|---|---|---|---|---|\n", escape(set))
}

func (l line) markdown() string {
	a := l.row
	digest, size := digestOf(a.Image, false), ""
	if a.Kind == mirror.Copy {
		layers, bytes := sizeOf(a.Size)
		size = join([]string{layers, bytes}, ", ")
	}
	text := escape(why(a.Action))
	if a.Fix != "" {
		text += "<br>fix: " + escape(a.Fix)
	}
	for _, warning := range a.Warnings {
		text += "<br>warning: " + escape(warning)
	}
	if l.gates != "" {
		text += "<br>" + escape(l.gates)
	}
	cells := []string{"<code>" + escape(symbol(a.Action)) + "</code>", code(name(a.Action)), escape(string(a.Stage)), code(tag(a.Action)), code(digest), escape(size), text, code(place(a.Where))}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + escape(s) + "</code>"
}

// escape writes every character that Markdown, HTML or a forge gives a meaning as a character reference, which
// stands for itself only. Forges look for people and numbers when references are characters again, so that something
// that nobody sees stands behind @ and #. In a reference to an image, where a word stands before @, they see nobody.
func escape(s string) string {
	var b strings.Builder
	var last, before rune
	for _, r := range clean(s) {
		if last == '@' && isWord(r) && !isWord(before) || last == '#' && unicode.IsDigit(r) {
			b.WriteString("&#8203;")
		}
		before, last = last, r
		if strings.ContainsRune("|`<>&*_[]~@#\\!\"'{}$", r) {
			fmt.Fprintf(&b, "&#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	return strings.ReplaceAll(b.String(), "://", "&#58;//") // no link is made of it
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
