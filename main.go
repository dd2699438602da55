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
	// The first signal asks for a graceful stop; a second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
