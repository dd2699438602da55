package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// DiskError is a state directory that cannot be used: the problem for people, and the error of the system.
type DiskError struct {
	Problem mirror.Problem
	Err     error
	mended  bool // by the operator alone: trying again does not help
}

// Error gives the problem as people read it.
func (e *DiskError) Error() string { return e.Problem.Error() }

// Unwrap gives the parts; a directory that only a person can mend is a mistake of the configuration.
func (e *DiskError) Unwrap() []error {
	if e.mended {
		return []error{config.ErrConfiguration, e.Problem, e.Err}
	}
	return []error{e.Problem, e.Err}
}

// Temporary says whether a retry may help: a disk that is full may have space again.
func (e *DiskError) Temporary() bool { return !e.mended }

// diskTrouble says of what kind an error of the state directory is, nil when it is none of the disk.
func diskTrouble(dir string, err error) *DiskError {
	trouble := func(code, fix, format string, args ...any) *DiskError {
		return &DiskError{Err: err, Problem: mirror.Problem{Code: code, Where: mirror.Position{File: dir}, Fix: fix, What: fmt.Sprintf(format, args...)}}
	}
	why := "the state directory holds what poundlock remembers between two runs and its lock"
	var e *DiskError
	switch {
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist): // the last: not even root makes it there
		e = trouble("DISK001", "make it writable for the user of poundlock, or set stateDir to a folder that is", "the state directory %s cannot be written", dir)
		e.mended = true
	case errors.Is(err, syscall.ENOTDIR):
		e = trouble("DISK002", "move that file out of the way, or set stateDir to another folder", "the state directory %s is a file, or lies below one", dir)
		e.mended = true
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e = trouble("DISK003", "free space there: `df -h "+dir+"` and `df -i "+dir+"` say how much is left", "no space is left for the state directory %s", dir)
	case errors.Is(err, syscall.EIO):
		e = trouble("DISK004", "look at the disk: `dmesg` says what it reports; the state may be deleted, it is found out again", "the disk under the state directory %s reports an error", dir)
	default:
		return nil
	}
	e.Problem.Why = fmt.Sprintf("%s; the system says: %v", why, err)
	return e
}

// stateError is an error of opening the state in dir, with advice where the disk or another process is at fault.
func stateError(dir string, err error) error {
	if errors.Is(err, ErrLocked) {
		return lockedBy(dir)
	}
	if trouble := diskTrouble(dir, err); trouble != nil {
		return trouble
	}
	return fmt.Errorf("state directory %s: %w", dir, err)
}

// placed names the line that sets the state directory where its disk is in trouble.
func placed(c config.Config, err error) error {
	var trouble *DiskError
	if errors.As(err, &trouble) {
		trouble.Problem.Path, trouble.Problem.Where = "stateDir", c.PlaceOf("stateDir")
	}
	return err
}

// stateGone is the error for a state directory that was taken away under the daemon.
func stateGone(c config.Config) error {
	return placed(c, &DiskError{Err: fs.ErrNotExist, Problem: mirror.Problem{Code: "DISK006", What: "the state directory " + c.StateDir + " was deleted or replaced under the daemon, which ends",
		Why: "its lock went with it: a second daemon could start there, and neither would know of the other",
		Fix: "start it again, where no service manager does: all that was there is found out again; stop it before the next time that you delete it"}})
}

// errDamaged means that bbolt met something in a state that it cannot have written.
var errDamaged = errors.New("the state is damaged")

// damaged says whether a state that cannot be opened is itself at fault, so that setting it aside helps. Whatever
// else is in the way, such as a disk or a limit of the system, the state is as good as before.
func damaged(err error) bool {
	for _, damage := range []error{errDamaged, bolterrors.ErrInvalid, bolterrors.ErrChecksum, bolterrors.ErrVersionMismatch} {
		if errors.Is(err, damage) {
			return true
		}
	}
	return err != nil && strings.HasPrefix(err.Error(), "file size too small") // bbolt has no name for it
}

// whole turns the panic of bbolt over a damaged page into an error. A page that the disk does not give is none.
func whole(file string, err *error) {
	fault := recover()
	if fault == nil {
		return
	}
	*err = fmt.Errorf("%w: %v", errDamaged, fault)
	f, failed := os.Open(file)
	if failed == nil {
		_, failed = io.Copy(io.Discard, f)
		failed = errors.Join(failed, f.Close())
	}
	if failed != nil {
		*err = failed
	}
}

// maxAside is how many damaged states are kept beside the one in use.
const maxAside = 10

// setAside gives a damaged state another name, never that of one that was set aside before.
func setAside(file string) error {
	for n := range maxAside {
		to := file + ".damaged"
		if n > 0 {
			to = fmt.Sprintf("%s-%d", to, n+1)
		}
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(file, to)
		}
	}
	return fmt.Errorf("%w, and %d that were set aside before lie beside it", errDamaged, maxAside)
}
