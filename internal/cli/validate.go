package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{Use: "validate", RunE: func(*cobra.Command, []string) error { return errors.New("STUB") }}
}
