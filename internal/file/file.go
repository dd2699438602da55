// Package file reads files that somebody named, whatever they turn out to be.
//
// It promises that no read waits for ever or fills the memory: a named pipe, a device or a socket is refused without
// being read, and of a regular file no more is read than the caller has room for.
package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ErrNotRegular is in the chain of the error for what is there and is no regular file, such as a named pipe or a
// device. A directory is syscall.EISDIR.
var ErrNotRegular = errors.New("not a regular file")

// TooLargeError means that a file is larger than its reader takes.
type TooLargeError struct{ Limit int64 } // in bytes

// Error names the limit.
func (e *TooLargeError) Error() string { return fmt.Sprintf("larger than %d bytes", e.Limit) }

// Read gives the content of a regular file of at most limit bytes; symbolic links are followed. Of a larger one it
// gives the first limit+1 bytes with a TooLargeError.
func Read(name string, limit int64) ([]byte, error) {
	// Without O_NONBLOCK the opening of a pipe would wait for somebody who writes into it.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, syscall.ENXIO) { // a socket
		err = ErrNotRegular
	}
	if err != nil {
		return nil, named(name, err)
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return nil, named(name, err)
	case info.IsDir():
		return nil, named(name, syscall.EISDIR)
	case !info.Mode().IsRegular():
		return nil, named(name, ErrNotRegular)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = &TooLargeError{limit}
	}
	return content, named(name, err)
}

// named puts the name of the file before an error that does not have it yet.
func named(name string, err error) error {
	if err == nil || errors.As(err, new(*fs.PathError)) {
		return err
	}
	return &fs.PathError{Op: "read", Path: name, Err: err}
}
