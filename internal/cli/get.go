package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) getCommand() *cobra.Command {
	return &cobra.Command{Use: "get", RunE: func(*cobra.Command, []string) error { return errors.New("STUB") }}
}
