package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// packageDrop is a package in a folder of this machine in which somebody puts packages.
type packageDrop struct {
	dir string
	zip string
	sig string // "" where there is none
	at  mirror.PackageAt
}

// dropped gives a package of a drop folder, named <folder>/<file>. The folder is opened as a root: no name leads out of it,
// also not by a link.
func (p *packages) dropped(name string, at mirror.PackageAt) (packageOrigin, error) {
	folder, file, ok := strings.Cut(name, "/")
	dir, known := p.line.config.Packages.Drop[folder]
	if !ok || !known || !fs.ValidPath(file) {
		return nil, mirror.Problem{Code: "PKG023", What: fmt.Sprintf("there is no drop folder %s on this machine", mirror.OneLine(folder)),
			Fix: "name it in config.yaml: packages.drop." + mirror.OneLine(folder)}
	}
	sig, _ := strings.CutPrefix(at.Signature, "drop:"+folder+"/")
	return packageDrop{dir, file, sig, at}, nil
}

func (p packageDrop) file(name string) (*os.File, os.FileInfo, error) {
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	if info, err := root.Stat(name); err != nil || !info.Mode().IsRegular() { // the opening of a pipe would wait
		return nil, nil, errors.Join(err, missingUnless(err, name))
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // also where it became one since
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, nil, errors.Join(err, missingUnless(err, name))
	}
	return f, info, nil
}

func missingUnless(err error, name string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", mirror.OneLine(name), mirror.ErrNotFound)
	case err == nil:
		return fmt.Errorf("%s is no regular file: %w", mirror.OneLine(name), errAnswer)
	}
	return nil
}

func (p packageDrop) signature(context.Context) ([]byte, error) {
	if p.sig == "" {
		return nil, nil
	}
	f, _, err := p.file(p.sig)
	if errors.Is(err, mirror.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readSignature(f, p.at)
}

func (p packageDrop) stat(context.Context) (zipMark, error) {
	f, info, err := p.file(p.zip)
	if err != nil {
		return zipMark{}, err
	}
	defer f.Close()
	return markOfFile(info), nil
}

func markOfFile(info os.FileInfo) zipMark {
	return zipMark{Size: info.Size(), Modified: info.ModTime().UTC().Format(time.RFC3339Nano)}
}

// open reads the file from its start: it is here, and what is read twice costs nothing. One that changes while it is read
// ends in an error.
func (p packageDrop) open(context.Context, int64, partMark) (io.ReadCloser, int64, zipMark, error) {
	f, info, err := p.file(p.zip)
	if err != nil {
		return nil, 0, zipMark{}, err
	}
	return steadyFile{f, info}, 0, markOfFile(info), nil
}

// steadyFile is a file that must not change while it is read.
type steadyFile struct {
	*os.File
	was os.FileInfo
}

// Read fails at the end of a file that is another one by then.
func (s steadyFile) Read(b []byte) (int, error) {
	n, err := s.File.Read(b)
	if err == io.EOF {
		if now, statErr := s.Stat(); statErr != nil || now.Size() != s.was.Size() || !now.ModTime().Equal(s.was.ModTime()) {
			return n, errors.New("the file changed while it was read")
		}
	}
	return n, err
}
