package cli

import "github.com/spf13/cobra"

func (a *app) rollbackCommand() *cobra.Command {
	var flags promoteFlags
	var to, reason string
	cmd := &cobra.Command{
		Use: "rollback SET [ENTRY...] --stage STAGE", Short: "Ask for a stage to carry what it carried before", Args: cobra.MinimumNArgs(1),
		Long: `Ask for a stage to carry what its stage file listed before it was changed last, or at a commit (--to): by a proposal
(--pr) or by a commit (--direct). With entries only those go back, else the whole set. A plain git revert does the same.

What stood at the stage before needs no soak, no window and no stage below; what policy denies or cannot vouch for any
more stays refused. What was rolled back is held: automation leaves it alone until ` + "`poundlock release`" + `.`,
		Example: "  poundlock rollback ess --stage production\n  poundlock rollback ess --stage production --to 3f2a91c --pr --reason \"login broken\"\n  poundlock rollback tools --stage staging --direct -o json",
	}
	flags.bind(cmd, "stage", "the stage that goes back")
	cmd.Flags().StringVar(&to, "to", "", "a commit of the fleet repository whose stage file comes back")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who review it")
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o := flags.order(args[0])
		o.Back, o.Commit, o.Reason = true, to, reason
		o.Entries = entriesOf(args)
		return a.promote(cmd.Context(), o, "rollback", *output)
	}
	return cmd
}
