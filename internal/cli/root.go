// Package cli holds the commands: each calls daemon, prints and ends with an exit code. Data goes to
// standard output, talk to standard error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/policy"
)

// app is what the commands share.
type app struct {
	out, talk io.Writer
	config    string
	logLevel  string
	level     slog.LevelVar
	set       []string
	machine   bool // -o json: the last line of talk is JSON too
}

// Main runs one command line and gives the exit code.
func Main(ctx context.Context, args []string, out, talk io.Writer) int {
	a := &app{out: out, talk: talk}
	a.level.Set(slog.LevelWarn)
	if err := policy.ClearEnvironment(); err != nil {
		fmt.Fprintln(talk, "error:", err)
		return exitFailure
	}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(talk)
	err := root.ExecuteContext(ctx)
	switch code := codeOf(err); {
	case err == nil || errors.As(err, new(exitError)):
		return code
	case code == exitInterrupted:
		fmt.Fprintln(talk, "interrupted; what was begun is safe, and the next run goes on from there")
		return code
	default:
		fmt.Fprintln(talk, "error:", err)
		return code
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "poundlock",
		Short: "Mirror what Git asks for into a restricted site, once policy vouches for it",
		Example: `  poundlock demo --once                 see it work, offline
  poundlock -c config.yaml plan         what would change, and why
  poundlock -c config.yaml run          the daemon`,
		SilenceUsage: true, SilenceErrors: true,
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&a.config, "config", "c", os.Getenv(daemon.EnvPrefix+"CONFIG"), "configuration file (POUNDLOCK_CONFIG)")
	flags.StringVar(&a.logLevel, "log-level", "", "debug, info, warn or error (default info for run, else warn)")
	flags.StringArrayVar(&a.set, "set", nil, "override a configuration key, as in --set git.poll=1m")
	root.AddCommand(
		a.demoCommand(), a.initialiseCommand(),
		a.validateCommand(), a.explainCommand(), a.schemaCommand(), a.configCommand(), a.doctorCommand(),
		a.planCommand(), a.syncCommand(), a.runCommand(), a.statusCommand(), a.triggerCommand(), a.suspendCommand(), a.resumeCommand(),
		a.getCommand(), a.traceCommand(), a.eventsCommand(), a.verifyCommand(),
		a.supportBundleCommand(), a.versionCommand(), a.manCommand(),
	)
	return root
}

// open reads the configuration and opens the line.
func (a *app) open(ctx context.Context, o daemon.Options) (*daemon.Line, error) {
	if a.config == "" {
		return nil, fmt.Errorf("%w: none is named; give --config, set POUNDLOCK_CONFIG, or try `poundlock demo`", daemon.ErrConfiguration)
	}
	overrides, err := a.overrides()
	if err != nil {
		return nil, err
	}
	config, err := daemon.Load(a.config, os.Environ(), overrides)
	if err != nil {
		return nil, err
	}
	for _, warning := range config.Warnings {
		fmt.Fprintln(a.talk, "warning:", warning)
	}
	return a.openConfig(ctx, config, o)
}

func (a *app) openConfig(ctx context.Context, config daemon.Config, o daemon.Options) (*daemon.Line, error) {
	var err error
	if o.Log, err = a.logger(); err != nil {
		return nil, err
	}
	o.Now, o.Version = time.Now, version()
	return daemon.Open(ctx, config, o)
}

// logger writes for people on a terminal and JSON elsewhere.
func (a *app) logger() (*slog.Logger, error) {
	if a.logLevel != "" {
		if err := a.level.UnmarshalText([]byte(a.logLevel)); err != nil {
			return nil, fmt.Errorf("--log-level: %w", err)
		}
	}
	if f, ok := a.talk.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return slog.New(tint.NewTextHandler(a.talk, &tint.Options{Level: &a.level, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""})), nil
		}
	}
	return slog.New(slog.NewJSONHandler(a.talk, &slog.HandlerOptions{Level: &a.level})), nil
}

// verbose sets the level of the log where no flag did: a daemon's log tells the story, other commands print
// what they do.
func (a *app) verbose(level slog.Level) {
	if a.logLevel == "" {
		a.level.Set(level)
	}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
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

// closing lets the line go, also when its context has ended, and keeps the first error.
func closing(line *daemon.Line, err error) error {
	if closeErr := line.Close(context.Background()); err == nil {
		err = closeErr
	}
	return err
}
