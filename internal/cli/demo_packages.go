package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/testenv"
)

// demoPackages are what the demo promotes of Elastic's packages; what else there is stays in snapshot.
var demoPackages = []string{"nginx-1.20.0", "fleet_server"}

// demoChannels shows what the channels of packages hold, and where Kibana reads them.
func (a *app) demoChannels(ctx context.Context, line *daemon.Line, world *testenv.World) error {
	look, err := line.Look(ctx)
	if err != nil {
		return err
	}
	channels := world.Channels()
	fmt.Fprintln(a.out, "\n== the channels of packages: xpack.fleet.registryUrl of a Kibana is one of these addresses")
	for _, set := range look.Sets {
		if set.Set != testenv.WorldPackages {
			continue
		}
		for _, stage := range set.Stages {
			var names []string
			for _, p := range channelLines(set, string(stage.Stage), false) {
				names = append(names, p.Name+"-"+p.Version)
			}
			if len(names) == 0 {
				names = []string{"(nothing yet)"}
			}
			fmt.Fprintf(a.out, "  %s/\n    %s\n", channels[string(stage.Stage)], strings.Join(names, "  "))
		}
	}
	return nil
}
