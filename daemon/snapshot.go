package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// snapshotWithin is how long a daemon may take to hand over a copy of its state.
const snapshotWithin = time.Minute

// takeState copies the state for a line that only looks: from the daemon that holds it, through its socket, else
// from the file. What this user may not read is an error. Where a process holds the state and does not
// answer, the line begins with none and says what that means.
func (l *Line) takeState(ctx context.Context, dir string) error {
	err := l.askState(ctx, dir)
	if errors.Is(err, ErrNoDaemon) {
		err = copyState(l.config.StateDir, dir)
	}
	if errors.Is(err, os.ErrPermission) {
		return placed(l.config, stateError(l.config.StateDir, err))
	}
	if err != nil {
		l.log.Warn("another process holds the state: what it recorded already may show as to record, and tags that others moved as foreign", keyError, err)
	}
	return nil
}

func (l *Line) askState(ctx context.Context, dir string) (err error) {
	client, err := Dial(l.config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotWithin)
	defer cancel()
	file, err := os.OpenFile(filepath.Join(dir, stateFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	return client.State(ctx, file)
}
