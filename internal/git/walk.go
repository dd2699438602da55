package git

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Step is a commit of the first-parent history of a branch: one merge, or one direct push.
type Step struct {
	Commit  string
	Parents []string
	At      time.Time // when it was committed, by the clock of who did
	Author  string    // name <address>, fit to be shown
	Message string    // as it stands: not fit to be shown
}

// Walk calls each for the commits of head's first-parent history that change any of the files or folders, against
// their first parent, newest first, until each says that it has seen enough or the history ends. Paths are relative to
// Options.Path.
func (r *Repo) Walk(ctx context.Context, head string, paths []string, each func(Step) (more bool, err error)) error {
	full := make([]string, len(paths))
	for i, p := range paths {
		full[i] = join(r.opts.Path, strings.Trim(p, "/"))
	}
	r.mu.Lock()
	id, c, err := r.named(head)
	r.mu.Unlock()
	seen := &folders{repo: r}
	for err == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		before, parent, changed, stepErr := r.step(seen, c, full)
		if stepErr != nil {
			return fmt.Errorf("history of %s: %w", head, stepErr)
		}
		if changed {
			if more, err := each(stepOf(id, c)); err != nil || !more {
				return err
			}
		}
		if parent == nil {
			return nil
		}
		id, c = before, parent
	}
	return err
}

// step gives the first parent of a commit, nil where there is none, and whether the commit changes any of the paths.
func (r *Repo) step(seen *folders, c *object.Commit, paths []string) (id plumbing.Hash, parent *object.Commit, changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := plumbing.ZeroHash // no tree: all that is there is new
	if len(c.ParentHashes) > 0 {
		id = c.ParentHashes[0]
		if parent, err = r.commit(id); err != nil {
			return id, nil, false, err
		}
		before = parent.TreeHash
	}
	for _, path := range paths {
		alike, err := seen.alike(before, c.TreeHash, path)
		if err != nil || !alike {
			return id, parent, !alike, err
		}
	}
	return id, parent, false, nil
}

func stepOf(id plumbing.Hash, c *object.Commit) Step {
	s := Step{Commit: id.String(), At: c.Committer.When, Author: mirror.OneLine(c.Author.Name + " <" + c.Author.Email + ">"), Message: c.Message}
	for _, p := range c.ParentHashes {
		s.Parents = append(s.Parents, p.String())
	}
	return s
}

// Made says whether a commit was made by a daemon of this site: by its signature where ours are signed, else by its
// author and trailer; and in either case only where it has at most one parent and changes nothing but what lies below
// the folder rendered, relative to Options.Path. An author and a trailer can be forged by whoever may push; a
// signature cannot.
func (r *Repo) Made(commit, rendered string) (bool, error) {
	if !r.Holds(commit) {
		return false, fmt.Errorf("%w: %s", ErrUnknownCommit, printable(commit))
	}
	raw, err := r.raw(plumbing.NewHash(commit))
	if errors.Is(err, errCommit) {
		return false, nil // none of ours is malformed
	}
	if err != nil || len(raw.parents) > 1 {
		return false, err
	}
	if !r.signedByUs(raw) {
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := plumbing.ZeroHash
	if len(raw.parents) == 1 {
		parent, err := r.commit(raw.parents[0])
		if err != nil {
			return false, err
		}
		before = parent.TreeHash
	}
	return r.onlyBelow(before, raw.tree, join(r.opts.Path, strings.Trim(rendered, "/")))
}

func (r *Repo) signedByUs(c rawCommit) bool {
	if own := r.Own(); !own.IsZero() {
		_, err := own.verify(c, c.at)
		return err == nil
	}
	if c.author != r.opts.Author.Name+" <"+r.opts.Author.Email+">" {
		return false
	}
	for line := range strings.SplitSeq(c.message, "\n") {
		if strings.HasPrefix(line, mirror.Trailer+":") {
			return true
		}
	}
	return false
}
