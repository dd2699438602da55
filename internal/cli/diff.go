package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

// diffDocument is what differs between two stages, for programs.
type diffDocument struct {
	Type    string     `json:"type"`
	Version int        `json:"version"`
	Commit  string     `json:"commit"` // of the fleet repository
	From    string     `json:"from"`
	To      string     `json:"to"`
	Entries []diffLine `json:"entries"`
	Same    int        `json:"same"` // entries that stand alike at both
}

// diffLine is an entry that does not stand alike at two stages.
type diffLine struct {
	Set   string           `json:"set"`
	Entry string           `json:"entry"`
	From  mirror.Reference `json:"from,omitzero"` // zero: stands there not at all
	To    mirror.Reference `json:"to,omitzero"`
}

func (a *app) diffCommand() *cobra.Command {
	var l looking
	var exit bool
	cmd := &cobra.Command{
		Use: "diff STAGE STAGE", Short: "Show what differs between two stages", Args: cobra.ExactArgs(2),
		Long: `Show what differs between what stands at two stages: what a promotion from the first to the second would change, where
the first is the lower one. No network is used unless --refresh is given.

With --detailed-exitcode the command ends with 2 where something differs.`,
		Example: "  poundlock diff snapshot staging\n  poundlock diff staging production --only ess -o json\n  poundlock diff staging production --detailed-exitcode",
	}
	l.refreshFlag(cmd)
	l.onlyFlag(cmd)
	cmd.Flags().BoolVar(&exit, "detailed-exitcode", false, "end with 2 where something differs")
	output := a.outputFlag(cmd, asTable, asWide, asJSON, asYAML, asName)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.lookAt(cmd.Context(), l, func(commit string, sets []daemon.SetLook) error {
			for _, stage := range args {
				if err := (&looking{stage: stage}).known(sets); err != nil {
					return err
				}
			}
			d := diffOf(sets, mirror.Stage(args[0]), mirror.Stage(args[1]))
			d.Commit = commit
			if err := a.printDiff(d, *output); err != nil {
				return err
			}
			if exit && len(d.Entries) > 0 {
				return exitCode(exitChanges)
			}
			return nil
		})
	}
	return cmd
}

// known refuses a stage that no set has.
func (l *looking) known(sets []daemon.SetLook) error {
	_, err := l.sets(daemon.Look{Sets: cloneLooks(sets)})
	return err
}

// cloneLooks copies looks as far as choosing a stage changes them.
func cloneLooks(sets []daemon.SetLook) []daemon.SetLook {
	all := make([]daemon.SetLook, len(sets))
	for i, s := range sets {
		s.Stages, s.Lines = append([]daemon.StageLook(nil), s.Stages...), nil
		all[i] = s
	}
	return all
}

func diffOf(sets []daemon.SetLook, from, to mirror.Stage) diffDocument {
	d := diffDocument{Type: "diff", Version: 1, From: string(from), To: string(to), Entries: []diffLine{}}
	for _, set := range sets {
		for _, e := range set.Lines {
			line := diffLine{Set: e.Set, Entry: e.Entry}
			for _, s := range e.Stages {
				switch s.Stage {
				case from:
					line.From = s.Image
				case to:
					line.To = s.Image
				}
			}
			switch {
			case line.From != line.To:
				d.Entries = append(d.Entries, line)
			case !line.From.IsZero():
				d.Same++
			}
		}
	}
	return d
}

func (a *app) printDiff(d diffDocument, output format) error {
	name := func(l diffLine) string { return l.Set + "/" + l.Entry }
	if output == asTable || output == asWide {
		if len(d.Entries) == 0 {
			return a.print(fmt.Sprintf("%s and %s are alike: %d entries\n", clean(d.From), clean(d.To), d.Same))
		}
		defer fmt.Fprintf(a.talk, "%d differ, %d alike\n", len(d.Entries), d.Same)
	}
	return list(a, output, "differences", d, d.Entries, name, []string{"", "SET", "ENTRY", strings.ToUpper(d.From), strings.ToUpper(d.To)}, func(l diffLine) [][]string {
		sign := "~"
		switch {
		case l.To.IsZero():
			sign = "+" // the promotion would bring it
		case l.From.IsZero():
			sign = "-"
		}
		return [][]string{{sign, l.Set, l.Entry, standing(l.From, output), standing(l.To, output)}}
	})
}

// standing shows what stands at a stage in short.
func standing(image mirror.Reference, output format) string {
	switch {
	case image.IsZero():
		return "-"
	case output == asWide:
		return image.String()
	}
	return strings.TrimSpace(image.Tag + " " + mirror.Short(image.Digest))
}
