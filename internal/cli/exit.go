package cli

import (
	"context"
	"errors"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
)

// Exit codes of every command. A code that is not listed must be treated as a failure.
const (
	exitOK          = 0
	exitFailure     = 1   // unexpected failure
	exitPartial     = 3   // some were refused or are missing upstream, the rest is done
	exitAuth        = 4   // authentication or authorisation
	exitRefused     = 5   // policy stopped everything
	exitConfig      = 6   // configuration or fleet repository invalid
	exitLocked      = 7   // another run holds the state directory
	exitRetry       = 9   // some failed, a retry may help
	exitInterrupted = 130 // interrupted, state safe to resume
)

// exitError carries the code of a command that ended as it should, with nothing more to say.
type exitError struct{ code int }

func (exitError) Error() string { return "" }

// codeOf gives the exit code for the error that ended a command.
func codeOf(err error) int {
	var exit exitError
	var problems mirror.Problems
	var temporary interface{ Temporary() bool }
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &problems), errors.Is(err, daemon.ErrConfiguration):
		return exitConfig
	case errors.Is(err, daemon.ErrLocked):
		return exitLocked
	case errors.Is(err, registry.ErrUnauthorized), errors.Is(err, git.ErrUnauthorized):
		return exitAuth
	case errors.Is(err, mirror.ErrRefused):
		return exitRefused
	case errors.As(err, &temporary) && temporary.Temporary(), errors.Is(err, context.DeadlineExceeded):
		return exitRetry
	}
	return exitFailure
}

// codeOfReports gives the exit code of a run by what its last plans hold. What failed wins over what was
// refused, since a retry may help there.
func codeOfReports(reports []daemon.Report) int {
	var refused, failed, well int
	for _, r := range reports {
		well += len(r.Moved)
		for _, a := range r.Plan.Actions {
			switch {
			case a.Key.Entry == "": // a file, which follows from the entries
			case a.Kind == mirror.Refuse || a.Kind == mirror.Missing:
				refused++
			case a.Kind == mirror.Failed || a.Kind == mirror.Copy: // a copy at rest is one that did not come about
				failed++
			default:
				well++
			}
		}
	}
	switch {
	case failed > 0:
		return exitRetry
	case refused > 0 && well == 0:
		return exitRefused
	case refused > 0:
		return exitPartial
	}
	return exitOK
}

func exitCode(code int) error {
	if code == exitOK {
		return nil
	}
	return exitError{code}
}
