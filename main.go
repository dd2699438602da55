// Poundlock mirrors what a Git repository asks for into a restricted site, once policy vouches for it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/poundlock/poundlock/internal/cli"
)

func main() {
	ctx, end := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		// The first signal asks for a graceful stop; a second one ends the process at once.
		if <-signals == os.Interrupt {
			end(cli.ErrInterrupted)
		}
		end(nil)
		signal.Stop(signals)
	}()
	// A reader that goes away shows as an error of the write, on which a command ends in order, not as a signal
	// that kills: a daemon outlives the process that keeps its log.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	cli.ChartsApart()
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
