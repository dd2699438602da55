package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/internal/mirror"
)

func (a *app) freezeCommand() *cobra.Command {
	var flags promoteFlags
	cmd := &cobra.Command{
		Use: "freeze SET STAGE as NAME", Short: "Keep what a channel of packages holds now under a name of its own",
		Long: `Keep what a channel of packages holds now, at the stage and above it, under a name of its own, such as the version of the
Elastic Stack that it was made for: stages/SET/frozen/NAME.yaml lists it, by a proposal that people merge (--pr) or by a
commit (--direct). From then on it is served and rendered as a channel of that name. It never changes: a file that lists
anything else than it did is refused, and what is served stays.`,
		Example: "  poundlock freeze elastic production as 9.3.0\n  poundlock freeze elastic production as production-7.9 --direct",
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) != 4 || args[2] != "as" {
			return errors.New("want the word as before the name, such as: elastic production as 9.3.0") // usage is added to it
		}
		return nil
	}
	flags.ways(cmd)
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o := flags.order(args[0])
		o.Stage, o.Freeze = mirror.Stage(args[1]), args[3]
		return a.promote(cmd.Context(), o, "freeze", *output)
	}
	return cmd
}
