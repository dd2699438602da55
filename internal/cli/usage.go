package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/poundlock/poundlock/internal/mirror"
)

// usageError is a command line that makes no sense, with where to read what would.
type usageError struct {
	text string
	hint string
}

func (e usageError) Error() string { return mirror.Clean(e.text) + "; " + mirror.Clean(e.hint) }

// misused gives the error for a command that was called in a wrong way.
func misused(cmd *cobra.Command, near, format string, args ...any) error {
	hint := "see `" + cmd.CommandPath() + " --help`"
	if near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return usageError{text: fmt.Sprintf(format, args...), hint: hint}
}

// mindUsage has every command at and below cmd say what is wrong with a command line in our words.
func mindUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(wrongFlag)
	cmd.DisableSuggestions = true
	switch check := cmd.Args; {
	case cmd.HasSubCommands() && !cmd.Runnable():
		// Without this cobra would print the help and call it a success.
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return wrongCommand(cmd, args[0])
		}
	case check != nil:
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return wrongArguments(cmd, args, err)
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		mindUsage(sub)
	}
}

func wrongCommand(cmd *cobra.Command, word string) error {
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	near := mirror.Nearest(word, known)
	if near != "" {
		near = "`" + cmd.CommandPath() + " " + near + "`"
	}
	return misused(cmd, near, "unknown command %q for %q", word, cmd.CommandPath())
}

func wrongArguments(cmd *cobra.Command, args []string, err error) error {
	if strings.HasPrefix(err.Error(), "unknown command") { // how cobra.NoArgs calls an argument too many
		return misused(cmd, "", "%s takes no arguments, and got %q", cmd.CommandPath(), args[0])
	}
	return misused(cmd, "", "%s: %v; usage: %s", cmd.CommandPath(), err, cmd.UseLine())
}

// wrongFlag is called by cobra for flags that are not there and for values that do not fit.
func wrongFlag(cmd *cobra.Command, err error) error {
	var absent *pflag.NotExistError
	if !errors.As(err, &absent) {
		return misused(cmd, "", "%v", err)
	}
	var known []string
	add := func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	}
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	near := ""
	if absent.GetSpecifiedShortnames() == "" {
		near = mirror.Nearest(absent.GetSpecifiedName(), known)
	}
	if near != "" {
		near = "--" + near
	}
	return misused(cmd, near, "%v", err)
}
