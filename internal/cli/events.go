package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// eventsDocument is what events lists, for programs.
type eventsDocument struct {
	Type    string         `json:"type"`
	Version int            `json:"version"`
	Events  []daemon.Event `json:"events"`
}

func (a *app) eventsCommand() *cobra.Command {
	var follow bool
	var since time.Duration
	var kind string
	filter := daemon.Filter{}
	cmd := &cobra.Command{
		Use: "events", Short: "Show what happened: copies, moved tags, commits, refusals, suspensions", Args: cobra.NoArgs,
		Long: `Show what happened, oldest first. The last 5,000 events are kept in the state directory; without a daemon they are
read from there.

With --follow events are shown as they happen, until Ctrl-C or the end of the daemon. -o json gives one document;
with --follow it gives one object a line.`,
		Example: "  poundlock events\n  poundlock events --follow --only ess\n  poundlock events --since 1h --type refused -o json",
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as things happen")
	cmd.Flags().StringVar(&filter.Set, "only", "", "only of this set")
	cmd.Flags().StringVar(&kind, "type", "", "only of this type: "+strings.Join(eventTypes(), ", "))
	cmd.Flags().DurationVar(&since, "since", 0, "only of the time since, such as 1h")
	limitFlag(cmd, &filter.N, 50)
	_ = cmd.RegisterFlagCompletionFunc("type", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return eventTypes(), cobra.ShellCompDirectiveNoFileComp
	}) // fails only for a flag that is not there
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if kind != "" && !slices.Contains(eventTypes(), kind) {
			near := mirror.Nearest(kind, eventTypes())
			return misused(cmd, near, "--type %q: want one of %s", kind, strings.Join(eventTypes(), ", "))
		}
		if since < 0 {
			return misused(cmd, "", "--since %s: want a duration that is not negative", since)
		}
		if follow && *output == asYAML {
			return misused(cmd, "", "--follow shows text or json")
		}
		if filter.Type = daemon.EventType(kind); since > 0 {
			filter.Since = time.Now().Add(-since)
		}
		c, err := a.load()
		if err != nil {
			return err
		}
		if follow {
			return a.followEvents(cmd.Context(), c, filter, *output)
		}
		events, err := a.events(cmd.Context(), c, filter)
		if err != nil {
			return err
		}
		if *output != asText {
			return document(a.out, *output, eventsDocument{"events", 1, events})
		}
		if len(events) == 0 {
			fmt.Fprintln(a.talk, "no events")
		}
		for _, e := range events {
			if err := a.print(eventLine(e) + "\n"); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

func eventTypes() []string {
	var types []string
	for _, t := range daemon.EventTypes() {
		types = append(types, string(t))
	}
	return types
}

// events asks the daemon, or reads what the last one left behind.
func (a *app) events(ctx context.Context, c config.Config, filter daemon.Filter) ([]daemon.Event, error) {
	var events []daemon.Event
	err := a.ask(ctx, c, daemon.Options{Temporary: true, Offline: true},
		func(c *daemon.Client) (err error) { events, err = c.Events(ctx, filter); return err },
		func(l *daemon.Line) (err error) { events, err = l.Events(filter); return err })
	return events, err
}

func (a *app) followEvents(ctx context.Context, c config.Config, filter daemon.Filter, f format) error {
	client, err := a.dial(c, "start one with `"+a.again("run")+"`; `"+a.again("events")+"` shows what the last one left behind")
	if err != nil {
		return err
	}
	err = client.Follow(ctx, filter, func(e daemon.Event) error {
		if f == asJSON {
			return jsonLine(a.out, e)
		}
		return a.print(eventLine(e) + "\n")
	})
	if ctx.Err() != nil {
		return nil // nobody asked for more
	}
	return err
}

// dial finds the daemon for a command that needs one; the fix says what to do where there is none.
func (a *app) dial(c config.Config, fix string) (*daemon.Client, error) {
	client, err := daemon.Dial(c)
	if errors.Is(err, daemon.ErrNoDaemon) {
		return nil, mirror.Problem{Code: "CTL004", What: "no daemon runs on " + c.StateDir, Fix: fix}
	}
	return client, err
}

// eventLine gives an event as one line.
func eventLine(e daemon.Event) string {
	parts := []string{e.At.Local().Format("2006-01-02 15:04:05"), fmt.Sprintf("%-13s", e.Type)}
	subject := strings.Join(slices.DeleteFunc([]string{e.Set, string(e.Stage), e.Entry}, func(s string) bool { return s == "" }), " ")
	for _, part := range []string{subject, imageText(e), bytesText(e), e.Commit, reasonText(e), byText(e), e.Where.String()} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return clean(strings.Join(parts, "  "))
}

func imageText(e daemon.Event) string {
	if e.Image.IsZero() {
		return ""
	}
	return e.Image.String()
}

func bytesText(e daemon.Event) string {
	switch {
	case e.Type != daemon.EventCopied:
		return ""
	case e.Bytes == 0:
		return "all here already"
	}
	return plan.Bytes(e.Bytes)
}

func reasonText(e daemon.Event) string {
	if e.Reason == "" {
		return ""
	}
	return "(" + e.Reason + ")"
}

func byText(e daemon.Event) string {
	if e.By == "" {
		return ""
	}
	return "by " + e.By
}
