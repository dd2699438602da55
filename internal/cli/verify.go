package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

func (a *app) verifyCommand() *cobra.Command {
	var stage string
	var output *format
	cmd := &cobra.Command{
		Use: "verify <reference>", Short: "Say what policy says of an image", Args: cobra.ExactArgs(1),
		Example: "  poundlock -c config.yaml verify docker.io/library/haproxy:2.8-alpine --stage production",
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := mirror.ParseReference(args[0])
			if err != nil {
				return err
			}
			line, err := a.open(cmd.Context(), daemon.Options{Temporary: true})
			if err != nil {
				return err
			}
			image, verdict, err := line.Verify(cmd.Context(), ref, mirror.Stage(stage))
			if closeErr := line.Close(context.WithoutCancel(cmd.Context())); err == nil {
				err = closeErr
			}
			if verdict.Outcome == "" {
				return err
			}
			if *output == asJSON {
				if err := document(a.out, asJSON, verdictDocument{"verdict", 1, image, verdict}); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(a.out, "%s\n  %s: %s\n", image, verdict.Outcome, verdict.Reason)
				if verdict.VouchedBy != "" {
					fmt.Fprintf(a.out, "  named in desired/ at commit %s\n", verdict.VouchedBy)
				}
			}
			if verdict.Outcome == mirror.OutcomeRejected {
				return exitCode(exitRefused)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&stage, "stage", "", "stage whose rules apply (default: the first)")
	output = a.outputFlag(cmd, asText, asJSON)
	return cmd
}

// verdictDocument is what policy says of an image, for programs.
type verdictDocument struct {
	Type    string           `json:"type"`
	Version int              `json:"version"`
	Image   mirror.Reference `json:"image"` // with its digest
	Verdict mirror.Verdict   `json:"verdict"`
}
