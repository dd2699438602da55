package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// temporaryName begins the names of folders that lines which only look make for themselves.
const temporaryName = "poundlock-look-"

// settled is how old such a folder is at least before anybody takes it for one that was left behind.
const settled = time.Minute

// temporaryDir makes a folder that Close removes, and removes those that a process left which was killed. Whoever
// uses one holds the lock of it, which ends with the process.
func (l *Line) temporaryDir() (string, error) {
	sweepTemporary(l.now())
	dir, err := os.MkdirTemp("", temporaryName)
	if err != nil {
		return "", err
	}
	held, err := flock(dir)
	if err != nil {
		return "", errors.Join(fmt.Errorf("lock %s: %w", dir, err), os.RemoveAll(dir))
	}
	l.onClose(func(context.Context) error { return errors.Join(os.RemoveAll(dir), held.Close()) })
	return dir, nil
}

// sweepTemporary removes the folders that nobody holds any more. What cannot be removed, such as that of
// another user, is left.
func sweepTemporary(now time.Time) {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryName+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || now.Sub(info.ModTime()) < settled {
			continue
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
			continue
		}
		if held, err := flock(dir); err == nil {
			_ = os.RemoveAll(dir) // the next one tries again
			_ = held.Close()
		}
	}
}

// flock takes the lock of a folder, which lasts until the file is closed.
func flock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
