package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) suspendCommand() *cobra.Command {
	return &cobra.Command{Use: "suspend", RunE: func(*cobra.Command, []string) error { return errors.New("STUB") }}
}
