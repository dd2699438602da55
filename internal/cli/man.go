package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{Use: "man", RunE: func(*cobra.Command, []string) error { return errors.New("STUB") }}
}
