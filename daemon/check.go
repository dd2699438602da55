package daemon

import (
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

// ReadFleet gives desired/ and stages/ of a checkout on disk, by their names in the fleet repository. As in a
// commit, links are not followed.
func ReadFleet(dir string) (mirror.Files, mirror.Problems) {
	return readTree(dir, tree{tops: []string{"desired", "stages"}, optional: true, tooMany: "move what is not input out of these directories"})
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
