package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

func (a *app) demoMergeCommand() *cobra.Command {
	method := "merge"
	cmd := &cobra.Command{
		Use: "merge NUMBER", Short: "Merge a proposal at the forge of a demo that runs, as its reviewer", Args: cobra.ExactArgs(1),
		Long: `Merges a proposal of a demo that runs, as the person would who reviews there. It knows the demo by its configuration
file, and works with no other forge than that of a demo.`,
		Example: "  poundlock -c demo/config.yaml demo merge 1\n  poundlock -c demo/config.yaml demo merge 2 --method squash\n  POUNDLOCK_CONFIG=demo/config.yaml poundlock demo merge 1",
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 {
				return usageError{fmt.Sprintf("%q is not the number of a proposal", args[0]), "as in `poundlock demo merge 1`"}
			}
			return a.demoMerge(cmd.Context(), n, method)
		},
	}
	cmd.Flags().StringVar(&method, "method", method, "merge, squash or rebase")
	return cmd
}

func (a *app) demoMerge(ctx context.Context, number int, method string) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	token, err := testenv.PersonAt(filepath.Dir(a.config))
	if err != nil {
		return err
	}
	at := testenv.GiteaAt(c.Forge.URL, testenv.WorldPerson, token)
	open, err := at.IsOpen(ctx, number)
	if err != nil {
		return fmt.Errorf("look for proposal %d: %w", number, err)
	}
	if !open {
		return mirror.Problems{{Code: "DEM001", What: fmt.Sprintf("no proposal %d is open at the forge of the demo", number),
			Why: "it was never opened, or it is merged or closed already", Fix: "`poundlock get promotions` lists those that are open"}}
	}
	commit, err := at.Merge(ctx, number, testenv.WorldPerson, method)
	if err != nil {
		return fmt.Errorf("merge proposal %d: %w", number, err)
	}
	_, err = fmt.Fprintf(a.out, "merged %s as %s\n", short(commit, asTable), testenv.WorldPerson)
	return err
}
