package cli

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/internal/charts"
)

// chartRenderName is the command by which this program starts itself anew to read a chart.
const chartRenderName = "chart-render"

// ChartsApart has charts read by processes of this same program, which can be killed. Only the program's own main may say so:
// in a test binary it would start all the tests.
func ChartsApart() {
	// The running program itself, also when the file that it was started from has been replaced.
	program := "/proc/self/exe"
	if _, err := os.Stat(program); err != nil {
		if program, err = os.Executable(); err != nil {
			return // then this process reads them, with a deadline
		}
	}
	charts.Apart(program, chartRenderName)
}

// chartRenderCommand does one job of internal/charts. It is hidden: only this program starts it.
func (a *app) chartRenderCommand() *cobra.Command {
	return &cobra.Command{
		Use: chartRenderName, Short: "Read one chart, in a process that can be killed", Args: cobra.NoArgs, Hidden: true,
		Long: `Render a chart, or check values with its schema: the job comes as JSON on standard input, the answer goes to standard output. The daemon
starts this for every chart, with a deadline, a bound of memory and nothing else, since templates are programs of other people.`,
		Example: "  poundlock chart-render < job.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return charts.Serve(cmd.Context(), cmd.InOrStdin(), a.out, os.Exit)
		},
	}
}
