package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

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
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
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

// damaged says whether a state that cannot be opened is itself at fault, so that setting it aside helps. Where
// the disk is full or may not be written, the state is as good as before.
func damaged(err error) bool {
	for _, whole := range []error{ErrLocked, fs.ErrPermission, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, whole) {
			return false
		}
	}
	return true
}
