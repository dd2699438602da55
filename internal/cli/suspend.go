package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
)

// suspensionDocument is what suspend and resume did, for programs.
type suspensionDocument struct {
	Type       string             `json:"type"`
	Version    int                `json:"version"`
	Set        string             `json:"set"`
	Suspended  bool               `json:"suspended"`            // now
	Suspension *daemon.Suspension `json:"suspension,omitempty"` // the one that is, or that ended
}

func (a *app) suspendCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "suspend SET --reason TEXT", Short: "Pause a set until it is resumed", Args: cobra.ExactArgs(1),
		Long: `Pause a set: nothing of it is copied, tagged, rendered or committed until it is resumed. What stands stays. Copies on
their way are broken off, and go on where they were after the resume; tags of the batch that is just being written
still move, and what moved is recorded.

The suspension is a commit to rendered/<site>/suspended.yaml in the fleet repository, so that it outlives the state
directory. That file may be edited by hand, too. The command works with and without a daemon.`,
		Example: "  poundlock suspend ess --reason \"vendor ships broken images, ticket 4711\"\n  poundlock status\n  poundlock resume ess",
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who find the set suspended")
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if strings.TrimSpace(reason) == "" {
			return misused(cmd, "", "a suspension needs a reason: --reason \"...\"")
		}
		set := args[0]
		var s daemon.Suspension
		err := a.control(cmd.Context(), "suspend", func(c *daemon.Client) (err error) {
			s, err = c.Suspend(cmd.Context(), set, reason, caller())
			return err
		}, func(l *daemon.Line) (err error) {
			s, err = l.Suspend(cmd.Context(), set, reason, caller())
			return err
		})
		if err != nil {
			return err
		}
		if *output != asText {
			return document(a.out, *output, suspensionDocument{"suspension", 1, set, true, &s})
		}
		return a.print(fmt.Sprintf("set %s is suspended; what stands stays. Next: %s\n", clean(set), a.again("resume", set)))
	}
	return cmd
}

// control does something by the daemon, or itself where none runs.
func (a *app) control(ctx context.Context, command string, there func(*daemon.Client) error, here func(*daemon.Line) error) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	return a.ask(ctx, c, daemon.Options{Command: command}, there, here)
}

// ask turns to the daemon, or to a line that is opened for it where none runs. The command says itself what it
// did, so that the log tells only what went wrong.
func (a *app) ask(ctx context.Context, c config.Config, o daemon.Options, there func(*daemon.Client) error, here func(*daemon.Line) error) error {
	client, err := daemon.Dial(c)
	if err == nil {
		return there(client)
	}
	if !errors.Is(err, daemon.ErrNoDaemon) {
		return err
	}
	a.verbose(slog.LevelError)
	line, err := a.openConfig(ctx, c, o)
	if err != nil {
		return err
	}
	return closing(line, here(line))
}
