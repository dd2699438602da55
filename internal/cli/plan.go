package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/sync/plan"
)

func (a *app) planCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what a sync would do, and why; changes nothing", Args: cobra.NoArgs,
		Example: "  poundlock -c config.yaml plan\n  poundlock -c config.yaml plan -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			line, err := a.open(cmd.Context(), daemon.Options{Temporary: true})
			if err != nil {
				return err
			}
			plans, err := line.Plan(cmd.Context(), daemon.Wake{Why: "plan", Resolve: true, Audit: true})
			if err = closing(line, err); err != nil {
				return err
			}
			switch output {
			case "json":
				return plan.JSON(a.out, plans...)
			case "table":
				return plan.Table(a.out, plans...)
			}
			return fmt.Errorf("--output %q: want table or json", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}
