// Package cli holds the commands: each calls daemon, prints and ends with an exit code. Data goes to
// standard output, talk to standard error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// app is what the commands share.
type app struct {
	out       io.Writer
	talk      *talker
	config    string
	logLevel  string
	noColor   bool
	level     slog.LevelVar
	set       []string
	machine   bool // -o json: the last line of talk is JSON too
	logFormat string
	loaded    config.Config // the configuration that was read last, for advice on errors
}

// Main runs one command line and gives the exit code.
func Main(ctx context.Context, args []string, out, talk io.Writer) int {
	ctx, data := untilClosed(ctx, out)
	defer data.end(nil)
	a := &app{out: data, talk: &talker{to: talk}}
	a.level.Set(slog.LevelWarn)
	log.SetOutput(io.Discard) // Helm and kustomize write there, among it the values of a chart that they skip
	if err := trust.ClearEnvironment(); err != nil {
		a.end(err, exitFailure)
		return exitFailure
	}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(talk)
	err := a.execute(ctx, root)
	code := codeOf(err)
	if errors.As(err, new(usageError)) {
		a.machine = a.machine || asksForJSON(args)
	}
	if data.gone(ctx) && !errors.As(err, new(exitError)) {
		return exitOK
	}
	if err != nil {
		a.end(err, code)
	}
	return code
}

// execute runs the command. A panic is a failure like any other: the code that Go ends with means something else
// here. What it was is told; where, to whoever looks for it.
func (a *app) execute(ctx context.Context, root *cobra.Command) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if a.logLevel == "debug" {
				a.sayf("%s", debug.Stack())
			}
			err = mirror.Problem{Code: "ERR001", What: mirror.Clean(fmt.Sprintf("poundlock has a mistake and stopped: %v", p)),
				Fix: "tell its developers; --log-level debug shows where it is"}
		}
	}()
	return root.ExecuteContext(ctx)
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
	flags.StringVarP(&a.config, "config", "c", os.Getenv(config.EnvPrefix+"CONFIG"), "configuration file (POUNDLOCK_CONFIG)")
	flags.StringVar(&a.logLevel, "log-level", "", "debug, info, warn or error (default info for run, else warn)")
	flags.StringVar(&a.logFormat, "log-format", "auto", "auto, text or json (auto: text on a terminal and in the journal, else JSON)")
	flags.BoolVar(&a.noColor, "no-color", false, "no colour, also on a terminal (NO_COLOR)")
	flags.StringArrayVar(&a.set, "set", nil, "override a configuration key, as in --set git.poll=1m")
	root.AddCommand(
		a.demoCommand(), a.initialiseCommand(),
		a.validateCommand(), a.explainCommand(), a.schemaCommand(), a.configCommand(), a.doctorCommand(),
		a.planCommand(), a.syncCommand(), a.runCommand(), a.eprCommand(), a.statusCommand(), a.triggerCommand(), a.suspendCommand(), a.resumeCommand(), a.acknowledgeCommand(),
		a.promoteCommand(), a.freezeCommand(), a.rollbackCommand(), a.holdCommand(), a.releaseCommand(),
		a.getCommand(), a.diffCommand(), a.traceCommand(), a.waitCommand(), a.eventsCommand(), a.verifyCommand(), a.verifyBundleCommand(), a.explainVerdictCommand(), a.policyCommand(),
		a.renderCommand(), a.exportCommand(), a.lintCommand(), a.packageCommand(), a.chartRenderCommand(),
		a.supportBundleCommand(), a.versionCommand(), a.manCommand(),
	)
	root.SetHelpCommand(a.helpCommand())
	a.complete(root)
	examplesFirst(root)
	a.fitHelp(root)
	mindUsage(root)
	return root
}

// read reads the configuration that the flags name, for whoever tells its warnings itself.
func (a *app) read() (config.Config, error) { return a.readBy(config.Load) }

// readBy reads it with one of the ways to load it.
func (a *app) readBy(load func(file string, environ []string, overrides map[string]any) (config.Config, error)) (config.Config, error) {
	if a.config == "" {
		return config.Config{}, mirror.Problems{{Code: "CFG100", What: "no configuration is named",
			Fix: "give --config FILE or set POUNDLOCK_CONFIG; `poundlock init` writes one, `poundlock demo` needs none"}}
	}
	overrides, err := a.overrides()
	if err != nil {
		return config.Config{}, err
	}
	c, err := load(a.config, os.Environ(), overrides)
	if err == nil {
		a.loaded = c
	}
	return c, err
}

// load reads the configuration as every command does.
func (a *app) load() (config.Config, error) {
	c, err := a.read()
	if err != nil {
		return config.Config{}, err
	}
	for _, warning := range c.Warnings {
		fmt.Fprintln(a.talk, "warning:", warning)
	}
	return c, nil
}

// open reads the configuration and opens the line.
func (a *app) open(ctx context.Context, o daemon.Options) (*daemon.Line, error) {
	c, err := a.load()
	if err != nil {
		return nil, err
	}
	return a.openConfig(ctx, c, o)
}

func (a *app) openConfig(ctx context.Context, c config.Config, o daemon.Options) (*daemon.Line, error) {
	var err error
	a.loaded = c
	if o.Log, err = a.logger(); err != nil {
		return nil, err
	}
	o.Now, o.Version = time.Now, version()
	return daemon.Open(ctx, c, o)
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
			return nil, usageError{"--set: want key=value", "as in --set git.poll=1m"} // not what was given: it may hold a secret
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
