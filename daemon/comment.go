package daemon

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
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
	s.add("### Poundlock: what a merge would do at " + plan.Escape(v.site) + "\n\n" + v.summary())
	for _, note := range v.notes() {
		s.add("\n> " + plan.Escape(note) + "\n")
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
				s.add("\n" + code(a.Path) + ": " + plan.Escape(a.Reason.String()) + "\n")
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
	return fmt.Sprintf("**%s**\n\n%s merged into %s\n", plan.Escape(text), code(brief(v.proposal.HeadCommit)), code(brief(v.base)))
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
	text := "- **" + plan.Escape(p.Code) + "** "
	if p.Where.File != "" {
		text += code(p.Where.String()) + " "
	}
	text += plan.Escape(mirror.Clean(p.What))
	if p.Why != "" {
		text += "<br>why: " + plan.Escape(mirror.Clean(p.Why))
	}
	if p.Fix != "" {
		text += "<br>fix: " + plan.Escape(mirror.Clean(p.Fix))
	}
	return text + "\n"
}

// symbols are the marks of actions, as `poundlock plan` prints them.
var symbols = map[mirror.Kind]string{mirror.Copy: "+", mirror.Tag: "~", mirror.Drop: "-", mirror.Refuse: "!", mirror.Missing: "?", mirror.Failed: "x"}

// moves gives what stands for an entry now and what is to stand.
func (v review) moves(a plan.Row) (out, in string) {
	if was := v.before[a.Key.Set].At(a.Stage)[a.Key.Entry].Image; !was.IsZero() {
		out = version(was)
	}
	if a.Kind != mirror.Drop {
		in = version(a.Image)
	}
	return out, in
}

// version gives tag and digest of an image.
func version(r mirror.Reference) string {
	digest := ""
	if r.HasDigest() {
		digest = mirror.Short(r.Digest)
	}
	return code(strings.TrimSpace(r.Tag + " " + digest))
}

func (v review) troubleRow(a plan.Row) string {
	out, in := v.moves(a)
	why := plan.Escape(fmt.Sprintf("%s: %s", cmp.Or(wordOf[a.Kind], string(a.Kind)), a.Reason))
	why += " " + code(string(a.Reason.Code))
	if a.Fix != "" {
		why += "<br>fix: " + plan.Escape(a.Fix)
	}
	if a.Where.File != "" {
		a.Where.Column = 0
		why += "<br>" + code(a.Where.String())
	}
	return tableRow(code(symbols[a.Kind]), code(a.Key.String()), plan.Escape(string(a.Stage)), out, in, why)
}

var wordOf = map[mirror.Kind]string{mirror.Refuse: "refused", mirror.Missing: "missing upstream", mirror.Failed: "could not be found out"}

func (v review) changeRow(a plan.Row) string {
	out, in := v.moves(a)
	size, verdict := "", a.Basis
	switch {
	case a.Kind != mirror.Copy:
	case a.Size.Unknown != "":
		size = "unknown"
	default:
		size = fmt.Sprintf("%s, %s here", plan.Bytes(a.Size.Bytes), plan.Bytes(a.Size.Here))
	}
	if a.Kind == mirror.Drop {
		verdict = a.Reason.String()
	}
	if a.Outcome == mirror.OutcomeException || a.Outcome == mirror.OutcomeWarn {
		verdict = string(a.Outcome) + ": " + verdict
	}
	if a.Rollback {
		verdict += "; a rollback"
	}
	text := plan.Escape(verdict)
	for _, w := range a.Warnings {
		text += "<br>warning: " + plan.Escape(w)
	}
	return tableRow(code(symbols[a.Kind]), code(a.Key.String()), plan.Escape(string(a.Stage)), out, in, code(a.To.WithDigest(mirror.Digest{}).String()), plan.Escape(size), text)
}

// gates writes the gates of each set and stage with what is missing; entries of which a gate says the same share it.
func (v review) gates(s *sheet, rows []plan.Row) {
	type group struct {
		set   string
		stage mirror.Stage
	}
	type said struct {
		gate    mirror.Gate
		entries []string
	}
	groups, order := map[group][]said{}, []group{}
	of := map[group]int{} // entries
	for _, a := range rows {
		at := group{a.Key.Set, a.Stage}
		if len(a.Gates) == 0 {
			continue
		}
		if of[at]++; of[at] == 1 {
			order = append(order, at)
		}
		for _, g := range a.Gates {
			i := slices.IndexFunc(groups[at], func(o said) bool { return o.gate == g })
			if i < 0 {
				i = len(groups[at])
				groups[at] = append(groups[at], said{gate: g})
			}
			groups[at][i].entries = append(groups[at][i].entries, a.Key.Entry)
		}
	}
	for _, at := range order {
		all := groups[at]
		slices.SortStableFunc(all, func(a, b said) int { return cmp.Compare(openness(a.gate), openness(b.gate)) })
		s.part(fmt.Sprintf("\n#### Gates of %s at %s\n\n", plan.Escape(at.set), plan.Escape(string(at.stage))))
		for _, one := range all {
			s.add(gateItem(one.gate, one.entries, of[at]))
		}
	}
}

func openness(g mirror.Gate) int {
	if g.Open {
		return 1
	}
	return 0
}

func gateItem(g mirror.Gate, entries []string, of int) string {
	mark, word := "✔", "open"
	switch {
	case !g.Open:
		mark, word = "✘", "closed"
	case g.Exempt:
		word = "open, a rollback"
	}
	text := fmt.Sprintf("- %s **%s** %s: %s", mark, plan.Escape(g.Name), word, plan.Escape(g.Why))
	if !g.Open && !g.Until.IsZero() {
		text += ", until " + g.Until.UTC().Format(time.RFC3339)
	}
	if len(entries) < of {
		const shown = 5
		names := entries[:min(shown, len(entries))]
		text += " (" + plan.Escape(strings.Join(names, ", "))
		if len(entries) > shown {
			text += fmt.Sprintf(" and %d more", len(entries)-shown)
		}
		text += ")"
	}
	return text + "\n"
}

// maxDifference is how many characters of the change of one file are shown.
const maxDifference = 8000

// markdown shows how an override would change, folded up. The fence is longer than any that stands in the text.
func (o override) markdown() string {
	text, err := o.difference()
	if err != nil || text == "" || len(text) > maxDifference {
		return fmt.Sprintf("\n%s: %s lines, too many to be shown\n", code(o.path), plan.Escape(change(o.old, o.new)))
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.ReplaceAll(mirror.Printable(strings.TrimSuffix(line, "\n")), "<!--", "<!‑‑") + "\n")
	}
	fence := "```"
	for strings.Contains(b.String(), fence) {
		fence += "`"
	}
	return fmt.Sprintf("\n<details><summary>%s %s</summary>\n\n%sdiff\n%s%s\n\n</details>\n", code(o.path), plan.Escape(change(o.old, o.new)), fence, b.String(), fence)
}

func tableRow(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

func code(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + plan.Escape(s) + "</code>"
}
