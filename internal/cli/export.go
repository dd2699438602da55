package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

func (a *app) exportCommand() *cobra.Command {
	var l looking
	cmd := &cobra.Command{
		Use: "export SET STAGE|FROZEN DIR", Short: "Write the packages of a channel into a folder, for a package registry of Elastic", Args: cobra.ExactArgs(3),
		Long: `Write the packages that the channel of a stage, or a frozen channel, holds into DIR/STAGE, each zip with its signature beside it: signature
first, and no file has its name before it is whole. What stands is read from the record in Git, the bytes from the local
registry. The folder becomes just that: what Poundlock wrote there before and the channel does not hold goes; files of
others stay and are named. A package without signature is left out, since the server would not start.

packages.export of config.yaml keeps such folders all the time.`,
		Example: "  poundlock export elastic production /srv/packages",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l.refresh = true // the registry is asked in any case
		return a.look(cmd.Context(), l, func(line *daemon.Line) error {
			r, err := line.ExportOnce(cmd.Context(), args[0], mirror.Stage(args[1]), args[2])
			if len(r.LeftOut) > 0 {
				a.sayf("left out, without signature: %s\n", clean(strings.Join(r.LeftOut, ", ")))
			}
			if len(r.Foreign) > 0 {
				a.sayf("not ours, left as they are: %s\n", clean(strings.Join(r.Foreign, ", ")))
			}
			if len(r.Kept) > 0 {
				a.sayf("kept until a higher folder has them: %s\n", clean(strings.Join(r.Kept, ", ")))
			}
			if err != nil {
				return err
			}
			return a.print(fmt.Sprintf("%d packages written, %d removed\n", r.Added, r.Removed))
		})
	}
	return cmd
}
