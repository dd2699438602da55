package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Version is that of the JSON form. It grows when a field changes its meaning or goes.
const Version = 1

// JSON writes plans for programs: one object with the version and the plans.
func JSON(w io.Writer, plans ...mirror.Plan) error {
	doc := struct {
		Version int           `json:"version"`
		Plans   []mirror.Plan `json:"plans"`
	}{Version, make([]mirror.Plan, 0, len(plans))}
	for _, p := range plans {
		if p.Actions == nil {
			p.Actions = []mirror.Action{}
		}
		doc.Plans = append(doc.Plans, p)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

var symbols = map[mirror.Kind]string{
	mirror.Copy: "+", mirror.Tag: "~", mirror.Render: "~", mirror.Refuse: "!", mirror.Missing: "?", mirror.Failed: "x",
}

// Table writes plans for people: a row for everything that is not as desired, with the line that asks for
// it under what cannot be done, and a last line that counts. The symbols carry the meaning without colour.
func Table(w io.Writer, plans ...mirror.Plan) error {
	var b strings.Builder
	for _, p := range plans {
		rows := rowsOf(p)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(&b, "set %s\n", clean(p.Set))
		writeRows(&b, rows)
	}
	b.WriteString(Summary(plans...) + "\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// row is one line of the table; the last cell is not padded.
type row struct {
	cells []string
	where string
}

func rowsOf(p mirror.Plan) []row {
	var rows []row
	for _, a := range p.Actions {
		symbol, shown := symbols[a.Kind]
		if !shown {
			continue
		}
		name, tag, digest := a.Key.Entry, a.Image.Tag, ""
		if a.Path != "" {
			name, tag = a.Path, ""
		}
		if a.Image.HasDigest() {
			digest = mirror.Short(a.Image.Digest)
		}
		r := row{cells: []string{symbol, name, string(a.Stage), tag, digest, a.Reason.String()}}
		if a.Where.File != "" && symbol != "+" && symbol != "~" {
			r.where = a.Where.String()
		}
		for i := range r.cells {
			r.cells[i] = clean(r.cells[i])
		}
		rows = append(rows, r)
	}
	return rows
}

func writeRows(b *strings.Builder, rows []row) {
	var widths []int
	for _, r := range rows {
		for i, cell := range r.cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, cell := range r.cells {
			line.WriteString(cell)
			if i < len(r.cells)-1 && widths[i] > 0 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+min(2, i+1)))
			}
		}
		b.WriteString("  " + strings.TrimRight(line.String(), " ") + "\n")
		if r.where != "" {
			b.WriteString("    " + clean(r.where) + "\n")
		}
	}
}

// Summary counts the actions of plans in one sentence.
func Summary(plans ...mirror.Plan) string {
	n := map[mirror.Kind]int{}
	var record, kept int
	for _, p := range plans {
		for _, a := range p.Actions {
			switch {
			case a.Kind == mirror.Tag && a.Old == a.New:
				record++
			case a.Path != "" && a.Kind != mirror.Render:
				kept++
			default:
				n[a.Kind]++
			}
		}
	}
	var parts []string
	add := func(n int, one, many string) {
		if n > 0 {
			parts = append(parts, count(n, one, many))
		}
	}
	add(n[mirror.Copy], "to copy", "to copy")
	add(n[mirror.Tag], "tag to move", "tags to move")
	add(record, "to record", "to record")
	add(n[mirror.Render], "file to change", "files to change")
	add(kept, "override kept as it was", "overrides kept as they were")
	add(n[mirror.Refuse], "refused", "refused")
	add(n[mirror.Missing], "missing upstream", "missing upstream")
	add(n[mirror.Failed], "failed", "failed")
	parts = append(parts, count(n[mirror.Unchanged], "unchanged", "unchanged"))
	return "Plan: " + strings.Join(parts, ", ") + "."
}

func count(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// clean keeps text that came from elsewhere from steering the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
