package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/sources"
	"github.com/poundlock/poundlock/sync/render"
)

// CheckFleet reads everything that people wrote in desired/ and stages/ and gives all mistakes of it in one pass,
// each with its line. commit is empty for files that are in no commit yet. What comes back with problems is not to
// be used.
func CheckFleet(commit string, files mirror.Files) (mirror.Desired, policy.Policy, mirror.Problems) {
	desired, problems := mirror.ParseDesired(commit, files)
	for i := range desired.Sets {
		set := &desired.Sets[i]
		if set.Source.Kind != "" {
			problems = problems.Plus(sources.Read(set, files))
		}
		problems = problems.Plus(render.Check(*set, files))
	}
	problems = problems.Plus(sources.MadeApart(desired.Sets))
	for _, c := range desired.Consumers {
		problems = problems.Plus(render.CheckConsumer(c, desired.Sets, files))
	}
	rules, more := policy.Load(files, commit)
	problems = append(problems, more...)
	_, more = policy.LoadTests(files, commit)
	problems = append(problems, more...)
	for i := range problems {
		problems[i].Where.Commit = commit
	}
	problems.QuotePublic(files)
	_ = problems.Err() // in the order of the files
	return desired, rules, problems
}

// Bounds of a checkout that is read from disk; the same that hold for a commit.
const (
	maxCheckoutFiles = 20000
	maxCheckoutBytes = 256 << 20
)

// ReadFleet gives desired/ and stages/ of a checkout on disk, by their names in the fleet repository. As in a
// commit, links are not followed.
func ReadFleet(dir string) (mirror.Files, mirror.Problems) {
	files := mirror.Files{}
	var ps mirror.Problems
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, mirror.Problems{mirror.Unreadable(dir, err)}
	}
	defer root.Close()
	total := 0
	for _, top := range []string{"desired", "stages"} {
		err := fs.WalkDir(root.FS(), top, func(name string, e fs.DirEntry, err error) error {
			where := mirror.Position{File: name}
			switch {
			case err != nil && name == top && errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				ps = append(ps, mirror.Unreadable(name, err))
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
				ps.Add("GIT006", mirror.Position{File: top}, "move what is not input out of these directories", "more than %d files or %d MiB", maxCheckoutFiles, maxCheckoutBytes>>20)
				return fs.SkipAll
			}
			data, err := root.ReadFile(name)
			if err != nil {
				ps = append(ps, mirror.Unreadable(name, err))
				return nil
			}
			total += len(data)
			files[name] = data
			return nil
		})
		if err != nil {
			ps = append(ps, mirror.Unreadable(top, err))
		}
	}
	return files, ps
}

// Checkout finds the folder of a checkout in which desired/ lies: the folder itself, or the one below it that
// git.path of the configuration names. It is false where there is neither.
func Checkout(dir, gitPath string) (string, bool) {
	for _, p := range []string{filepath.Join(dir, filepath.FromSlash(path.Clean("/"+gitPath))), dir} {
		if info, err := os.Lstat(filepath.Join(p, "desired")); err == nil && info.IsDir() {
			return p, true
		}
	}
	return dir, false
}

// ValidateFleet is CheckFleet for a checkout on disk. Problems name files as seen from the current folder.
func ValidateFleet(dir string) (mirror.Desired, mirror.Problems) {
	files, problems := ReadFleet(dir)
	if len(files) == 0 && len(problems) > 0 {
		return mirror.Desired{}, problems
	}
	desired, _, more := CheckFleet("", files)
	problems = append(problems, more...)
	for i := range problems {
		if f := &problems[i].Where.File; *f != "" && !strings.HasPrefix(*f, "..") {
			*f = filepath.Join(dir, filepath.FromSlash(*f))
		}
	}
	return desired, problems
}
