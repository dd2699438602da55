package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

func (a *app) syncCommand() *cobra.Command {
	var only []string
	cmd := &cobra.Command{
		Use: "sync", Short: "Run the line once, until every set is at rest", Args: cobra.NoArgs,
		Example: "  poundlock -c config.yaml sync\n  poundlock -c config.yaml sync --only ess",
		RunE: func(cmd *cobra.Command, _ []string) error {
			line, err := a.open(cmd.Context(), daemon.Options{Arrived: a.arrived})
			if err != nil {
				return err
			}
			reports, err := line.Sync(cmd.Context(), daemon.Wake{Why: "sync", Only: only, Resolve: true, Audit: true})
			if printErr := a.printReports(reports); err == nil {
				err = printErr
			}
			if err = closing(line, err); err != nil {
				return err
			}
			return exitCode(codeOfReports(reports))
		},
	}
	cmd.Flags().StringSliceVar(&only, "only", nil, "sets to look at")
	return cmd
}

// arrived is a line of progress for each copy that ended.
func (a *app) arrived(d mirror.Done) {
	if d.Err != nil {
		fmt.Fprintf(a.talk, "  %-10s %s  failed: %v\n", d.Action.Stage, d.Action.Image, d.Err)
		return
	}
	size := "all here already"
	if d.Bytes > 0 {
		size = fmt.Sprintf("%d bytes", d.Bytes)
	}
	fmt.Fprintf(a.talk, "  %-10s %s  %s, %s\n", d.Action.Stage, d.Action.Image, size, d.Verdict.Basis())
}

// printReports shows where each set came to rest.
func (a *app) printReports(reports []daemon.Report) error {
	plans := make([]mirror.Plan, len(reports))
	for i, r := range reports {
		plans[i] = r.Plan
		moved := 0
		for _, d := range r.Moved {
			if d.Action.Old != d.Action.New {
				moved++
			}
		}
		if len(r.Moved) > 0 {
			fmt.Fprintf(a.talk, "set %s: %d tags moved, %d recorded as they were, %d bytes copied\n", r.Set, moved, len(r.Moved)-moved, r.Bytes)
		}
		if r.Commit != "" {
			fmt.Fprintf(a.talk, "set %s: commit %s\n", r.Set, r.Commit)
		}
	}
	if len(plans) == 0 {
		return nil
	}
	return plan.Table(a.out, plans...)
}
