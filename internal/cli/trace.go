package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) traceCommand() *cobra.Command {
	return &cobra.Command{Use: "trace", RunE: func(*cobra.Command, []string) error { return errors.New("STUB") }}
}
