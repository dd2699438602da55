package git

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxDepth is how many directories may be inside each other.
const maxDepth = 32

// Inputs gives the identity of the trees desired/ and stages/ at a commit: it changes when, and only when,
// something in them changes. A tree that is not there counts as empty.
func (r *Repo) Inputs(commit string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, c, err := r.named(commit)
	if err != nil {
		return "", err
	}
	parts := make([]string, 0, 2)
	for _, dir := range []string{"desired", "stages"} {
		e, ps, err := r.find(c.TreeHash, commit, dir)
		if err == nil {
			err = ps.Err()
		}
		if err != nil {
			return "", err
		}
		parts = append(parts, dir+"="+strings.Trim(e.mode+":"+e.id.String(), ":"))
	}
	return strings.Join(parts, " "), nil
}

// Files reads every file below the directories at a commit; without directories, all of Options.Path.
// Names are relative to Options.Path. Links, submodules, odd names and anything over the limits are
// refused as mirror.Problems that name the path; then no file is given at all.
func (r *Repo) Files(commit string, dirs ...string) (mirror.Files, error) {
	return r.files(commit, false, dirs)
}

// Outline reads like Files, but gives a file that is over the limit of its size as an empty one. It is for files that are
// to be written anew whatever they hold: one that somebody made too large must not be what keeps us from that.
func (r *Repo) Outline(commit string, dirs ...string) (mirror.Files, error) {
	return r.files(commit, true, dirs)
}

func (r *Repo) files(commit string, outline bool, dirs []string) (mirror.Files, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, c, err := r.named(commit)
	if err != nil {
		return nil, err
	}
	if len(dirs) == 0 {
		dirs = []string{""}
	}
	w := walk{repo: r, commit: commit, outline: outline, files: mirror.Files{}}
	for _, dir := range dirs {
		dir = strings.Trim(dir, "/")
		e, ps, err := r.find(c.TreeHash, commit, dir)
		if err != nil {
			return nil, err
		}
		w.problems = append(w.problems, ps...)
		if e.id.IsZero() {
			continue
		}
		if err := w.descend(dir, e, 0); err != nil {
			return nil, err
		}
	}
	if err := w.problems.Err(); err != nil {
		return nil, err
	}
	return w.files, nil
}

// find looks up a directory below Options.Path. The zero entry means that it is not there; anything else
// than a directory on the way is a problem, since following it could lead anywhere.
func (r *Repo) find(root plumbing.Hash, commit, dir string) (entry, mirror.Problems, error) {
	at, e := "", entry{mode: modeTree, id: root}
	for _, name := range strings.Split(strings.Trim(r.opts.Path+"/"+dir, "/"), "/") {
		if name == "" {
			continue
		}
		var ps mirror.Problems
		entries, err := r.listing(commit, at, e.id, &ps)
		if err != nil || len(ps) > 0 {
			return entry{}, ps, err
		}
		at, e = join(at, name), entry{}
		for _, one := range entries {
			if one.name == name {
				e = one
			}
		}
		if e.id.IsZero() {
			return entry{}, nil, nil
		}
		if !e.isTree() {
			refuseMode(&ps, mirror.Position{File: at, Commit: commit}, e, "a directory")
			return entry{}, ps, nil
		}
	}
	return e, nil, nil
}

// listing reads one directory; a malformed one is a problem of the repository, not damage of the clone.
func (r *Repo) listing(commit, dir string, id plumbing.Hash, ps *mirror.Problems) ([]entry, error) {
	entries, err := r.tree(id)
	where := mirror.Position{File: dir, Commit: commit}
	if where.File == "" {
		where.File = "."
	}
	var size *sizeError
	switch {
	case errors.As(err, &size):
		ps.Add("GIT005", where, "split it up", "directory listing of %d bytes is too large", size.size)
		return nil, nil
	case errors.Is(err, errTree):
		ps.Add("GIT004", where, "commit the directory anew with git", "%v", err)
		return nil, nil
	}
	return entries, err
}

// walk collects the files of some directories.
type walk struct {
	repo     *Repo
	commit   string
	outline  bool // a file that is too large is empty
	files    mirror.Files
	problems mirror.Problems
	entries  int // seen so far, directories included
	bytes    int64
	stopped  bool // a limit of the whole walk was passed
}

func (w *walk) descend(dir string, e entry, depth int) error {
	if depth > maxDepth {
		w.problems.Add("GIT005", w.at(dir), "flatten it", "more than %d directories inside each other", maxDepth)
		return nil
	}
	entries, err := w.repo.listing(w.commit, dir, e.id, &w.problems)
	if err != nil {
		return err
	}
	for _, one := range entries {
		// Directories count as well: a few trees that contain each other's copies could otherwise be
		// walked for ever without one file.
		if w.entries++; w.entries > 2*w.repo.opts.Limits.Files || len(w.files) >= w.repo.opts.Limits.Files && !one.isTree() {
			w.stop("GIT006", dir, "more than %d files", w.repo.opts.Limits.Files)
		}
		if w.stopped || len(w.problems) >= maxProblems {
			return nil
		}
		if err := w.take(dir, one, depth); err != nil {
			return err
		}
	}
	return nil
}

// maxProblems ends the walk through a repository that is wrong everywhere.
const maxProblems = 50

func (w *walk) take(dir string, e entry, depth int) error {
	if err := checkName(e.name); err != nil {
		w.problems.Add("GIT003", w.at(dir+"/"+printable(e.name)), "rename it", "%v", err)
		return nil
	}
	name := join(dir, e.name)
	switch e.mode {
	case modeTree:
		return w.descend(name, e, depth+1)
	case modeFile, modeExecutable, modeGroupWrite:
		return w.read(name, e)
	}
	refuseMode(&w.problems, w.at(name), e, "a file or a directory")
	return nil
}

func (w *walk) read(name string, e entry) error {
	limits := w.repo.opts.Limits
	body, err := w.repo.object(plumbing.BlobObject, e.id, limits.File)
	var size *sizeError
	switch {
	case errors.As(err, &size) && w.outline:
		w.files[name] = []byte{}
		return nil
	case errors.As(err, &size):
		fix := "split it up, or take it out of the fleet repository"
		if strings.HasSuffix(name, ".zip") { // a package of the site's own
			fix = "take it out of the fleet repository, and name it in own: of its set by drop, address or oci"
		}
		w.problems.Add("GIT005", w.at(name), fix, "file of %d bytes is too large, the limit is %d", size.size, limits.File)
		return nil
	case err != nil:
		return fmt.Errorf("read %s at %s: %w", name, w.commit, err)
	}
	if w.bytes += int64(len(body)); w.bytes > limits.Total {
		w.stop("GIT006", name, "more than %d bytes in all files", limits.Total)
		return nil
	}
	if bytes.HasPrefix(body, []byte("version https://git-lfs.github.com/spec/")) {
		w.problems.Add("GIT007", w.at(name), "commit the file itself", "the file is a pointer to Git LFS, which is not read")
		return nil
	}
	w.files[name] = body
	return nil
}

func (w *walk) at(name string) mirror.Position {
	if name = strings.TrimPrefix(name, "/"); name == "" {
		name = "."
	}
	return mirror.Position{File: name, Commit: w.commit}
}

func (w *walk) stop(code, name, format string, args ...any) {
	if !w.stopped {
		w.problems.Add(code, w.at(name), "move what is not input out of these directories", format, args...)
	}
	w.stopped = true
}

func refuseMode(ps *mirror.Problems, where mirror.Position, e entry, want string) {
	switch e.mode {
	case modeSymlink:
		ps.Add("GIT001", where, "commit the file itself", "symbolic links are not followed")
	case modeGitlink:
		ps.Add("GIT002", where, "commit the files themselves", "submodules are not read")
	default:
		ps.Add("GIT004", where, "", "want %s, have an entry of mode %s", want, printable(e.mode))
	}
}
