package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

// triggerDocument is what came of a trigger, for programs.
type triggerDocument struct {
	Type      string             `json:"type"`
	Version   int                `json:"version"`
	Set       string             `json:"set"`
	State     daemon.SetState    `json:"state,omitempty"` // with --wait: how the set came to rest
	Run       *daemon.Run        `json:"run,omitempty"`   // with --wait: the run that ended it
	Suspended *daemon.Suspension `json:"suspended,omitempty"`
}

func (a *app) triggerCommand() *cobra.Command {
	var wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "trigger SET", Short: "Make the daemon look at a set at once", Args: cobra.ExactArgs(1),
		Long: `Make the daemon look at a set at once: it asks moving upstream tags again and compares what stands with the local
registry, as the schedule and an audit would.

With --wait the command follows until the set is at rest. Exit codes: 0 as desired; 3 done but for what is refused or
missing; 4 a credential is refused; 5 all is refused; 8 the set is suspended; 9 something failed and is tried again, or
the set was not at rest in time. Without a daemon the code is 1.`,
		Example: "  poundlock trigger ess\n  poundlock trigger ess --wait --timeout 30m\n  poundlock trigger ess --wait -o json | jq .run.outcome",
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "until the set is at rest")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "longest wait")
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if timeout <= 0 {
			return misused(cmd, "", "--timeout wants more than nothing, such as 10m")
		}
		config, err := a.load()
		if err != nil {
			return err
		}
		client, err := a.dial(config, "`"+a.again("sync", "--only", args[0])+"` does it at once, without one")
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		set := args[0]
		late := func(err error, what string) error {
			if ctx.Err() == nil || cmd.Context().Err() != nil {
				return err
			}
			return mirror.Problem{Code: "CTL005", What: fmt.Sprintf("set %s %s after %s", set, what, timeout), Fix: "follow it with `poundlock status -w`, or give a longer --timeout"}
		}
		asked, err := client.Trigger(ctx, set, caller())
		if err != nil {
			return late(err, "has no answer of the daemon")
		}
		end := triggerDocument{Type: "trigger", Version: 1, Set: set, Suspended: asked.Suspended}
		if asked.Suspended != nil {
			end.State = daemon.SetSuspended
		} else if wait {
			if end, err = a.awaitRest(ctx, client, set, asked); err != nil {
				if ctx.Err() == nil || cmd.Context().Err() != nil {
					return err
				}
				return errors.Join(a.printTrigger(end, *output), late(err, "is not at rest; it goes on"))
			}
		}
		if err := a.printTrigger(end, *output); err != nil {
			return err
		}
		return exitCode(codeOfRest(end))
	}
	return cmd
}

// awaitRest follows the daemon until a run of the set that began after the trigger left it at rest.
func (a *app) awaitRest(ctx context.Context, client *daemon.Client, set string, asked daemon.Triggered) (end triggerDocument, err error) {
	end = triggerDocument{Type: "trigger", Version: 1, Set: set}
	done := errors.New("at rest")
	err = client.Watch(ctx, func(s daemon.Status) error {
		if p := s.Git.Problem; p != nil && s.Git.LookedAt.After(asked.At) {
			return *p // no run will come of it
		}
		for _, one := range s.Sets {
			if one.Set != set {
				continue
			}
			end.State, end.Suspended = one.State, one.Suspended
			fresh := one.LastRun != nil && one.LastRun.ID > asked.After
			if fresh {
				end.Run = one.LastRun
			}
			if one.State == daemon.SetSuspended || fresh && one.State != daemon.SetCopying {
				return done
			}
			return nil
		}
		return fmt.Errorf("set %s is gone from the fleet repository", set)
	})
	if errors.Is(err, done) {
		err = nil
	}
	if cause := ctx.Err(); cause != nil && err != nil {
		err = cause
	}
	return end, err
}

// codeOfRest gives the exit code of a set that came to rest.
func codeOfRest(d triggerDocument) int {
	switch {
	case d.State == daemon.SetSuspended:
		return exitWaiting
	case d.Run == nil:
		return exitOK
	case d.Run.Problem != nil:
		if code := codeOfProblem(*d.Run.Problem); code != exitFailure {
			return code
		}
		return exitRetry
	case d.Run.Outcome == daemon.OutcomeFailed:
		return exitRetry
	case d.Run.Outcome == daemon.OutcomePartial && d.Run.Waiting > 0 && d.Run.Refused+d.Run.Missing == 0:
		return exitWaiting
	case d.Run.Outcome == daemon.OutcomePartial && d.Run.Unchanged == 0:
		return exitRefused
	case d.Run.Outcome == daemon.OutcomePartial:
		return exitPartial
	}
	return exitOK
}

func (a *app) printTrigger(d triggerDocument, f format) error {
	if f != asText {
		return document(a.out, f, d)
	}
	text := fmt.Sprintf("set %s: the daemon looks at it now; follow it with `%s`", d.Set, a.again("status", "-w"))
	switch {
	case d.Suspended != nil:
		text = fmt.Sprintf("set %s is %s; `%s` lets it go on", d.Set, d.Suspended, a.again("resume", d.Set))
	case d.Run != nil:
		text = fmt.Sprintf("set %s: %s", d.Set, stateOf(daemon.SetStatus{State: d.State, LastRun: d.Run, Problem: d.Run.Problem}, time.Time{}))
		if d.Run.Commit != "" {
			text += ", commit " + short(d.Run.Commit, asTable)
		}
		if d.State == daemon.SetPartial || d.State == daemon.SetFailing {
			text += "; see `" + a.again("plan", "--only", d.Set) + "`"
		}
	}
	return a.print(clean(text) + "\n")
}

// caller names who runs this command, for the record: user@host.
func caller() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	} else if env := os.Getenv("USER"); env != "" {
		name = env
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		name += "@" + host
	}
	return mirror.OneLine(name)
}
