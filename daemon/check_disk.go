package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Bounds of a checkout that is read from disk; the same that hold for a commit.
const (
	maxCheckoutFiles = 20000
	maxCheckoutBytes = 256 << 20
)

// tree is what is read of a folder on disk.
type tree struct {
	tops     []string // below it
	optional bool     // a top may be missing
	below    string   // put before the names of files
	tooMany  string   // what to do where there are too many
}

// readTree gives the files of a folder on disk. As in a commit, links are not followed, and the bounds are those of one.
func readTree(dir string, t tree) (mirror.Files, mirror.Problems) {
	files := mirror.Files{}
	var ps mirror.Problems
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, mirror.Problems{mirror.Unreadable(dir, err)}
	}
	defer root.Close()
	total := 0
	for _, top := range t.tops {
		err := fs.WalkDir(root.FS(), top, func(name string, e fs.DirEntry, err error) error {
			where := mirror.Position{File: path.Join(t.below, name)}
			switch {
			case err != nil && name == top && t.optional && errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				ps = append(ps, mirror.Unreadable(where.File, err))
				return nil
			case e.Type()&fs.ModeSymlink != 0:
				ps.Add("GIT001", where, "put the file itself here", "symbolic links are not followed")
				return nil
			case e.IsDir():
				return nil
			case !e.Type().IsRegular():
				ps.Add("GIT004", where, "delete it", "this is neither a file nor a directory")
				return nil
			case len(files) >= maxCheckoutFiles || total >= maxCheckoutBytes:
				ps.Add("GIT006", mirror.Position{File: path.Join(t.below, top)}, t.tooMany, "more than %d files or %d MiB", maxCheckoutFiles, maxCheckoutBytes>>20)
				return fs.SkipAll
			}
			data, err := root.ReadFile(name)
			if err != nil {
				ps = append(ps, mirror.Unreadable(where.File, err))
				return nil
			}
			total += len(data)
			files[where.File] = data
			return nil
		})
		if err != nil {
			ps = append(ps, mirror.Unreadable(path.Join(t.below, top), err))
		}
	}
	return files, ps
}
