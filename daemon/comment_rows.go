package daemon

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
	"github.com/poundlock/poundlock/sync/plan"
)

// symbols are the marks of actions, as `poundlock plan` prints them.
var symbols = map[mirror.Kind]string{mirror.Fetch: ">", mirror.Copy: "+", mirror.Tag: "~", mirror.Drop: "-", mirror.Refuse: "!", mirror.Missing: "?", mirror.Failed: "x"}

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
	why := fit(fmt.Sprintf("%s: %s", cmp.Or(wordOf[a.Kind], string(a.Kind)), a.Reason))
	why += " " + code(string(a.Reason.Code))
	if a.Fix != "" {
		why += "<br>fix: " + fit(a.Fix)
	}
	if a.Where.File != "" {
		a.Where.Column = 0
		why += "<br>" + code(a.Where.String())
	}
	return tableRow(code(symbols[a.Kind]), code(a.Key.String()), fit(string(a.Stage)), out, in, why)
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
	text := fit(verdict)
	for _, w := range a.Warnings {
		text += "<br>warning: " + fit(w)
	}
	return tableRow(code(symbols[a.Kind]), code(a.Key.String()), fit(string(a.Stage)), out, in, code(a.To.Repository+":"+a.To.Tag), fit(size), text)
}

// maxDifference is how many characters of the change of one file are shown.
const maxDifference = 8000

// markdown shows how an override would change, folded up. The fence is longer than any that stands in the text.
func (o override) markdown() string {
	text, err := o.difference()
	if err != nil || text == "" || len(text) > maxDifference {
		return fmt.Sprintf("\n%s: %s lines, too many to be shown\n", code(o.path), fit(change(o.old, o.new)))
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.ReplaceAll(mirror.Printable(wire.Mask(strings.TrimSuffix(line, "\n"))), "<!--", "<!‑‑") + "\n")
	}
	fence := "```"
	for strings.Contains(b.String(), fence) {
		fence += "`"
	}
	return fmt.Sprintf("\n<details><summary>%s %s</summary>\n\n%sdiff\n%s%s\n\n</details>\n", code(o.path), fit(change(o.old, o.new)), fence, b.String(), fence)
}
