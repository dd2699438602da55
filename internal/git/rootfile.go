package git

import (
	"errors"
	"fmt"
	"path"

	"github.com/go-git/go-git/v5/plumbing"
)

// RootFile reads one file at a commit by its name in the whole repository, whatever Options.Path is: what the forge
// itself looks at lies there, such as CODEOWNERS. It gives nil where there is no such file, or something else stands
// in its place, or it is larger than the limit.
func (r *Repo) RootFile(commit, name string) ([]byte, error) {
	if err := checkPath(name); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, c, err := r.named(commit)
	if err != nil {
		return nil, err
	}
	if dir := path.Dir(name); dir != "." { // a file in the way is not the file
		if e, err := r.lookup(c.TreeHash, dir); err != nil || !e.isTree() {
			return nil, err
		}
	}
	e, err := r.lookup(c.TreeHash, name)
	if err != nil || e.mode != modeFile && e.mode != modeExecutable && e.mode != modeGroupWrite {
		return nil, err
	}
	body, err := r.object(plumbing.BlobObject, e.id, r.opts.Limits.File)
	if errors.As(err, new(*sizeError)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s at %s: %w", name, commit, err)
	}
	return append([]byte{}, body...), nil
}

// Step gives one commit that the clone holds.
func (r *Repo) Step(commit string) (Step, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, c, err := r.named(commit)
	if err != nil {
		return Step{}, err
	}
	return stepOf(id, c), nil
}
