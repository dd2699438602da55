package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) eventsCommand() *cobra.Command {
	return &cobra.Command{Use: "events", RunE: func(*cobra.Command, []string) error { return errors.New("STUB") }}
}
