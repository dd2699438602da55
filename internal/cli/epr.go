package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
)

func (a *app) eprCommand() *cobra.Command {
	return &cobra.Command{
		Use: "epr", Short: "Serve channels of Elastic packages to Kibana, beside the daemon", Args: cobra.NoArgs,
		Long: `Serve channels of Elastic packages to Kibana, as a package registry of Elastic does.

The daemon does this too where epr.listen is set. As a process of its own it goes on while the daemon is upgraded, is
down or was never started on this machine: it needs registries.local and epr of the configuration, keeps nothing on
disk, and any number of it may run behind a load balancer. What it read last is served while the registry is away.

Each channel is below /epr/<set>/<channel>/. /readyz answers 200 once every channel that was ever written was read,
/metrics has figures. The configuration is read again on SIGHUP and when its files change, and so is the certificate.`,
		Example: `  poundlock -c config.yaml epr
  poundlock -c config.yaml epr --set epr.listen=0.0.0.0:8080`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serveChannels(cmd.Context()) },
	}
}

func (a *app) serveChannels(ctx context.Context) error {
	a.verbose(slog.LevelInfo)
	log, err := a.logger()
	if err != nil {
		return err
	}
	reload, stop := hangups()
	defer stop()
	outlet := daemon.Outlet{
		Options: daemon.Options{Log: log, Now: time.Now, Version: version(), Command: "epr"},
		Load:    func() (config.Config, error) { return a.readBy(config.LoadOutlet) }, Reload: reload,
	}
	return endedBy(ctx, outlet.Run(ctx))
}
