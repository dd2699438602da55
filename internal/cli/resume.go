package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) resumeCommand() *cobra.Command {
	return &cobra.Command{Use: "resume", RunE: func(*cobra.Command, []string) error { return errors.New("STUB") }}
}
