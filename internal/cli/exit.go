package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
)

// Exit codes of every command. A code that is not listed must be treated as a failure.
const (
	exitOK          = 0
	exitFailure     = 1   // unexpected failure
	exitChanges     = 2   // the plan has changes, only where it was asked
	exitPartial     = 3   // some were refused or are missing upstream, the rest is done
	exitAuth        = 4   // authentication or authorisation
	exitRefused     = 5   // policy stopped everything
	exitConfig      = 6   // configuration or fleet repository invalid
	exitLocked      = 7   // another run holds the state directory
	exitWaiting     = 8   // the rest is done, something waits for a person
	exitRetry       = 9   // some failed, a retry may help
	exitInterrupted = 130 // interrupted, state safe to resume
)

// severity is the order in which codes win where several troubles came together: what a person has to mend
// comes before what a retry may mend, and what touches everything before what touches a part.
var severity = []int{exitInterrupted, exitConfig, exitLocked, exitAuth, exitRefused, exitFailure, exitRetry, exitWaiting, exitPartial}

// exitError carries the code of a command that ended as it should, with nothing more to say on a terminal.
type exitError struct {
	code     int
	problems mirror.Problems // what it said already, for the object that ends the talk of -o json
}

func (exitError) Error() string { return "" }

// codeOf gives the exit code for the error that ended a command: of joined errors the most severe one.
func codeOf(err error) int {
	if err == nil {
		return exitOK
	}
	worst := len(severity)
	for _, cause := range daemon.Causes(err) {
		code := codeOfOne(cause)
		i := slices.Index(severity, code)
		if i < 0 {
			return code // a command's own, which comes alone
		}
		worst = min(worst, i)
	}
	return severity[worst]
}

func codeOfOne(err error) int {
	var exit exitError
	var problems mirror.Problems
	var problem mirror.Problem
	var temporary interface{ Temporary() bool }
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, new(usageError)):
		return exitFailure
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &problems), errors.Is(err, config.ErrConfiguration):
		return exitConfig
	case errors.Is(err, daemon.ErrLocked):
		return exitLocked
	case errors.Is(err, registry.ErrUnauthorized), errors.Is(err, git.ErrUnauthorized):
		return exitAuth
	case errors.Is(err, mirror.ErrRefused):
		return exitRefused
	case errors.As(err, &temporary) && temporary.Temporary(), errors.Is(err, context.DeadlineExceeded):
		return exitRetry
	case errors.As(err, &problem):
		return codeOfProblem(problem)
	}
	return exitFailure
}

// codeOfProblem goes by the family of the problem's code.
func codeOfProblem(p mirror.Problem) int {
	switch strings.TrimRight(p.Code, "0123456789") {
	case "CFG", "DOC", "FLT", "POL", "SRC", "RND", "GIT", "TLS", "PLN":
		return exitConfig
	case "AUTH":
		return exitAuth
	case "LOCK":
		return exitLocked
	case "NET", "RATE":
		return exitRetry
	case "DISK":
		if p.Code < "DISK003" { // who may write where; what is full or broken may be well again later
			return exitConfig
		}
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
			case a.Key.Entry == "" || a.Kind == mirror.Skip: // a file, which follows from the entries, or nobody asked for it
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
	return exitError{code: code}
}
