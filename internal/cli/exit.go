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
	"github.com/poundlock/poundlock/sync/plan"
)

// Exit codes of every command. A code that is not listed must be treated as a failure.
const (
	exitOK          = 0
	exitFailure     = 1   // unexpected failure
	exitChanges     = 2   // the plan has changes or rendered files do not match, only where it was asked
	exitPartial     = 3   // some were refused or are missing upstream, the rest is done
	exitAuth        = 4   // authentication or authorisation
	exitRefused     = 5   // policy stopped everything
	exitConfig      = 6   // configuration or fleet repository invalid
	exitLocked      = 7   // another run holds the state directory
	exitWaiting     = 8   // the rest is done, something waits for time or for a person
	exitRetry       = 9   // some failed, a retry may help
	exitInterrupted = 130 // interrupted, state safe to resume
)

// exitCodes is the one table of them: the manual page and docs/exit-codes.md tell the same.
var exitCodes = []struct {
	code          int
	meaning, then string // then: what a script should do
}{
	{exitOK, "done, or nothing to do", "go on"},
	{exitFailure, "unexpected failure, a command line that makes no sense, or nothing found", "read the error, tell a person"},
	{exitChanges, "the plan or the policy has changes, only with `--detailed-exitcode`; rendered files are not as the record says, only with `render --check`", "review, then `sync`"},
	{exitPartial, "some entries were refused or are missing upstream, the rest is done; of `verify`: there is no such image", "read the plan; what has no signature yet and what is missing is looked at again with backoff, the rest when an input changes"},
	{exitAuth, "a registry or Git server does not let us in", "mend the credential that the error names"},
	{exitRefused, "policy refused everything that was asked for; of `wait`: refused, declined or superseded", "read the reasons; nothing was copied"},
	{exitConfig, "configuration, certificate, fleet repository, saved plan, or a name that none of them has", "mend what is named; a restart does not help (`RestartPreventExitStatus=6`)"},
	{exitLocked, "another process holds the state directory", "the error names it; ask it instead: `status`, `trigger`"},
	{exitWaiting, "everything else is done, and something waits: a promotion for its gates, an image for its age, a suspended set for a person, as a rewritten history of the fleet repository does", "`poundlock status`; what waits for time or approval goes on by itself, else `resume` or `acknowledge`"},
	{exitRetry, "some failed, and a retry may help; wins over 3", "run again later; the daemon does so by itself, with backoff"},
	{exitInterrupted, "interrupted (Ctrl-C, SIGTERM); what was begun is safe", "run again: it goes on from there"},
}

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
	}
	// What a person has to mend comes first: a certificate that nobody trusts looks temporary from afar.
	if code := codeOfProblem(daemon.Advise(config.Config{}, err)[0]); code != exitFailure {
		return code
	}
	if errors.As(err, &temporary) && temporary.Temporary() {
		return exitRetry
	}
	return exitFailure
}

// codeOfProblem goes by the family of the problem's code, except where a member of it is another kind of trouble.
func codeOfProblem(p mirror.Problem) int {
	switch p.Code {
	case "CTL005", "GIT024", "GIT025", "REG005": // not in time, the branch moved, a server failed
		return exitRetry
	case "CTL006", "DRT002", "NET005", "NET006": // nothing was read here yet; a file that is named is not there; our own rules let nothing out
		return exitConfig
	}
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
// refused, since a retry may help there; what was refused over what only waits. What is held follows from the others
// of its set.
func codeOfReports(reports []daemon.Report) int {
	var refused, held, waiting, well int
	var failed []mirror.Action
	for _, r := range reports {
		well += len(r.Moved)
		for _, a := range r.Plan.Actions {
			switch {
			case a.Path != "" || a.Kind == mirror.Skip: // a file, which follows from the entries, or nobody asked for it
			case a.Kind == mirror.Refuse && a.Reason.Waits():
				waiting++
			case a.Kind == mirror.Refuse && a.Reason.Code == mirror.Held:
				held++
			case a.Kind == mirror.Refuse || a.Kind == mirror.Missing:
				refused++
			case a.Kind == mirror.Failed || a.Kind == mirror.Copy || a.Kind == mirror.Fetch: // a copy at rest is one that did not come about
				failed = append(failed, a)
			default:
				well++
			}
		}
	}
	if waiting == 0 {
		refused += held
	}
	switch {
	case len(failed) > 0:
		return codeOfFailed(failed)
	case waiting > 0 && refused == 0:
		return exitWaiting
	case refused > 0 && well == 0:
		return exitRefused
	case refused > 0:
		return exitPartial
	}
	return exitOK
}

// failedRows gives the actions of a plan that could not be looked at now.
func failedRows(d plan.Document) (failed []mirror.Action) {
	for _, p := range d.Plans {
		for _, row := range p.Actions {
			if row.Kind == mirror.Failed && row.Path == "" && row.Reason.Code != mirror.Offline {
				failed = append(failed, row.Action)
			}
		}
	}
	return failed
}

// codeOfFailed gives the exit code for actions that failed. A retry may help, unless every one of them waits for
// the same kind of mending by a person: a credential, or a certificate and whatever else is configured.
func codeOfFailed(failed []mirror.Action) int {
	code := exitRetry
	for i, a := range failed {
		one := codeOfProblem(mirror.Problem{Code: a.Reason.Problem})
		if i > 0 && one != code || one != exitAuth && one != exitConfig {
			return exitRetry
		}
		code = one
	}
	return code
}

func exitCode(code int) error {
	if code == exitOK {
		return nil
	}
	return exitError{code: code}
}
