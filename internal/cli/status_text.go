package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// statusText writes a status for people.
func (a *app) statusText(s daemon.Status, f format, now time.Time) string {
	var b strings.Builder
	say := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "%-8s%s\n", key, clean(fmt.Sprintf(format, args...)))
	}
	if d := s.Daemon; d != nil {
		page := ""
		if d.Address != "" {
			page = ", http://" + reachable(d.Address)
		}
		say("daemon", "%s, pid %d, version %s, up %s%s", d.Command, d.PID, d.Version, age(now, d.Since), page)
	} else {
		say("daemon", "%s; this is what the last one left behind", noDaemon(s))
	}
	say("git", "%s", gitText(s.Git, now))
	if s.Forge != nil {
		say("forge", "%s", forgeText(*s.Forge, now))
	}
	if when := nextText(s.Next, now); when != "" {
		say("next", "%s", when)
	}
	if r := s.Reload; r != nil && !r.OK {
		say("config", "a changed one was refused %s ago, the old one is in force", age(now, r.At))
	} else if r != nil {
		say("config", "in force since %s ago", age(now, r.At))
	}
	if c := s.Copying; c != nil {
		say("copies", "%d of %d images%s, %s of %s", c.Done, c.Images, failedText(c.Failed), plan.Bytes(c.Bytes), plan.Bytes(c.Total))
	}
	b.WriteByte('\n')
	header := []string{"SET", "STATE", "STAGES", "LAST RUN"}
	if f == asWide {
		header = append(header, "RUN", "WHY", "COMMIT")
	}
	var rows [][]string
	for _, set := range s.Sets {
		row := []string{set.Set, stateOf(set, now), stagesText(set.Stages) + heldText(set.Held), runText(set.LastRun, now)}
		if f == asWide && set.LastRun != nil {
			row = append(row, set.LastRun.ID, set.LastRun.Why, set.Commit)
		} else if f == asWide {
			row = append(row, "", "", set.Commit)
		}
		rows = append(rows, row)
	}
	b.WriteString(a.tableText(header, rows))
	if len(rows) == 0 && s.Git.Problem == nil {
		b.WriteString("no sets known yet\n")
	}
	for _, p := range troubles(s) {
		text := p.Error()
		if p.Code == "CTL006" { // nothing is wrong: nobody looked yet
			text = "note" + strings.TrimPrefix(text, "error")
		}
		b.WriteString("\n" + a.typed(text) + "\n")
	}
	for _, line := range waitingLines(s.Sets, now) {
		b.WriteString("\n" + line + "\n")
	}
	for _, line := range a.policyLines(s.Sets, now) {
		b.WriteString("\n" + line + "\n")
	}
	for _, set := range s.Sets {
		if n := set.Unattached; n > 0 {
			fmt.Fprintf(&b, "\nset %s: %d statements or signatures of this site still to be attached\n", clean(set.Set), n)
		}
	}
	return fit(b.String(), a.terminal().width)
}

// policyLines tells, for each set that it has anything to say of, what policy says besides yes and no: of which image
// at which stage, and which command lists the rest.
func (a *app) policyLines(sets []daemon.SetStatus, now time.Time) (lines []string) {
	for _, s := range sets {
		text := policyText(s.Policy)
		if text == "" {
			continue
		}
		if when := s.Policy.Changes; when.After(now) {
			text += ", changes in " + age(when, now)
		}
		lines = append(lines, "set "+clean(s.Set)+": "+text)
		for _, r := range s.Policy.Remarks {
			mark, word := "*", "warning"
			if r.Stands {
				mark, word = "!", "admitted no longer"
			}
			more := ""
			if r.More > 0 {
				more = fmt.Sprintf(" (and %d more)", r.More)
			}
			lines[len(lines)-1] += fmt.Sprintf("\n  %s %s at %s%s: %s: %s", mark, clean(tagged(r.Image)), clean(string(r.Stage)), more, word, clean(r.Text))
		}
		lines[len(lines)-1] += "\n  Next: " + a.again("plan", s.Set, "-v")
	}
	return lines
}

// tagged gives a reference as people call it: by its tag, and by its digest where it has none.
func tagged(image mirror.Reference) string {
	if image.Tag == "" {
		return image.String()
	}
	return image.WithDigest(mirror.Digest{}).String()
}

// heldText names the stages at which nothing moves for a rewritten history.
func heldText(held []mirror.Stage) string {
	if len(held) == 0 {
		return ""
	}
	names := make([]string, len(held))
	for i, stage := range held {
		names[i] = clean(string(stage))
	}
	return " (held: " + strings.Join(names, ", ") + ")"
}

func policyText(p daemon.PolicyStatus) string {
	var parts []string
	for _, one := range []struct {
		n    int
		what string
	}{{p.NoLonger, "stand and are admitted no longer"}, {p.Exceptions, "by exception"}, {p.Warned, "with a warning"}, {p.Unjudged, "still to be judged"}} {
		if one.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.n, one.what))
		}
	}
	return strings.Join(parts, ", ")
}

func failedText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d failed", n)
}

// troubles gives every problem that a status holds, each once.
func troubles(s daemon.Status) mirror.Problems {
	var all mirror.Problems
	if s.Git.Problem != nil {
		all = append(all, *s.Git.Problem)
	}
	if s.Forge != nil && s.Forge.Problem != nil {
		all = append(all, *s.Forge.Problem)
	}
	all = append(all, s.Problems...)
	if s.Reload != nil {
		all = append(all, s.Reload.Problems...)
	}
	for _, set := range s.Sets {
		if set.Problem != nil && set.State == daemon.SetFailing {
			all = append(all, *set.Problem)
		}
	}
	seen := map[string]bool{}
	once := all[:0]
	for _, p := range all {
		if key := p.Code + p.What + p.Where.String(); !seen[key] {
			seen[key] = true
			once = append(once, p)
		}
	}
	return once
}

func gitText(g daemon.GitStatus, now time.Time) string {
	head, read := "not read yet", ""
	if g.Head != "" {
		head = "at " + short(g.Head, asTable)
	}
	if g.Refused != "" {
		head = "is refused at " + short(g.Refused, asTable) + ", in force as of " + short(g.Head, asTable)
	}
	if !g.ReadAt.IsZero() {
		read = ", read " + age(now, g.ReadAt) + " ago"
	}
	return fmt.Sprintf("%s, %s %s%s", g.URL, g.Branch, head, read)
}

func forgeText(f daemon.ForgeStatus, now time.Time) string {
	text := f.Repository + " at " + f.URL
	if !f.LookedAt.IsZero() {
		text += ", looked at " + age(now, f.LookedAt) + " ago"
	}
	if f.Problem != nil {
		text += ", in trouble; it is tried again"
	}
	return text
}

func nextText(n daemon.NextStatus, now time.Time) string {
	var parts []string
	if !n.Schedule.IsZero() {
		parts = append(parts, "schedule in "+age(n.Schedule, now))
	}
	if !n.Audit.IsZero() {
		parts = append(parts, "audit in "+age(n.Audit, now))
	}
	return strings.Join(parts, ", ")
}

// stateOf says how a set is. Without a time it says nothing that changes as time goes by.
func stateOf(s daemon.SetStatus, now time.Time) string {
	text := string(s.State)
	switch s.State {
	case daemon.SetAtRest:
		text = "at rest"
	case daemon.SetSuspended:
		if s.Suspended != nil {
			text = s.Suspended.String()
		}
	case daemon.SetCopying:
		if c := s.Copying; c != nil {
			text = fmt.Sprintf("copying %d of %d%s", c.Done-c.Failed, c.Images, failedText(c.Failed))
			if c.Bytes > 0 {
				text += ", " + plan.Bytes(c.Bytes)
			}
		}
	case daemon.SetPartial, daemon.SetFailing:
		if s.Problem != nil {
			text += ": " + s.Problem.What
		} else if r := s.LastRun; r != nil {
			text += ": " + leftText(*r)
		}
	}
	if !s.Retry.IsZero() && !now.IsZero() && s.State != daemon.SetSuspended {
		if s.Retry.After(now) {
			text += ", retry in " + s.Retry.Sub(now).Round(time.Second).String()
		} else {
			text += ", retry now"
		}
	}
	return text
}

// leftText counts what a run left undone.
func leftText(r daemon.Run) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{r.Failed, "failed"}, {r.Refused, "refused"}, {r.Waiting, "waiting"}, {r.Missing, "missing upstream"}, {r.ToFetch, "to fetch"}, {r.ToCopy, "to copy"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}

func stagesText(stages []daemon.StageCount) string {
	var parts []string
	for _, s := range stages {
		if s.Wanted > 0 {
			parts = append(parts, fmt.Sprintf("%s %d/%d", s.Stage, s.Stand, s.Wanted))
		}
	}
	return strings.Join(parts, ", ")
}

func runText(r *daemon.Run, now time.Time) string {
	if r == nil {
		return "none yet"
	}
	return fmt.Sprintf("%s %s ago", r.Outcome, age(now, r.Ended))
}

// jsonLine writes one document of a stream.
func jsonLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
