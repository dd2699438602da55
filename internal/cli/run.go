package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
)

// ErrInterrupted is the cause of a context that ended because somebody pressed Ctrl-C, not because the service
// manager asked for a stop.
var ErrInterrupted = errors.New("interrupted")

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run as a daemon: follow Git, the schedule and audits", Args: cobra.NoArgs,
		Long: `Run as a daemon: follow Git, the schedule and audits, and show health, metrics and a page over HTTP.

The configuration is read again on SIGHUP and when its files change. One that is wrong is refused: the log and the
page say why, the metric poundlock_config_reload_ok is 0, and the one before stays in force.

SIGTERM ends the daemon with code 0, Ctrl-C with 130. Copies in flight may land within limits.stop; what is broken
off goes on at the next start. A second signal ends it at once.`,
		Example: `  poundlock -c config.yaml run
  poundlock -c config.yaml run --set schedule='0 */2 * * *' --set timeZone=Europe/Berlin
  systemctl reload poundlock`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.run(cmd.Context()) },
	}
}

func (a *app) run(ctx context.Context) error {
	a.verbose(slog.LevelInfo)
	log, err := a.logger()
	if err != nil {
		return err
	}
	reload, stop := hangups()
	defer stop()
	service := daemon.Service{
		Options: daemon.Options{Log: log, Now: time.Now, Version: version(), Command: "run"},
		Load:    a.read, Reload: reload,
	}
	var running atomic.Pointer[daemon.Line]
	service.Began = func(l *daemon.Line, _ string) { running.Store(l) }
	copying := func() daemon.Copying {
		if l := running.Load(); l != nil {
			return l.Copying()
		}
		return daemon.Copying{}
	}
	defer beat(copying, func(_ string, now daemon.Copying) {
		log.Info("copying", "done", now.Done, "failed", now.Failed, "images", now.Images, "bytes", now.Bytes, "total", now.Total)
	})()
	defer beatLooking(func() []string {
		if l := running.Load(); l != nil {
			return l.Looking()
		}
		return nil
	}, func(sets []string) { log.Info("looking", "sets", strings.Join(sets, ", ")) })()
	if a.terminalOf(a.talk).is {
		service.Looked = func(l *daemon.Line, address string) { fmt.Fprintln(a.talk, greeting(l, address, time.Now())) }
	}
	return endedBy(ctx, service.Run(ctx))
}

// endedBy gives the code of a process that went on until it was told to stop: Ctrl-C has one of its own.
func endedBy(ctx context.Context, err error) error {
	if err == nil && errors.Is(context.Cause(ctx), ErrInterrupted) {
		return exitError{code: exitInterrupted}
	}
	return err
}

// hangups gives a channel on which every SIGHUP arrives that is not yet answered, until stop.
func hangups() (reload <-chan struct{}, stop func()) {
	signals, asked := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(signals, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range signals {
			select {
			case asked <- struct{}{}:
			default: // one that waits already stands for this one, too
			}
		}
	}()
	return asked, func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}

// greeting is what a person at a terminal wants to know first: what runs, when it looks next, and where it shows.
func greeting(l *daemon.Line, address string, now time.Time) string {
	sets := "no set yet"
	if names := l.Sets(); len(names) > 0 {
		sets = "sets " + strings.Join(names, ", ")
	}
	words := []string{sets + " " + l.Rhythm()}
	if next := l.NextLook(); !next.IsZero() {
		words = append(words, "next run in "+next.Sub(now).Round(time.Second).String())
	}
	return strings.Join(append(words, "open http://"+reachable(address)), " · ")
}

// reachable gives the address that a browser on this host can open: a server on all addresses is also on
// loopback.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}
