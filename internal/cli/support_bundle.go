package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) supportBundleCommand() *cobra.Command {
	return &cobra.Command{Use: "support-bundle", RunE: func(*cobra.Command, []string) error { return errors.New("STUB") }}
}
