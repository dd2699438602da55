package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// Holder is the process that holds a state directory, as it wrote itself down beside the lock.
type Holder struct {
	Command string    `json:"command,omitempty"` // run, sync, ...; never its arguments
	PID     int       `json:"pid"`
	Host    string    `json:"host,omitempty"`
	Since   time.Time `json:"since"`
}

// String gives the holder in words, as in "run, pid 4242 on host mirror-1, since 12:03".
func (h Holder) String() string {
	var words []string
	if h.Command != "" {
		words = append(words, h.Command)
	}
	pid := fmt.Sprintf("pid %d", h.PID)
	if h.Host != "" {
		pid += " on host " + h.Host
	}
	layout := "15:04"
	if time.Since(h.Since) > 12*time.Hour {
		layout = "2006-01-02 15:04"
	}
	return strings.Join(append(words, pid, "since "+h.Since.Local().Format(layout)), ", ")
}

// LockedError means that another process holds the state directory: ErrLocked, with who it is.
type LockedError struct {
	Dir    string
	Holder Holder // the zero one when it did not say
}

// Error names the holder and the directory.
func (e LockedError) Error() string {
	if e.Holder == (Holder{}) {
		return "another poundlock holds the state directory " + e.Dir
	}
	return fmt.Sprintf("another poundlock (%s) holds the state directory %s", e.Holder, e.Dir)
}

// Is makes every LockedError an ErrLocked.
func (LockedError) Is(target error) bool { return target == ErrLocked }

// holderFile lies beside the lock. The lock itself is the file lock on state.db; what this file says is
// believed only while somebody really has that.
const holderFile = "holder.json"

// lockedBy gives the error for a directory whose lock another process has.
func lockedBy(dir string) LockedError {
	e := LockedError{Dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, holderFile))
	if err != nil || json.Unmarshal(text, &e.Holder) != nil || e.Holder.PID == 0 {
		e.Holder = Holder{} // held by one that could not write it, or is about to
	}
	return e
}

// lock opens the state of a configuration and writes down who holds it. unlock takes that back and lets the state
// go, in this order: a file without its lock would be a lie, if one that nobody believes.
func lock(c config.Config, o Options) (s *State, unlock func(context.Context) error, err error) {
	if s, err = OpenState(c.StateDir); err != nil {
		return nil, nil, placed(c, err)
	}
	file := filepath.Join(c.StateDir, holderFile)
	if err := writeHolder(file, o); err != nil {
		o.Log.Warn("who holds the state directory cannot be written down", keyError, err)
	}
	return s, func(context.Context) error {
		if s.gone() {
			return s.Close() // what lies there now is of another process
		}
		err := os.Remove(file)
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return errors.Join(err, s.Close())
	}, nil
}

// writeHolder writes the file anew beside the old one, so that nobody reads half of it.
func writeHolder(file string, o Options) error {
	host, _ := os.Hostname() // a host without a name is left out
	text, err := json.Marshal(Holder{Command: o.Command, PID: os.Getpid(), Host: host, Since: o.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	fresh := file + ".new"
	if err := os.WriteFile(fresh, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, file)
}

// unanswered means that a process holds the state directory and does not answer on its socket.
type unanswered struct{ problem mirror.Problem }

func (e unanswered) Error() string { return e.problem.Error() }

// Unwrap makes it an ErrLocked.
func (e unanswered) Unwrap() []error { return []error{e.problem, ErrLocked} }

// Temporary says that trying again may help: the process may be about to answer, or to end.
func (unanswered) Temporary() bool { return true }

// absent gives why nobody answers on the socket: ErrNoDaemon, or unanswered when somebody holds the lock all the same.
func absent(c config.Config) error {
	if !isHeld(c.StateDir) {
		return fmt.Errorf("%w on %s", ErrNoDaemon, c.StateDir)
	}
	by := lockedBy(c.StateDir)
	p := mirror.Problem{Code: "LOCK004", Path: "socket", Where: socketPlace(c), What: by.Error() + ", but does not answer on " + c.SocketPath(),
		Why: "it is starting or ending, it runs with another `socket`, or its socket was removed; a daemon makes that again within seconds",
		Fix: "try again in a moment; when it stays so, look at its log, or end it and start it again"}
	if by.Holder.PID != 0 {
		p.Fix = fmt.Sprintf("try again in a moment; when it stays so, look at its log, or end pid %d and start it again", by.Holder.PID)
	}
	return unanswered{p}
}
