package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

func (a *app) getSetsCommand() *cobra.Command {
	var l looking
	cmd := &cobra.Command{
		Use: "sets [SET...]", Aliases: []string{"set"}, Short: "List the sets: what they are read from, how far their stages are, their last run",
		Example: "  poundlock get sets\n  poundlock get sets ess -o yaml",
	}
	output := a.listed(cmd, &l)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return a.lookAt(cmd.Context(), l, func(commit string, sets []daemon.SetLook) error {
			name := func(s daemon.SetLook) string { return s.Set }
			sets, err := pick("set", sets, names, func(s daemon.SetLook, n string) bool { return s.Set == n }, name)
			if err != nil {
				return err
			}
			doc := setsDocument{"sets", 1, commit, sets}
			header := []string{"SET", "SOURCE", "ENTRIES", "STAGES", "STATE", "LAST RUN"}
			if *output == asWide {
				header = append(header, "LAYOUT", "ATOMIC", "WHERE")
			}
			return list(a, *output, "sets", doc, sets, name, header, func(s daemon.SetLook) [][]string {
				row := []string{s.Set, s.Source, fmt.Sprint(s.Entries), stageCounts(s.Stages), setState(s), lastRun(s.LastRun)}
				if *output == asWide {
					row = append(row, s.Layout, yesNo(s.Atomic), s.Where.String())
				}
				return [][]string{row}
			})
		})
	}
	return cmd
}

func stageCounts(stages []daemon.StageLook) string {
	var parts []string
	for _, s := range stages {
		parts = append(parts, fmt.Sprintf("%s %s", s.Stage, ready(s)))
	}
	return strings.Join(parts, ", ")
}

// ready says how many of what is wanted stand; "-" where nothing is asked for.
func ready(s daemon.StageLook) string {
	if s.Wanted == 0 && s.Standing == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", s.AsWanted, s.Wanted)
}

func setState(s daemon.SetLook) string {
	switch {
	case s.Suspended != nil:
		return "suspended: " + s.Suspended.Reason
	case s.LastRun == nil:
		return "no run yet"
	}
	return string(s.LastRun.Outcome)
}

func lastRun(r *daemon.Run) string {
	if r == nil {
		return ""
	}
	return age(time.Now(), r.Ended) + " ago"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (a *app) getStagesCommand() *cobra.Command {
	var l looking
	cmd := &cobra.Command{
		Use: "stages [STAGE...]", Aliases: []string{"stage"}, Short: "List the stages and frozen channels of every set: how much stands of what is wanted, and when it changed",
		Example: "  poundlock get stages\n  poundlock get stages production --only ess",
	}
	output := a.listed(cmd, &l)
	l.onlyFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return a.lookAt(cmd.Context(), l, func(commit string, sets []daemon.SetLook) error {
			stages := []daemon.StageLook{}
			for _, s := range sets {
				stages = append(stages, s.Stages...)
				for _, f := range s.Frozen {
					stages = append(stages, daemon.StageLook{Set: s.Set, Stage: mirror.Stage(f.Name), Frozen: f.From, Wanted: f.Packages, AsWanted: f.Packages, Standing: f.Packages})
				}
			}
			name := func(s daemon.StageLook) string { return s.Set + "/" + string(s.Stage) }
			stages, err := pick("stage", stages, names, func(s daemon.StageLook, n string) bool { return string(s.Stage) == n || name(s) == n },
				func(s daemon.StageLook) string { return string(s.Stage) })
			if err != nil {
				return err
			}
			doc := stagesDocument{"stages", 1, commit, stages}
			header := []string{"SET", "STAGE", "STANDING", "MOVES", "CHANGED", "COMMIT"}
			return list(a, *output, "stages", doc, stages, name, header, func(s daemon.StageLook) [][]string {
				moves, changed := "one by one", age(time.Now(), s.Changed)
				switch {
				case s.Frozen != "":
					moves, changed = "never: frozen from "+string(s.Frozen), ""
				case s.Atomic:
					moves = "together"
				}
				if *output == asWide && !s.Changed.IsZero() {
					changed = s.Changed.UTC().Format(time.RFC3339)
				}
				return [][]string{{s.Set, string(s.Stage), ready(s), moves, changed, short(s.Commit, *output)}}
			})
		})
	}
	return cmd
}

// short gives the first digits of a commit, all of them in a wide table.
func short(commit string, output format) string {
	if output == asWide {
		return commit
	}
	return commit[:min(len(commit), 12)]
}
