package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	return &cobra.Command{Use: "config", RunE: func(*cobra.Command, []string) error { return errors.New("STUB") }}
}
