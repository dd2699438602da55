package git

import (
	"context"
	"time"
)

// Step is a commit of the first-parent history of a branch: one merge, or one direct push.
type Step struct {
	Commit  string
	Parents []string
	At      time.Time // when it was committed, by the clock of who did
	Author  string    // name <address>, fit to be shown
	Message string
}

// Walk calls each for the commits of head's first-parent history that change any of the files or folders, against
// their first parent, newest first, until each says that it has seen enough or the history ends.
func (r *Repo) Walk(ctx context.Context, head string, paths []string, each func(Step) (more bool, err error)) error {
	return errStub
}

// Made says whether a commit was made by a daemon of this site: by its signature where ours are signed, else by its
// author and trailer; and in either case only where it changes nothing but what rendered covers.
func (r *Repo) Made(commit, rendered string) (bool, error) { return false, errStub }
