package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run as a daemon: follow Git, the schedule and audits", Args: cobra.NoArgs,
		Example: "  poundlock -c config.yaml run",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.verbose(slog.LevelInfo)
			line, err := a.open(cmd.Context(), daemon.Options{})
			if err != nil {
				return err
			}
			return closing(line, line.Run(cmd.Context()))
		},
	}
}

func (a *app) syncCommand() *cobra.Command {
	var only []string
	cmd := &cobra.Command{
		Use: "sync", Short: "Run the line once, until every set is at rest", Args: cobra.NoArgs,
		Example: "  poundlock -c config.yaml sync\n  poundlock -c config.yaml sync --only ess",
		RunE: func(cmd *cobra.Command, _ []string) error {
			line, err := a.open(cmd.Context(), daemon.Options{Arrived: a.arrived})
			if err != nil {
				return err
			}
			reports, err := line.Sync(cmd.Context(), daemon.Wake{Why: "sync", Only: only, Resolve: true, Audit: true})
			if printErr := a.printReports(reports); err == nil {
				err = printErr
			}
			if err = closing(line, err); err != nil {
				return err
			}
			return exitCode(codeOfReports(reports))
		},
	}
	cmd.Flags().StringSliceVar(&only, "only", nil, "sets to look at")
	return cmd
}

func (a *app) planCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what a sync would do, and why; changes nothing", Args: cobra.NoArgs,
		Example: "  poundlock -c config.yaml plan\n  poundlock -c config.yaml plan -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			line, err := a.open(cmd.Context(), daemon.Options{Temporary: true})
			if err != nil {
				return err
			}
			plans, err := line.Plan(cmd.Context(), daemon.Wake{Why: "plan", Resolve: true, Audit: true})
			if err = closing(line, err); err != nil {
				return err
			}
			switch output {
			case "json":
				return plan.JSON(a.out, plans...)
			case "table":
				return plan.Table(a.out, plans...)
			}
			return fmt.Errorf("--output %q: want table or json", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func (a *app) verifyCommand() *cobra.Command {
	var stage, output string
	cmd := &cobra.Command{
		Use: "verify <reference>", Short: "Say what policy says of an image", Args: cobra.ExactArgs(1),
		Example: "  poundlock -c config.yaml verify docker.io/library/haproxy:2.8-alpine --stage production",
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := mirror.ParseReference(args[0])
			if err != nil {
				return err
			}
			line, err := a.open(cmd.Context(), daemon.Options{Temporary: true})
			if err != nil {
				return err
			}
			image, verdict, err := line.Verify(cmd.Context(), ref, mirror.Stage(stage))
			if closeErr := line.Close(context.WithoutCancel(cmd.Context())); err == nil {
				err = closeErr
			}
			if verdict.Outcome == "" {
				return err
			}
			if output == "json" {
				enc := json.NewEncoder(a.out)
				enc.SetIndent("", "  ")
				if err := enc.Encode(map[string]any{"version": 1, "image": image, "verdict": verdict}); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(a.out, "%s\n  %s: %s\n", image, verdict.Outcome, verdict.Reason)
				if verdict.VouchedBy != "" {
					fmt.Fprintf(a.out, "  named in desired/ at commit %s\n", verdict.VouchedBy)
				}
			}
			if verdict.Outcome == mirror.OutcomeRejected {
				return exitError{exitRefused}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&stage, "stage", "", "stage whose rules apply (default: the first)")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.out, "poundlock %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// overrides reads --set key=value flags.
func (a *app) overrides() (map[string]any, error) {
	m := map[string]any{}
	for _, s := range a.set {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--set %q: want key=value", s)
		}
		m[key] = value
	}
	return m, nil
}

// arrived is a line of progress for each copy that ended.
func (a *app) arrived(d mirror.Done) {
	if d.Err != nil {
		fmt.Fprintf(a.talk, "  %-10s %s  failed: %v\n", d.Action.Stage, d.Action.Image, d.Err)
		return
	}
	size := "all here already"
	if d.Bytes > 0 {
		size = fmt.Sprintf("%d bytes", d.Bytes)
	}
	fmt.Fprintf(a.talk, "  %-10s %s  %s, %s\n", d.Action.Stage, d.Action.Image, size, d.Verdict.Basis())
}

// printReports shows where each set came to rest.
func (a *app) printReports(reports []daemon.Report) error {
	plans := make([]mirror.Plan, len(reports))
	for i, r := range reports {
		plans[i] = r.Plan
		moved := 0
		for _, d := range r.Moved {
			if d.Action.Old != d.Action.New {
				moved++
			}
		}
		if len(r.Moved) > 0 {
			fmt.Fprintf(a.talk, "set %s: %d tags moved, %d recorded as they were, %d bytes copied\n", r.Set, moved, len(r.Moved)-moved, r.Bytes)
		}
		if r.Commit != "" {
			fmt.Fprintf(a.talk, "set %s: commit %s\n", r.Set, r.Commit)
		}
	}
	if len(plans) == 0 {
		return nil
	}
	return plan.Table(a.out, plans...)
}

func exitCode(code int) error {
	if code == exitOK {
		return nil
	}
	return exitError{code}
}

// closing lets the line go, also when its context has ended, and keeps the first error.
func closing(line *daemon.Line, err error) error {
	if closeErr := line.Close(context.Background()); err == nil {
		err = closeErr
	}
	return err
}
