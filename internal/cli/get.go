package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

func (a *app) getCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get", Short: "List sets, entries, packages, stages, runs or promotions",
		Long: `List sets, entries, packages, stages, runs or promotions, from what was fetched and recorded last. No network is used unless
--refresh is given; whether what stands is still right upstream is for plan and verify to say.`,
		Example: "  poundlock get sets\n  poundlock get entries --only ess --stage production\n  poundlock get entries -o name | xargs -n1 poundlock trace",
	}
	cmd.AddCommand(a.getSetsCommand(), a.getEntriesCommand(), a.getPackagesCommand(), a.getStagesCommand(), a.getRunsCommand(), a.getPromotionsCommand())
	return cmd
}

// The documents of get, for programs.
type (
	setsDocument struct {
		Type    string           `json:"type"`
		Version int              `json:"version"`
		Commit  string           `json:"commit"` // of the fleet repository
		Sets    []daemon.SetLook `json:"sets"`
	}
	stagesDocument struct {
		Type    string             `json:"type"`
		Version int                `json:"version"`
		Commit  string             `json:"commit"`
		Stages  []daemon.StageLook `json:"stages"`
	}
	entriesDocument struct {
		Type    string             `json:"type"`
		Version int                `json:"version"`
		Commit  string             `json:"commit"`
		Entries []daemon.EntryLook `json:"entries"`
	}
	runsDocument struct {
		Type    string       `json:"type"`
		Version int          `json:"version"`
		Runs    []daemon.Run `json:"runs"`
	}
)

// looking are the flags of a command that lists.
type looking struct {
	refresh bool
	only    []string
	stage   string
}

// look opens the line for a command that only looks, and lets it go again.
func (a *app) look(ctx context.Context, l looking, use func(*daemon.Line) error) error {
	line, err := a.open(ctx, daemon.Options{Temporary: true, Offline: !l.refresh})
	if err != nil {
		return err
	}
	if err := line.Only(l.only...); err != nil {
		return closing(line, err)
	}
	return closing(line, use(line))
}

// lookAt gives use what a look finds, as far as the flags want it.
func (a *app) lookAt(ctx context.Context, l looking, use func(commit string, sets []daemon.SetLook) error) error {
	return a.look(ctx, l, func(line *daemon.Line) error {
		look, err := line.Look(ctx)
		if err != nil {
			return err
		}
		sets, err := l.sets(look)
		if err != nil {
			return err
		}
		return use(look.Commit, sets)
	})
}

func (l *looking) refreshFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&l.refresh, "refresh", false, "ask Git for the newest commit first")
}

func (l *looking) onlyFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&l.only, "only", nil, "set, or set/entry with globs, to look at; may be repeated")
}

func (l *looking) stageFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.stage, "stage", "", "only this stage")
}

// limitFlag gives a command -n, which is checked when its flags are read.
func limitFlag(cmd *cobra.Command, n *int, standard int) {
	cmd.Flags().IntVarP(n, "limit", "n", standard, "at most so many, the newest; 0 for all that are kept")
	mind(cmd, func() error {
		if *n < 0 {
			return misused(cmd, "", "--limit %d: want 0 or more", *n)
		}
		return nil
	})
}

// sets gives what a look found, as far as the flags want it. A stage that does not exist is an error.
func (l *looking) sets(look daemon.Look) ([]daemon.SetLook, error) {
	if l.stage == "" {
		return look.Sets, nil
	}
	var stages []string
	for _, s := range look.Sets {
		for _, stage := range s.Stages {
			stages = append(stages, string(stage.Stage))
		}
	}
	if !slices.Contains(stages, l.stage) {
		return nil, unknown("stage", l.stage, stages)
	}
	var sets []daemon.SetLook
	for _, s := range look.Sets {
		s.Stages = slices.DeleteFunc(s.Stages, func(at daemon.StageLook) bool { return string(at.Stage) != l.stage })
		for i := range s.Lines {
			s.Lines[i].Stages = slices.DeleteFunc(s.Lines[i].Stages, func(at daemon.Stand) bool { return string(at.Stage) != l.stage })
		}
		if len(s.Stages) > 0 {
			sets = append(sets, s)
		}
	}
	return sets, nil
}

// unknown is a name that is none, as every command tells it.
func unknown(kind, name string, known []string) error {
	return mirror.Problems{daemon.Unknown(kind, name, slices.Compact(slices.Sorted(slices.Values(known))))}
}

// pick keeps the things that are named; without names all of them. A name that is none is an error.
func pick[T any](kind string, all []T, names []string, is func(thing T, name string) bool, nameOf func(T) string) ([]T, error) {
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, thing := range all {
		if nameOf != nil { // else names that nobody can guess
			known = append(known, nameOf(thing))
		}
	}
	kept := []T{}
	for _, thing := range all {
		if slices.ContainsFunc(names, func(name string) bool { return is(thing, name) }) {
			kept = append(kept, thing)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(thing T) bool { return is(thing, name) }) {
			return nil, unknown(kind, name, known)
		}
	}
	return kept, nil
}

// list prints things in the format that was asked for.
func list[T any](a *app, output format, kind string, doc any, things []T, nameOf func(T) string, header []string, row func(T) [][]string) error {
	switch output {
	case asJSON, asYAML:
		return document(a.out, output, doc)
	case asName:
		var b strings.Builder
		for _, thing := range things {
			b.WriteString(clean(nameOf(thing)) + "\n")
		}
		_, err := io.WriteString(a.out, b.String())
		return err
	}
	if len(things) == 0 {
		fmt.Fprintf(a.talk, "no %s\n", kind)
		return nil
	}
	var rows [][]string
	for _, thing := range things {
		rows = append(rows, row(thing)...)
	}
	return a.table(header, rows)
}

// listed gives a command that lists the flags and formats that all of them share.
func (a *app) listed(cmd *cobra.Command, l *looking) *format {
	l.refreshFlag(cmd)
	return a.outputFlag(cmd, asTable, asWide, asJSON, asYAML, asName)
}
