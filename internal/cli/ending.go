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
	More     int             `json:"more,omitempty"` // problems that are not listed
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
		a.sayf("error: %s\n", wire.Mask(usage.Error()))
		problems = append(problems, mirror.Problem{Code: "ERR002", What: mirror.Clean(wire.Mask(usage.text)), Fix: mirror.Clean(usage.hint)})
	default:
		problems = append(problems, daemon.Advise(a.loaded, err)...)
		if written := (mirror.Problems)(nil); errors.As(err, &written) && len(written) == len(problems) && !errors.As(err, new(begunError)) {
			a.sayf("%s\n", a.typed(problems.Error())) // mistakes in what people wrote: counted, and nothing was changed
			break
		}
		told, more := problems.Told()
		for _, p := range told {
			a.sayf("%s\n", a.typed(p.Error()))
		}
		if more > 0 {
			a.sayf("and %d more\n", more)
		}
	}
	if !a.machine || code == exitOK || code == exitChanges {
		return
	}
	told, more := problems.Told()
	line, err := json.Marshal(ending{"exit_error", 1, code, told, more})
	if err != nil {
		panic("exit_error: " + err.Error()) // no value of ours can fail
	}
	fmt.Fprintf(a.talk, "%s\n", line)
}
