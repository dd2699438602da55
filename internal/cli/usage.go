package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
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
	hint := "see `" + strings.Replace(cmd.CommandPath(), "poundlock", quoted(program()), 1) + " --help`"
	if near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return usageError{text: fmt.Sprintf(format, args...), hint: hint}
}

// asksForJSON says whether a command line that could not be read wants to be answered to a program.
func asksForJSON(args []string) bool {
	for i, arg := range args {
		if arg == "--" {
			return false
		}
		if slices.Contains([]string{"-ojson", "-o=json", "--output=json"}, arg) || i > 0 && arg == "json" && (args[i-1] == "-o" || args[i-1] == "--output") {
			return true
		}
	}
	return false
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
	// Before cobra looks at these: its words are those of its own code.
	mind(cmd, func() error {
		if err := cmd.ValidateRequiredFlags(); err != nil {
			return misused(cmd, "", "%s", neededFlags(err))
		}
		if err := cmd.ValidateFlagGroups(); err != nil {
			return misused(cmd, "", "%s", exclusiveFlags(err))
		}
		return nil
	})
	for _, sub := range cmd.Commands() {
		mindUsage(sub)
	}
}

// mind adds a check of the flags, which is made before the command begins.
func mind(cmd *cobra.Command, check func() error) {
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if before != nil {
			if err := before(cmd, args); err != nil {
				return err
			}
		}
		return check()
	}
}

var quotedWord, bracketed, howMany = regexp.MustCompile(`"([^"]+)"`), regexp.MustCompile(`; \[([^\]]*)\]`), regexp.MustCompile(`^accepts (at most )?(\d+) arg\(s\)`)

// neededFlags says which flags are missing.
func neededFlags(err error) string {
	var flags []string
	for _, found := range quotedWord.FindAllStringSubmatch(err.Error(), -1) {
		flags = append(flags, "--"+found[1])
	}
	return "missing: " + strings.Join(flags, ", ")
}

// exclusiveFlags says which flags do not go together.
func exclusiveFlags(err error) string {
	found := bracketed.FindStringSubmatch(err.Error())
	if found == nil {
		return err.Error()
	}
	return "--" + strings.Join(strings.Fields(found[1]), " and --") + " do not go together"
}

// wants says which values a flag takes, where that needs to be said.
func wants(f *pflag.Flag, cause error) string {
	switch f.Value.Type() {
	case "duration":
		return "want a duration with a unit, such as 30s, 15m or 1h"
	case "int":
		return "want a whole number"
	case "bool":
		return "want true or false"
	}
	return cause.Error()
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
		near := ""
		if cmd.Flags().Lookup("only") != nil {
			near = "`" + cmd.CommandPath() + " --only " + args[0] + "`"
		}
		return misused(cmd, near, "%s takes no arguments, and got %q", cmd.CommandPath(), args[0])
	}
	if found := howMany.FindStringSubmatch(err.Error()); found != nil {
		return misused(cmd, "", "%s takes %s%s, and got %d; usage: %s", cmd.CommandPath(), found[1], arguments(found[2]), len(args), cmd.UseLine())
	}
	return misused(cmd, "", "%s: %v; usage: %s", cmd.CommandPath(), err, cmd.UseLine())
}

func arguments(n string) string {
	if n == "1" {
		return "1 argument"
	}
	return n + " arguments"
}

// wrongFlag is called by cobra for flags that are not there and for values that do not fit.
func wrongFlag(cmd *cobra.Command, err error) error {
	var absent *pflag.NotExistError
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		return misused(cmd, "", "--%s %q: %s", value.GetFlag().Name, value.GetValue(), wants(value.GetFlag(), value.Unwrap()))
	}
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
