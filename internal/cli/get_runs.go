package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/sync/plan"
)

func (a *app) getRunsCommand() *cobra.Command {
	var l looking
	var limit int
	cmd := &cobra.Command{
		Use: "runs [ID...]", Aliases: []string{"run"}, Short: "List the last runs: what woke them and what came of them",
		Example: "  poundlock get runs\n  poundlock get runs --only ess --limit 3 -o json",
	}
	output := a.listed(cmd, &l)
	l.onlyFlag(cmd)
	limitFlag(cmd, &limit, 20)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return a.look(cmd.Context(), l, func(line *daemon.Line) error {
			n := limit
			if len(names) > 0 {
				n = 0
			}
			runs, err := runsOf(cmd.Context(), line, n)
			if err != nil {
				return err
			}
			name := func(r daemon.Run) string { return r.ID }
			if runs, err = pick("run", runs, names, func(r daemon.Run, n string) bool { return r.ID == n }, nil); err != nil {
				return err
			}
			doc := runsDocument{"runs", 1, runs}
			header := []string{"RUN", "SET", "WHY", "OUTCOME", "BEGAN", "TOOK", "CAME OF IT"}
			if *output == asWide {
				header = append(header, "COMMIT")
			}
			return list(a, *output, "runs", doc, runs, name, header, func(r daemon.Run) [][]string {
				began := age(time.Now(), r.Began) + " ago"
				if *output == asWide {
					began = r.Began.UTC().Format(time.RFC3339)
				}
				row := []string{r.ID, r.Set, r.Why, string(r.Outcome), began, r.Ended.Sub(r.Began).Round(10 * time.Millisecond).String(), cameOf(r)}
				if *output == asWide {
					row = append(row, r.Commit)
				}
				return [][]string{row}
			})
		})
	}
	return cmd
}

// runsOf gives the last n runs of the sets that are asked for, newest first. Sets that left the fleet have runs,
// too; a set of which there is neither is an error.
func runsOf(ctx context.Context, line *daemon.Line, n int) ([]daemon.Run, error) {
	runs, err := line.Runs("", 0)
	if err != nil {
		return nil, err
	}
	for _, set := range line.Selected() {
		if !slices.ContainsFunc(runs, func(r daemon.Run) bool { return r.Set == set }) {
			if _, err := line.Look(ctx); err != nil {
				return nil, err
			}
		}
	}
	if sets := line.Selected(); len(sets) > 0 {
		runs = slices.DeleteFunc(runs, func(r daemon.Run) bool { return !slices.Contains(sets, r.Set) })
	}
	if n > 0 && len(runs) > n {
		runs = runs[:n]
	}
	return runs, nil
}

// cameOf counts what a run did and left.
func cameOf(r daemon.Run) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{r.Moved, "moved"}, {r.ToFetch, "to fetch"}, {r.ToCopy, "to copy"}, {r.Refused, "refused"}, {r.Missing, "missing"}, {r.Failed, "failed"}, {r.Unchanged, "unchanged"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if r.Bytes > 0 {
		parts = append(parts, plan.Bytes(r.Bytes))
	}
	if r.Problem != nil {
		parts = append(parts, r.Problem.What)
	}
	return strings.Join(parts, ", ")
}
