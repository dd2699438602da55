package plan

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Names writes set/entry of everything that is not as desired, one a line and each once; files by their path.
func Names(w io.Writer, d Document) error {
	var names []string
	for _, p := range d.Plans {
		for _, a := range p.Actions {
			if (Style{}).shown(a.Action) {
				names = append(names, clean(cmp.Or(a.Path, a.Key.String()))+"\n")
			}
		}
	}
	slices.Sort(names)
	if _, err := io.WriteString(w, strings.Join(slices.Compact(names), "")); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// Annotations writes a plan as workflow commands of GitHub Actions, which other CIs read too: an annotation at
// the line of desired/ or stages/ for each row, and the summary. What cannot be done comes first: of each
// kind GitHub shows ten for a step.
func Annotations(w io.Writer, d Document) error {
	var troubles, warnings, changes []string
	for _, p := range d.Plans {
		for _, a := range p.Actions {
			if !(Style{}).shown(a.Action) {
				continue
			}
			switch {
			case a.Waits:
				warnings = append(warnings, annotation("warning", d.Folder, a))
			case a.Fix != "":
				troubles = append(troubles, annotation("error", d.Folder, a))
			case len(a.Warnings) > 0:
				warnings = append(warnings, annotation("warning", d.Folder, a))
			default:
				changes = append(changes, annotation("notice", d.Folder, a))
			}
		}
	}
	for _, note := range d.notes() {
		changes = append(changes, "::notice title=Poundlock::"+data(note)+"\n")
	}
	all := append(slices.Concat(troubles, warnings, changes), "::notice title=Poundlock::"+data(d.last(false))+"\n")
	if _, err := io.WriteString(w, strings.Join(all, "")); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

func annotation(level, folder string, a Row) string {
	var where []string
	if a.Where.File != "" {
		where = append(where, "file="+property(path.Join(folder, a.Where.File)))
		if a.Where.Line > 0 {
			where = append(where, fmt.Sprintf("line=%d", a.Where.Line))
		}
	}
	what := cmp.Or(a.Path, a.Key.String())
	where = append(where, "title="+property(string(a.Kind)+" "+what))
	layers, bytes := "", ""
	if a.Kind == mirror.Copy {
		layers, bytes = sizeOf(a.Size)
	}
	image := ""
	if !a.Image.IsZero() {
		image = a.Image.String()
	}
	text := join([]string{string(a.Stage), image, layers, bytes, why(a.Action)}, ", ")
	if a.Fix != "" {
		text += "\nfix: " + a.Fix
	}
	for _, warning := range a.Warnings {
		text += "\nwarning: " + warning
	}
	if gates := Gates(a.Action); gates != "" {
		text += "\n" + gates
	}
	return "::" + level + " " + strings.Join(where, ",") + "::" + data(text) + "\n"
}

// data escapes the text of a workflow command, as GitHub's toolkit does.
func data(s string) string {
	var lines []string
	for l := range strings.SplitSeq(s, "\n") {
		lines = append(lines, clean(l))
	}
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(strings.Join(lines, "\n"))
}

// property escapes a value before the text.
func property(s string) string {
	return strings.NewReplacer("%", "%25", ":", "%3A", ",", "%2C").Replace(clean(s))
}
