package daemon

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
	"github.com/poundlock/poundlock/sync/publish"
)

// proposalMark stands hidden in the text of a proposal of ours and says what it is. Anybody may copy it, so that it
// counts only with a head that is ours.
type proposalMark struct {
	ID         string        `json:"id"`           // of site, set, stage and selector
	Candidate  mirror.Digest `json:"candidate"`    // what the stage file is to list
	Text       mirror.Digest `json:"text"`         // title and body as we wrote them
	By         string        `json:"by,omitempty"` // who asked for it
	Set        string        `json:"set,omitempty"`
	Stage      mirror.Stage  `json:"stage,omitempty"`
	Superseded int           `json:"supersededBy,omitempty"`
}

var markLine = regexp.MustCompile(`<!-- poundlock:promotion (\{.*\}) -->`)

// markOf reads the mark of a text; the rest is the text without it. ok is false where it has none, or several.
func markOf(body string) (m proposalMark, rest string, ok bool) {
	found := markLine.FindAllStringSubmatchIndex(body, 2)
	if len(found) != 1 {
		return m, body, false
	}
	at := found[0]
	err := json.Unmarshal([]byte(body[at[2]:at[3]]), &m)
	return m, body[:at[0]] + body[at[1]:], err == nil
}

// String writes the mark as it stands in a text. JSON writes < and > as escapes, so that no name can end it.
func (m proposalMark) String() string {
	text, _ := json.Marshal(m) // strings and numbers
	return "<!-- poundlock:promotion " + string(text) + " -->"
}

// textOf identifies title and body of a proposal, with what the mark says besides. Forges change the ends of lines and
// the space around a text.
func (m proposalMark) textOf(title, body string) mirror.Digest {
	lines := strings.Split(strings.ReplaceAll(body, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t")
	}
	said := strings.Join([]string{m.ID, m.Candidate.String(), m.By, strings.TrimSpace(title)}, "\n")
	return mirror.DigestOf([]byte(said + "\n\n" + strings.TrimSpace(strings.Join(lines, "\n"))))
}

// identity identifies what a proposal is about: the set, the stage and the named entries, at this site.
func (a ascent) identity(site string) string {
	about := fmt.Sprintf("%s\n%s\n%s\n%s", site, a.set.Name, a.stage, strings.Join(a.entries, "\n"))
	if a.newest {
		about += "\nnewest only"
	}
	if a.frozen != "" {
		about += "\nfrozen " + a.frozen
	}
	return mirror.DigestOf([]byte(about)).Hex[:16]
}

// wording gives title, text, labels and branch of a proposal.
func (l *Line) wording(a ascent) (w publish.Written, body string, err error) {
	w, err = l.config.Forge.Proposals.Words().Write(a.facts(l.config.Site))
	if err != nil {
		return w, "", fmt.Errorf("forge.proposals: %w", err)
	}
	w.Branch += "/" + a.branchEnd()
	rest := w.Body + "\n\n" + a.table()
	if a.reason != "" {
		rest += "\n" + plan.Escape(a.reason) + "\n"
	}
	if a.by != "" {
		rest += "\n" + requestedBy + ": " + plan.Escape(a.by) + "\n"
	}
	mark := proposalMark{ID: a.identity(l.config.Site), Candidate: a.candidate(), By: a.by, Set: a.set.Name, Stage: a.stage}
	mark.Text = mark.textOf(w.Title, rest)
	return w, rest + "\n" + mark.String() + "\n", nil
}

// table lists what is to change in the stage file.
func (a ascent) table() string {
	var b strings.Builder
	b.WriteString("| Entry | Before | After |\n|---|---|---|\n")
	for i, m := range a.moves {
		if i == maxMoveLines {
			fmt.Fprintf(&b, "\nand %d more\n", len(a.moves)-i)
			break
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", plan.Escape(m.Entry), versionCell(m.Old), versionCell(m.New))
	}
	return b.String()
}

func versionCell(r mirror.Reference) string {
	if r.IsZero() {
		return "–"
	}
	return "<code>" + plan.Escape(strings.TrimSpace(r.Tag+" "+mirror.Short(r.Digest))) + "</code>"
}

var (
	plainEntry  = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,59}$`)
	notInBranch = regexp.MustCompile(`[^A-Za-z0-9_-]+`)
)

// branchEnd tells the branches of one set and stage apart: all, the one entry, or something readable with a hash.
func (a ascent) branchEnd() string {
	switch {
	case a.frozen != "":
		return "freeze-" + strings.Trim(notInBranch.ReplaceAllString(a.frozen, "-"), "-")
	case len(a.entries) == 0 && a.newest:
		return "newest"
	case len(a.entries) == 0:
		return "all"
	case len(a.entries) == 1 && a.entries[0] != "all" && plainEntry.MatchString(a.entries[0]) && mirror.IsBranch(a.entries[0]):
		return a.entries[0]
	}
	words := strings.Trim(notInBranch.ReplaceAllString(a.selector(), "-"), "-")
	return strings.Trim(words[:min(len(words), 40)]+"-"+mirror.DigestOf([]byte(strings.Join(a.entries, "\n"))).Hex[:8], "-")
}

// numbered gives the branch of the n-th proposal of one identity.
func numbered(branch string, n int) string {
	if n == 1 {
		return branch
	}
	return fmt.Sprintf("%s-%d", branch, n)
}

// superseded gives the text of a proposal that says that another one took its place.
func superseded(p forge.Proposal, by int) (string, bool) {
	mark, _, ok := markOf(p.Body)
	if !ok {
		return "", false
	}
	mark.Superseded = by
	return markLine.ReplaceAllLiteralString(p.Body, mark.String()), true
}
