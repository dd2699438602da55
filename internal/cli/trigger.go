package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) triggerCommand() *cobra.Command {
	return &cobra.Command{Use: "trigger", RunE: func(*cobra.Command, []string) error { return errors.New("STUB") }}
}
