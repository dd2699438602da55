package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
)

// acknowledgementDocument is what acknowledge did, for programs.
type acknowledgementDocument struct {
	Type    string `json:"type"`
	Version int    `json:"version"`
	daemon.Acknowledged
}

func (a *app) acknowledgeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "acknowledge [COMMIT]", Short: "Accept a rewritten history of the fleet repository", Args: cobra.MaximumNArgs(1),
		Long: `Accept a rewritten history of the fleet repository, where trust.fleet asks for signed commits. A head that does not
descend from the commit that was accepted last may take back what was decided, so nothing moves above the first stage
until somebody looked at it and acknowledged it.

COMMIT must be the head of the branch: its id or the beginning of it. Without COMMIT the head is taken as it is. A head
whose commits are not signed as they must be is not accepted by this. The command works with and without a daemon.`,
		Example: "  poundlock status\n  poundlock acknowledge 3f1c9d7e0b5a",
	}
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		commit := ""
		if len(args) > 0 {
			commit = args[0]
		}
		var done daemon.Acknowledged
		err := a.control(cmd.Context(), "acknowledge", func(c *daemon.Client) (err error) {
			done, err = c.Acknowledge(cmd.Context(), commit, caller())
			return err
		}, func(l *daemon.Line) (err error) {
			done, err = l.Acknowledge(cmd.Context(), commit, caller())
			return err
		})
		if err != nil {
			return err
		}
		if *output != asText {
			return document(a.out, *output, acknowledgementDocument{"acknowledgement", 1, done})
		}
		text := fmt.Sprintf("%s is accepted in place of %s; all stages go on", done.Commit, done.Was)
		if !done.Needed {
			text = fmt.Sprintf("nothing waited for it: %s descends from what was accepted before", done.Commit)
		}
		return a.print(clean(text) + "\n")
	}
	return cmd
}
