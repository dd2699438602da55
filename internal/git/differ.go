package git

import (
	"errors"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Differ lists the files below directories that two commits do not have alike, relative to Options.Path, sorted;
// without directories, below all of Options.Path. What is no file, such as a link, is listed by its name, too. Names
// are as they stand in the commits, which anybody may have made: they are not fit to be shown as they are. More than
// Limits.Files are mirror.Problems.
func (r *Repo) Differ(a, b string, dirs ...string) ([]string, error) {
	if len(dirs) == 0 {
		dirs = []string{""}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	roots, err := r.roots(a, b)
	if err != nil {
		return nil, err
	}
	d := differing{repo: r, commit: b}
	for _, dir := range dirs {
		full := join(r.opts.Path, strings.Trim(dir, "/"))
		var at [2]entry
		for i, root := range roots {
			at[i] = entry{mode: modeTree, id: root}
			if full == "" {
				continue
			}
			if at[i], err = r.lookup(root, full); err != nil {
				return nil, err
			}
		}
		if err := d.compare(full, at[0], at[1], 0); err != nil {
			return nil, err
		}
	}
	return d.relative(r.opts.Path), d.problems.Err()
}

// roots gives the top folders of commits. The caller holds mu.
func (r *Repo) roots(commits ...string) ([]plumbing.Hash, error) {
	var roots []plumbing.Hash
	for _, commit := range commits {
		_, c, err := r.named(commit)
		if err != nil {
			return nil, err
		}
		roots = append(roots, c.TreeHash)
	}
	return roots, nil
}

// differing collects the names of what two commits do not have alike.
type differing struct {
	repo     *Repo
	commit   string // of the two, the one that mistakes are told of
	names    []string
	entries  int
	problems mirror.Problems
}

// compare lists what differs at a path and below.
func (d *differing) compare(path string, a, b entry, depth int) error {
	if a.id == b.id && a.mode == b.mode || len(d.problems) > 0 {
		return nil
	}
	if d.entries++; d.entries > 2*d.repo.opts.Limits.Files || len(d.names) >= d.repo.opts.Limits.Files || depth > maxDepth {
		d.problems.Add("GIT006", mirror.Position{File: printable(path), Commit: d.commit}, "make several smaller changes of it",
			"too many files or folders differ to be compared, the limit is %d files", d.repo.opts.Limits.Files)
		return nil
	}
	inA, errA := d.folder(a)
	inB, errB := d.folder(b)
	switch err := errors.Join(errA, errB); {
	case errors.Is(err, errNoFolder):
		d.names = append(d.names, path) // a file became a folder, or one cannot be read: the name says enough
		return nil
	case err != nil:
		return err
	case !a.isTree() && !b.isTree():
		d.names = append(d.names, path)
		return nil
	case (!a.isTree() && !a.id.IsZero()) || (!b.isTree() && !b.id.IsZero()):
		d.names = append(d.names, path) // and what lies in the folder that it was or became
	}
	names := map[string]bool{}
	for _, in := range []map[string]entry{inA, inB} {
		for name := range in {
			names[name] = true
		}
	}
	for name := range names {
		if err := d.compare(join(path, name), inA[name], inB[name], depth+1); err != nil {
			return err
		}
	}
	return nil
}

// errNoFolder is a folder that Git itself would not have written, or one that is too large.
var errNoFolder = errors.New("the folder cannot be read")

// folder gives what lies in an entry by name: nothing where it is no folder.
func (d *differing) folder(e entry) (map[string]entry, error) {
	if e.mode == modeUnreadable {
		return nil, errNoFolder
	}
	if !e.isTree() || e.id.IsZero() {
		return nil, nil
	}
	entries, err := d.repo.tree(e.id)
	var size *sizeError
	if errors.Is(err, errTree) || errors.As(err, &size) {
		return nil, errNoFolder
	}
	in := map[string]entry{}
	for _, one := range entries {
		in[one.name] = one
	}
	return in, err
}

// relative gives the names below a folder, each once. What stands in the way to it goes by its own name.
func (d *differing) relative(to string) []string {
	var names []string
	for _, name := range d.names {
		if to != "" {
			name = strings.TrimPrefix(name, to+"/")
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// folders are those that a walk through history reads, which most commits have as the one before them.
type folders struct {
	repo *Repo
	read map[plumbing.Hash]map[string]entry
}

// maxFolders is how many a walk keeps.
const maxFolders = 256

// alike says whether a path is the same in two trees, and reads no more of them than it must. The caller holds mu.
func (f *folders) alike(a, b plumbing.Hash, path string) (bool, error) {
	atA, atB := entry{mode: modeTree, id: a}, entry{mode: modeTree, id: b}
	for name := range strings.SplitSeq(path, "/") {
		if atA == atB || path == "" {
			break
		}
		var err error
		if atA, err = f.child(atA, name); err != nil {
			return false, err
		}
		if atB, err = f.child(atB, name); err != nil {
			return false, err
		}
	}
	return atA == atB, nil
}

// child gives what a folder holds of a name; the zero entry where it holds none, or is no folder; the folder itself
// where it cannot be read, which then is like none but itself. The caller holds mu.
func (f *folders) child(e entry, name string) (entry, error) {
	in, known := f.read[e.id]
	if !known {
		d := differing{repo: f.repo}
		var err error
		if in, err = d.folder(e); errors.Is(err, errNoFolder) {
			return entry{mode: modeUnreadable, id: e.id}, nil
		} else if err != nil {
			return entry{}, err
		}
		if f.read == nil || len(f.read) >= maxFolders {
			f.read = map[plumbing.Hash]map[string]entry{}
		}
		f.read[e.id] = in
	}
	if !e.isTree() {
		return entry{}, nil
	}
	return in[name], nil
}

// onlyBelow says whether two trees differ nowhere but below a path. The caller holds mu.
func (r *Repo) onlyBelow(a, b plumbing.Hash, path string) (bool, error) {
	atA, atB := entry{mode: modeTree, id: a}, entry{mode: modeTree, id: b}
	d := differing{repo: r}
	for name := range strings.SplitSeq(path, "/") {
		if atA == atB {
			return true, nil
		}
		inA, errA := d.folder(atA)
		inB, errB := d.folder(atB)
		if err := errors.Join(errA, errB); err != nil {
			if errors.Is(err, errNoFolder) {
				return false, nil
			}
			return false, err
		}
		if !folderOrNone(atA) || !folderOrNone(atB) {
			return false, nil
		}
		atA, atB = inA[name], inB[name]
		delete(inA, name)
		delete(inB, name)
		if len(inA) != len(inB) {
			return false, nil
		}
		for other, e := range inA {
			if inB[other] != e {
				return false, nil
			}
		}
	}
	return folderOrNone(atA) && folderOrNone(atB), nil
}

func folderOrNone(e entry) bool { return e.isTree() || e.id.IsZero() }
