package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
)

func (a *app) resumeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "resume SET", Short: "Let a suspended set go on", Args: cobra.ExactArgs(1),
		Long: `Let a suspended set go on: its line is taken out of rendered/<site>/suspended.yaml by a commit, and a daemon looks at
the set at once. A set that is not suspended is left as it is.`,
		Example: "  poundlock resume ess\n  poundlock trigger ess --wait",
	}
	output := a.outputFlag(cmd, asTable, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set := args[0]
		var was daemon.Suspension
		var ok, runs bool
		err := a.control(cmd.Context(), "resume", func(c *daemon.Client) (err error) {
			runs = true
			was, ok, err = c.Resume(cmd.Context(), set, caller())
			return err
		}, func(l *daemon.Line) (err error) {
			was, ok, err = l.Resume(cmd.Context(), set, caller())
			return err
		})
		if err != nil {
			return err
		}
		if *output != asTable {
			d := suspensionDocument{Type: "suspension", Version: 1, Set: set}
			if ok {
				d.Suspension = &was
			}
			return document(a.out, *output, d)
		}
		text := fmt.Sprintf("set %s was not suspended", set)
		if ok {
			text = fmt.Sprintf("set %s goes on; it was %s.", set, was)
			if runs {
				text += " Next: " + a.again("trigger", set, "--wait")
			} else {
				text += " Next: " + a.again("sync", "--only", set)
			}
		}
		_, err = fmt.Fprintln(a.out, clean(text))
		return err
	}
	return cmd
}
