package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) initialiseCommand() *cobra.Command {
	return &cobra.Command{Use: "init", RunE: func(*cobra.Command, []string) error { return errors.New("STUB") }}
}
