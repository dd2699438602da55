package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// socketPlace is the line that sets where the socket is: that of the state directory when there is none for itself.
func socketPlace(c config.Config) mirror.Position {
	if c.Socket == "" {
		return c.PlaceOf("stateDir")
	}
	return c.PlaceOf("socket")
}

// socket is a face on a Unix socket, for the commands of the same user and of root.
type socket struct {
	path string
	file fs.FileInfo // what we made there
	http *http.Server
	end  context.CancelFunc
	done chan error
}

// listenSocket answers the commands on the path that a configuration names. A socket that a dead process left there
// is replaced, one that somebody answers on never.
func (f *face) listenSocket(c config.Config) (*socket, error) {
	path := c.SocketPath()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := vacant(path, socketPlace(c)); err != nil {
		return nil, err
	}
	listener, file, err := bind(path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	ctx, end := context.WithCancel(context.Background())
	s := &socket{path: path, file: file, end: end, done: make(chan error, 1), http: &http.Server{Handler: f.orders(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// vacant makes sure that nobody answers on the path, and that what is there is a socket at most.
func vacant(path string, place mirror.Position) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return mirror.Problems{{Code: "CFG041", Path: "socket", Where: place, What: path + " is there and is no socket", Fix: "set socket to another path, or take away what is there"}}
	}
	conn, err := net.DialTimeout("unix", path, dialWithin)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil // of a process that was killed
	}
	if err == nil {
		err = conn.Close()
	}
	return errors.Join(mirror.Problems{{Code: "LOCK002", Path: "socket", Where: place, What: "another process answers on the socket " + path,
		Fix: "give each daemon a stateDir, and a socket, of its own"}}, err)
}

// bind makes the socket in a folder that only we can enter and then moves it to its place, so that at no moment
// anybody else can open it. That also replaces a stale one.
func bind(path string) (net.Listener, fs.FileInfo, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), "")
	if err != nil {
		return nil, nil, err
	}
	defer os.Remove(dir)
	made := filepath.Join(dir, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	listener.SetUnlinkOnClose(false)
	info, err := os.Lstat(made)
	if err == nil {
		err = os.Chmod(made, 0o600)
	}
	if err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		return nil, nil, errors.Join(err, listener.Close(), os.Remove(made))
	}
	return listener, info, nil
}

// lost says whether nobody finds the socket at its path any more.
func (s *socket) lost() bool {
	info, err := os.Lstat(s.path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	}
	return !os.SameFile(info, s.file)
}

// close ends all answers and takes the socket away, if it is still ours. A client that hangs does not hold it.
func (s *socket) close() error {
	if s == nil {
		return nil
	}
	s.end()
	ctx, cancel := context.WithTimeout(context.Background(), dialWithin)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	err := <-s.done
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if info, statErr := os.Lstat(s.path); statErr == nil && os.SameFile(info, s.file) {
		err = errors.Join(err, os.Remove(s.path))
	}
	return err
}
