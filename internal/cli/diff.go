package cli

import (
	"fmt"
	"maps"
	"slices"
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
the first is the lower one. No network is used unless --refresh is given. A frozen channel of packages is named like a
stage; what it is compared with is the channel of the stage then: what stands there and above.

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
				if err := knownChannel(sets, stage); err != nil {
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

func diffOf(sets []daemon.SetLook, from, to mirror.Stage) diffDocument {
	d := diffDocument{Type: "diff", Version: 1, From: string(from), To: string(to), Entries: []diffLine{}}
	for _, set := range sets {
		if frozenIn(set, d.From) || frozenIn(set, d.To) {
			d.channels(set)
			continue
		}
		if isFrozen(sets, d.From) || isFrozen(sets, d.To) {
			continue // another set's channel
		}
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

// channels adds what differs between two channels of a set of which one is frozen: that of a stage has what stands at it and
// above, as the frozen one has.
func (d *diffDocument) channels(set daemon.SetLook) {
	lines := map[string]*diffLine{}
	for _, name := range []string{d.From, d.To} {
		for _, p := range channelLines(set, name, false) {
			entry := p.Name + "-" + p.Version
			if lines[entry] == nil {
				lines[entry] = &diffLine{Set: set.Set, Entry: entry}
			}
			if name == d.From {
				lines[entry].From = p.Image
			}
			if name == d.To {
				lines[entry].To = p.Image
			}
		}
	}
	for _, entry := range slices.Sorted(maps.Keys(lines)) {
		if line := lines[entry]; line.From != line.To {
			d.Entries = append(d.Entries, *line)
		} else {
			d.Same++
		}
	}
}

func isFrozen(sets []daemon.SetLook, name string) bool {
	return slices.ContainsFunc(sets, func(s daemon.SetLook) bool { return frozenIn(s, name) })
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
