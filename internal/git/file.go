package git

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// File reads one file at a commit; nil where there is none, also where its directory is not there. The name is
// relative to Options.Path. What is no file, such as a link, or larger than the limit is refused as
// mirror.Problems.
func (r *Repo) File(commit, name string) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, c, err := r.named(commit)
	if err != nil {
		return nil, err
	}
	dir, base := path.Split(strings.Trim(name, "/"))
	dir = strings.Trim(dir, "/")
	e, ps, err := r.find(c.TreeHash, commit, dir)
	if err != nil || len(ps) > 0 || e.id.IsZero() {
		return nil, errors.Join(err, ps.Err())
	}
	entries, err := r.listing(commit, dir, e.id, &ps)
	if err != nil || len(ps) > 0 {
		return nil, errors.Join(err, ps.Err())
	}
	for _, one := range entries {
		if one.name != base {
			continue
		}
		where := mirror.Position{File: name, Commit: commit}
		if one.mode != modeFile && one.mode != modeExecutable && one.mode != modeGroupWrite {
			refuseMode(&ps, where, one, "a file")
			return nil, ps.Err()
		}
		body, err := r.object(plumbing.BlobObject, one.id, r.opts.Limits.File)
		var size *sizeError
		if errors.As(err, &size) {
			ps.Add("GIT005", where, "make it smaller", "file of %d bytes is too large, the limit is %d", size.size, r.opts.Limits.File)
			return nil, ps.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("read %s at %s: %w", name, commit, err)
		}
		if body == nil {
			body = []byte{}
		}
		return body, nil
	}
	return nil, nil
}
