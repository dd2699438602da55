package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// CopyClone puts the clone of one Options.Dir into another, for a process that only looks beside the one that
// fetches. Nothing there may be a clone yet. Where there is none to copy, or it changes under the copy so that
// a part is missing, nothing is left behind and the error says why: the next Fetch then clones anew. A copy that
// mixes two states is found by Open, as any damage is.
func CopyClone(from, to string) (err error) {
	source, target := filepath.Join(from, cloneName), filepath.Join(to, cloneName)
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("copy the clone: %w", err), os.RemoveAll(target))
		}
	}()
	// The refs first: what they name when they are read is there when the objects are.
	for _, objects := range []bool{false, true} {
		err := filepath.WalkDir(source, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			path, err := filepath.Rel(source, name)
			if err != nil {
				return err
			}
			inside := path == "objects" || strings.HasPrefix(path, "objects"+string(filepath.Separator))
			switch {
			case entry.IsDir() && inside && !objects:
				return fs.SkipDir
			case entry.IsDir():
				return os.MkdirAll(filepath.Join(target, path), 0o700)
			case inside != objects, !entry.Type().IsRegular(), strings.HasSuffix(name, ".lock"), strings.HasPrefix(entry.Name(), "tmp_"):
				return nil
			case objects && os.Link(name, filepath.Join(target, path)) == nil:
				return nil // objects and packs are never changed once they are there
			}
			return copyFile(name, filepath.Join(target, path))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// Head gives the commit that the clone was fetched at last, without asking anybody.
func (r *Repo) Head() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.damage != nil {
		return "", fmt.Errorf("%w: %w", mirror.ErrOffline, r.damage)
	}
	head, err := r.localHead()
	return head.String(), err
}

// Subject gives the first line of the message of a commit that the clone holds.
func (r *Repo) Subject(commit string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, c, err := r.named(commit)
	if err != nil {
		return "", err
	}
	subject, _, _ := strings.Cut(c.Message, "\n")
	return subject, nil
}
