package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

// traceDocument is what trace knows, for programs.
type traceDocument struct {
	Type    string `json:"type"`
	Version int    `json:"version"`
	daemon.Trace
}

func (a *app) traceCommand() *cobra.Command {
	var l looking
	cmd := &cobra.Command{
		Use: "trace IMAGE|TAG|DIGEST|ENTRY", Short: "Tell everything that is known of one image: who asks for it, where it stands and why, what it was", Args: cobra.ExactArgs(1),
		Long: `Tell everything that is known of one thing. It is named as an entry (in full, as set/entry, or by its last
part), a tag, a digest (sha256:..., or its first seven digits or more), or an upstream or local reference.
No network is used unless --refresh is given.`,
		Example: "  poundlock trace synapse\n  poundlock trace sha256:9f1c2ab\n  poundlock trace docker.io/library/nginx:1.27 -o json",
	}
	l.refreshFlag(cmd)
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.look(cmd.Context(), l, func(line *daemon.Line) error {
			t, err := line.Trace(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if *output != asText {
				return document(a.out, *output, traceDocument{"trace", 1, t})
			}
			return a.print(a.typedTrace(t, time.Now()))
		})
	}
	return cmd
}

// typedTrace is the text of a trace whose commands work as they are printed here.
func (a *app) typedTrace(t daemon.Trace, now time.Time) string {
	for _, one := range t.Found {
		for _, s := range one.Stages {
			if s.Trouble != nil {
				s.Trouble.Fix, s.Trouble.Next = a.typed(s.Trouble.Fix), strings.Trim(a.typed("`"+s.Trouble.Next+"`"), "`")
			}
		}
	}
	return traceText(t, now)
}

// shownEvents is how many of the last events the text of a trace shows; the documents have more.
const shownEvents = 8

func traceText(t daemon.Trace, now time.Time) string {
	var b strings.Builder
	for i, one := range t.Found {
		if i > 0 {
			b.WriteByte('\n')
		}
		writeTraced(&b, one, now)
	}
	return b.String()
}

func writeTraced(b *strings.Builder, t daemon.Traced, now time.Time) {
	fmt.Fprintf(b, "%s   (%s)\n", clean(t.Set+"/"+t.Entry), clean(strings.Join(t.As, "; ")))
	if t.Left {
		fact(b, 1, "gone", "nobody asks for it any more, and nothing of it stands; the history of desired/ and stages/ says who took it out")
	}
	fact(b, 1, "source", t.Source.Where.String())
	fact(b, 1, "", t.Source.Text)
	if !t.Source.Image.IsZero() {
		fact(b, 1, "upstream", t.Source.Image.String())
	}
	if t.Source.Replaced {
		fact(b, 1, "replaces", t.Source.Vendor.String())
		if t.Source.BasedOn != (mirror.Digest{}) {
			fact(b, 1, "based on", t.Source.BasedOn.String())
		}
	}
	for _, s := range t.Stages {
		writeStage(b, s, now)
	}
	for i, f := range t.Files {
		fact(b, 1, heading(i, "rendered"), fmt.Sprintf("%s:%d", f.File, f.Line))
	}
	for i, e := range t.Events[:min(len(t.Events), shownEvents)] {
		fact(b, 1, heading(i, "events"), eventText(e))
	}
	if hidden := len(t.Events) - shownEvents; hidden > 0 {
		fact(b, 1, "", fmt.Sprintf("and %d before; see -o json", hidden))
	}
	for i, r := range t.Runs[:min(len(t.Runs), shownEvents)] {
		fact(b, 1, heading(i, "runs"), strings.TrimSpace(fmt.Sprintf("%s  %s  %s  %s", r.Ended.UTC().Format(time.RFC3339), r.ID, r.Outcome, cameOf(r))))
	}
}

func writeStage(b *strings.Builder, s daemon.TracedStage, now time.Time) {
	fmt.Fprintf(b, "  %s: %s\n", clean(string(s.Stage)), stageText(s.Stand))
	if !s.Image.IsZero() {
		fact(b, 2, "image", s.Image.String())
		fact(b, 2, "since", fmt.Sprintf("%s (%s ago)", s.Since.UTC().Format(time.RFC3339), age(now, s.Since)))
		basis := s.Basis
		if s.Vouch != "" {
			basis += ", by commit " + s.Vouch
		}
		fact(b, 2, "basis", basis)
		asked := commitText(s.Commit)
		if s.Proposal > 0 {
			asked = fmt.Sprintf("#%d %s", s.Proposal, asked)
		}
		fact(b, 2, "asked by", asked)
		fact(b, 2, "recorded", commitText(s.Recorded))
		for i, pull := range s.Pull {
			fact(b, 2, heading(i, "pull"), pull.String())
		}
	}
	if s.State != daemon.Stands && !s.Wanted.IsZero() {
		fact(b, 2, "wanted", s.Wanted.String())
		fact(b, 2, "", s.Where.String())
	}
	if w := s.Waits; w != nil {
		fact(b, 2, "asked by", askedText(w.Asked, w.Proposal))
		fact(b, 2, "~ waits", w.Reason)
		for _, g := range w.Gates {
			fact(b, 2, "", g.Name+": "+g.Why)
		}
		if w.Until.After(now) {
			fact(b, 2, "until", fmt.Sprintf("%s (in %s)", w.Until.UTC().Format(time.RFC3339), age(w.Until, now)))
		}
	}
	if h := s.Hold; h != nil {
		fact(b, 2, "hold", h.String())
	}
	if t := s.Trouble; t != nil {
		fact(b, 2, symbol(t.Type)+" "+string(t.Type), t.Reason)
		if t.Image != s.Wanted && !t.Image.IsZero() {
			fact(b, 2, "", t.Image.String())
		}
		fact(b, 2, "found", fmt.Sprintf("%s (%s ago)", t.At.UTC().Format(time.RFC3339), age(now, t.At)))
		fact(b, 2, "fix", t.Fix)
		fact(b, 2, "next", t.Next)
	}
	for i, was := range s.Was {
		fact(b, 2, heading(i, "was"), was.String())
	}
}

// stageText says in words how an entry is at a stage.
func stageText(s daemon.Stand) string {
	switch {
	case s.Waits != nil && s.Image.IsZero():
		return "does not stand yet"
	case s.Trouble != nil && s.Image.IsZero():
		return "does not stand"
	case (s.Trouble != nil || s.Waits != nil) && s.State == daemon.Behind:
		return "stands as before"
	case s.State == daemon.Stands:
		return "stands"
	case s.State == daemon.Behind:
		return "stands, and other content is wanted"
	case s.State == daemon.Unwanted:
		return "stands, and no line asks for it"
	}
	return "wanted, not here yet"
}

func commitText(commit string) string {
	if commit == "" {
		return ""
	}
	return "commit " + commit
}

func eventText(e daemon.Event) string {
	words := []string{e.At.UTC().Format(time.RFC3339), string(e.Type), string(e.Stage), mirror.Short(e.Image.Digest), e.Reason}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" || w == "-" }), "  ")
}

// heading names the first of several facts of one kind.
func heading(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}

// fact writes one line under its name; nothing is written of what is not known.
func fact(b *strings.Builder, level int, name, value string) {
	if value == "" {
		return
	}
	const column = 11
	name = clean(name)
	pad := strings.Repeat(" ", max(1, column-lipgloss.Width(name)))
	b.WriteString(strings.Repeat("  ", level) + name + pad + clean(value) + "\n")
}
