package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
)

// ending is the last line of a failed command's talk with -o json.
type ending struct {
	Type     string          `json:"type"` // exit_error
	Version  int             `json:"version"`
	Code     int             `json:"code"` // of the exit
	Problems mirror.Problems `json:"problems"`
}

// end says why a command failed, in the form of all problems, and for programs in an object besides.
func (a *app) end(err error, code int) {
	var exit exitError
	var usage usageError
	problems := mirror.Problems{}
	switch {
	case errors.As(err, &exit):
		problems = append(problems, exit.problems...)
	case code == exitInterrupted:
		fmt.Fprintln(a.talk, "interrupted; what was begun is safe, and the next run goes on from there")
	case errors.As(err, &usage):
		fmt.Fprintf(a.talk, "error: %s\n", wire.Mask(usage.Error()))
		problems = append(problems, mirror.Problem{Code: "ERR002", What: mirror.Clean(wire.Mask(usage.text)), Fix: mirror.Clean(usage.hint)})
	default:
		problems = append(problems, daemon.Advise(a.loaded, err)...)
		if written := (mirror.Problems)(nil); errors.As(err, &written) && len(written) == len(problems) {
			fmt.Fprintln(a.talk, problems.Error()) // mistakes in what people wrote: counted, and nothing was changed
			break
		}
		for _, p := range problems {
			fmt.Fprintln(a.talk, p.Error())
		}
	}
	if !a.machine || code == exitOK || code == exitChanges {
		return
	}
	line, err := json.Marshal(ending{"exit_error", 1, code, problems})
	if err != nil {
		panic("exit_error: " + err.Error()) // no value of ours can fail
	}
	fmt.Fprintf(a.talk, "%s\n", line)
}
