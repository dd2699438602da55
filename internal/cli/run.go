package cli

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run as a daemon: follow Git, the schedule and audits", Args: cobra.NoArgs,
		Example: "  poundlock -c config.yaml run",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.verbose(slog.LevelInfo)
			line, err := a.open(cmd.Context(), daemon.Options{})
			if err != nil {
				return err
			}
			return closing(line, line.Run(cmd.Context()))
		},
	}
}
