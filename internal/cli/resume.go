package cli

import (
	"fmt"
	"slices"

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
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set := args[0]
		var was daemon.Suspension
		var ok, runs, stray bool
		err := a.control(cmd.Context(), "resume", func(c *daemon.Client) (err error) {
			runs = true
			if was, ok, err = c.Resume(cmd.Context(), set, caller()); err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			stray = err == nil && !slices.ContainsFunc(s.Sets, func(one daemon.SetStatus) bool { return one.Set == set })
			return nil // it only chooses the words
		}, func(l *daemon.Line) (err error) {
			was, ok, err = l.Resume(cmd.Context(), set, caller())
			stray = !slices.Contains(l.AskedSets(), set)
			return err
		})
		if err != nil {
			return err
		}
		if *output != asText {
			d := suspensionDocument{Type: "suspension", Version: 1, Set: set}
			if ok {
				d.Suspension = &was
			}
			return document(a.out, *output, d)
		}
		text := fmt.Sprintf("set %s was not suspended", set)
		switch {
		case ok && stray:
			text = fmt.Sprintf("%s is suspended no more; there is no set of that name", set)
		case ok && runs:
			text = fmt.Sprintf("set %s goes on; it was %s. Next: %s", set, was, a.again("trigger", set, "--wait"))
		case ok:
			text = fmt.Sprintf("set %s goes on; it was %s. Next: %s", set, was, a.again("sync", "--only", set))
		}
		return a.print(clean(text) + "\n")
	}
	return cmd
}
