package daemon

import (
	"fmt"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
	"github.com/poundlock/poundlock/sync/plan"
)

// tail is how many characters are kept free for the words that say what was left out.
const tail = 400

// sheet is a text that is held to a number of characters. What does not fit is left out and counted, in the order in
// which it is written: so what matters most is written first.
type sheet struct {
	text  strings.Builder
	room  int
	left  int    // pieces that did not fit
	heads string // of a part whose first piece was not written yet
}

// part begins a part; its head is written with its first piece.
func (s *sheet) part(head string) { s.heads = head }

// add writes a piece where it fits.
func (s *sheet) add(piece string) {
	n := len([]rune(s.heads)) + len([]rune(piece))
	if n > s.room {
		s.left++
		return
	}
	s.text.WriteString(s.heads + piece)
	s.room, s.heads = s.room-n, ""
}

// markdown writes what a merge would do, for the people who decide on it, within so many characters: first what cannot
// be, then the gates, what would be done, and at last how the overrides would change. Whatever came from elsewhere is
// escaped. The same review is the same text, so that nothing is written twice.
func (v review) markdown(limit int) string {
	s := &sheet{room: max(limit, 4*tail) - tail}
	s.add("### Poundlock: what a merge would do at " + fit(v.site) + "\n\n" + v.summary())
	for _, note := range v.notes() {
		s.add("\n> " + fit(note) + "\n")
	}
	s.part("\n#### It cannot be merged as it is\n\n")
	told, hidden := v.problems.Told()
	for _, p := range told {
		s.add(problemItem(p))
	}
	if s.left += hidden; len(v.problems) == 0 {
		v.plans(s)
	}
	if s.left > 0 {
		s.room += tail
		s.heads = ""
		s.add(fmt.Sprintf("\n_%s left out for want of room: what cannot be done stands first. `poundlock plan` shows all once it is merged._\n", count(s.left, "part")))
	}
	return s.text.String()
}

func (v review) plans(s *sheet) {
	rows := v.rows()
	trouble := func(a plan.Row) bool {
		return a.Kind == mirror.Refuse || a.Kind == mirror.Missing || a.Kind == mirror.Failed
	}
	s.part("\n#### Cannot be done\n\n|  | Entry | Stage | Out | In | Why |\n|---|---|---|---|---|---|\n")
	for _, a := range rows {
		if trouble(a) {
			s.add(v.troubleRow(a))
		}
	}
	v.gates(s, rows)
	s.part("\n#### Would be done\n\n|  | Entry | Stage | Out | In | Tag here | Size | Verdict |\n|---|---|---|---|---|---|---|---|\n")
	for _, a := range rows {
		if !trouble(a) {
			s.add(v.changeRow(a))
		}
	}
	s.part("\n#### Overrides\n")
	for _, o := range v.overrides {
		if !strings.HasPrefix(o.path, "rendered/"+v.site+"/record/") {
			s.add(o.markdown())
		}
	}
	for _, set := range v.plan.Plans {
		for _, a := range set.Actions {
			if a.Key.Entry == "" && a.Kind == mirror.Refuse && a.Path != "" {
				s.add("\n" + code(a.Path) + ": " + fit(a.Reason.String()) + "\n")
			}
		}
	}
}

// summary counts, and says between what is compared.
func (v review) summary() string {
	text := "nothing that is mirrored would change"
	switch {
	case len(v.problems) > 0:
		text = count(len(v.problems), "problem")
	case len(v.rows()) > 0 || len(v.overrides) > 0:
		text = v.plan.Totals.Counts()
	}
	return fmt.Sprintf("**%s**\n\n%s merged into %s, registry %s\n", fit(text), code(brief(v.proposal.HeadCommit)), code(brief(v.base)), code(v.registry))
}

// notes are sentences about whole sets, and warnings.
func (v review) notes() []string {
	notes := slices.Clone(v.warnings)
	for _, set := range v.plan.Plans {
		if set.Suspended != nil {
			notes = append(notes, "set "+set.Set+" is "+set.Suspended.String()+"; nothing is done for it until it is resumed")
		}
	}
	for _, name := range v.gone {
		notes = append(notes, "set "+name+" would not be asked for any more: what is mirrored and rendered of it stays")
	}
	return notes
}

func problemItem(p mirror.Problem) string {
	text := "- **" + fit(p.Code) + "** "
	if p.Where.File != "" {
		text += code(p.Where.String()) + " "
	}
	text += fit(mirror.Clean(p.What))
	if p.Why != "" {
		text += "<br>why: " + fit(mirror.Clean(p.Why))
	}
	if p.Fix != "" {
		text += "<br>fix: " + fit(mirror.Clean(p.Fix))
	}
	return text + "\n"
}

func tableRow(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// fit makes text from elsewhere fit to be shown where everybody may read it.
func fit(s string) string { return plan.Escape(wire.Mask(s)) }

func code(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + fit(s) + "</code>"
}
