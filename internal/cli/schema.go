package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{Use: "schema", RunE: func(*cobra.Command, []string) error { return errors.New("STUB") }}
}
