package daemon

import (
	"io/fs"
	"os"
	"path"

	"github.com/poundlock/poundlock/internal/mirror"
)

// ReadPackage gives the files below a folder on disk, by its name and theirs, as elastic.Build reads them. As in a commit,
// links are not followed, and the bounds are those of a checkout.
func ReadPackage(dir string) (mirror.Files, mirror.Problems) {
	files := mirror.Files{}
	var ps mirror.Problems
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, mirror.Problems{mirror.Unreadable(dir, err)}
	}
	defer root.Close()
	total := 0
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		where := mirror.Position{File: path.Join(dir, name)}
		switch {
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
			ps.Add("GIT006", mirror.Position{File: dir}, "name the folder of one package", "more than %d files or %d MiB", maxCheckoutFiles, maxCheckoutBytes>>20)
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
		ps = append(ps, mirror.Unreadable(dir, err))
	}
	return files, ps
}
