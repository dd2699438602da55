package cli

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

func (a *app) getEntriesCommand() *cobra.Command {
	var l looking
	cmd := &cobra.Command{
		Use: "entries [ENTRY...]", Aliases: []string{"entry"}, Short: "List the entries: which content stands at which stages, on which basis, and what is in the way",
		Long: `List the entries. An entry has a line for each content that stands for it somewhere, and one for what is
wanted and stands nowhere. An entry is named in full, as set/entry, or by its last part.`,
		Example: "  poundlock get entries\n  poundlock get entries synapse -o wide\n  poundlock get entries --only ess --stage production -o json",
	}
	output := a.listed(cmd, &l)
	l.onlyFlag(cmd)
	l.stageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return a.lookAt(cmd.Context(), l, func(commit string, sets []daemon.SetLook) error {
			entries := []daemon.EntryLook{}
			for _, s := range sets {
				entries = append(entries, slices.DeleteFunc(s.Lines, func(e daemon.EntryLook) bool { return len(e.Stages) == 0 })...)
			}
			name := func(e daemon.EntryLook) string { return e.Set + "/" + e.Entry }
			entries, err := pick("entry", entries, names, isEntry, func(e daemon.EntryLook) string { return e.Entry })
			if err != nil {
				return err
			}
			doc := entriesDocument{"entries", 1, commit, entries}
			header := []string{"SET", "ENTRY", "TAG", "DIGEST", "STANDS AT", "BASIS", "SINCE"}
			if *output == asWide {
				header = append(header, "WHERE")
			}
			return list(a, *output, "entries", doc, entries, name, header, func(e daemon.EntryLook) [][]string { return entryRows(e, *output) })
		})
	}
	return cmd
}

func isEntry(e daemon.EntryLook, name string) bool {
	return name == e.Entry || name == e.Set+"/"+e.Entry || name == path.Base(e.Entry)
}

// entryRows gives a row for each content of an entry: the stages at which it stands, and what is wanted and
// stands nowhere with what is in its way.
func entryRows(e daemon.EntryLook, output format) [][]string {
	var rows [][]string
	at := map[string]int{} // the row of an image
	row := func(image mirror.Reference, stage, basis string, since time.Time) {
		key := image.String() + " " + basis
		if stage != "" {
			key = image.String()
		}
		if i, ok := at[key]; ok {
			if stage != "" {
				rows[i][4] += "," + stage
			}
			return
		}
		at[key] = len(rows)
		digest, when := mirror.Short(image.Digest), age(time.Now(), since)
		if output == asWide {
			if digest = ""; image.HasDigest() {
				digest = image.Digest.String()
			}
			if when = ""; !since.IsZero() {
				when = since.UTC().Format(time.RFC3339)
			}
		}
		if stage == "" {
			stage = "-"
		}
		cells := []string{e.Set, e.Entry, image.Tag, digest, stage, basis, when}
		if output == asWide {
			cells = append(cells, e.Where.String())
		}
		rows = append(rows, cells)
	}
	for _, s := range e.Stages {
		if !s.Image.IsZero() {
			row(s.Image, string(s.Stage), basesOf(e, s.Image), s.Since)
		}
	}
	for _, s := range e.Stages {
		if r := s.Remark; r != nil && !r.Stands { // one that stands in spite of policy is in trouble, which follows
			row(s.Image, "", remarkText(*r), time.Time{})
		}
	}
	for _, s := range e.Stages {
		switch {
		case s.Waits != nil:
			why := s.Waits.Reason
			if output != asWide {
				why = string(s.Waits.Code)
			}
			row(s.Wanted, "", fmt.Sprintf("~ waits at %s: %s", s.Stage, why), s.Waits.Since)
		case s.Trouble != nil:
			image := s.Wanted
			if s.Trouble.Image.HasDigest() {
				image = s.Trouble.Image
			}
			why := s.Trouble.Reason // trace tells it in full, as a wide table does
			if s.Trouble.Code != "" && output != asWide {
				why = string(s.Trouble.Code)
			}
			row(image, "", fmt.Sprintf("%s %s at %s: %s", symbol(s.Trouble.Type), s.Trouble.Type, s.Stage, why), s.Trouble.At)
		case s.State == daemon.Absent || s.State == daemon.Behind:
			row(s.Wanted, "", fmt.Sprintf("wanted at %s", s.Stage), time.Time{})
		}
	}
	return rows
}

// basesOf gives what content stands on: at each stage for itself where that differs.
func basesOf(e daemon.EntryLook, image mirror.Reference) string {
	var bases []string
	at := map[string][]string{}
	for _, s := range e.Stages {
		if s.Image != image {
			continue
		}
		if at[s.Basis] == nil {
			bases = append(bases, s.Basis)
		}
		at[s.Basis] = append(at[s.Basis], string(s.Stage))
	}
	if len(bases) == 1 {
		return bases[0]
	}
	var parts []string
	for _, basis := range bases {
		parts = append(parts, strings.Join(at[basis], ",")+": "+cmp.Or(basis, "not known"))
	}
	return strings.Join(parts, "; ")
}

// remarkText says what admits an entry in spite of the rules, or what policy warns of.
func remarkText(r daemon.Remark) string {
	text := fmt.Sprintf("* %s at %s: %s", r.Outcome, r.Stage, r.Reason)
	for _, warning := range r.Warnings {
		text += "; warning: " + warning
	}
	return text
}

// symbol is that of a plan's row, so that colour is never needed to tell what is wrong.
func symbol(t daemon.EventType) string {
	switch t {
	case daemon.EventRefused:
		return "!"
	case daemon.EventMissing:
		return "?"
	}
	return "x"
}
