package git

import (
	"context"
	"errors"

	"github.com/poundlock/poundlock/internal/mirror"
)

var errStub = errors.New("to be made")

// Bring fetches a commit that a ref of the remote names, with its history, into the clone.
func (r *Repo) Bring(ctx context.Context, ref, commit string) error { return errStub }

// Branch makes a commit with the change on parent and pushes it to a branch other than ours, which must be at old ("":
// must not exist); ErrRejected where it is elsewhere. It gives the commit.
func (r *Repo) Branch(ctx context.Context, name, old, parent string, c Change) (commit string, err error) {
	return "", errStub
}

// DeleteBranch deletes a branch other than ours that is at old.
func (r *Repo) DeleteBranch(ctx context.Context, name, old string) error { return errStub }

// MergeBase gives the newest commit that both have in their histories; "" for none.
func (r *Repo) MergeBase(ctx context.Context, a, b string) (string, error) { return "", errStub }

// Differ lists the files below directories that two commits do not have alike, relative to Options.Path, sorted.
func (r *Repo) Differ(a, b string, dirs ...string) ([]string, error) { return nil, errStub }

// Outside lists files that two commits do not have alike and that do not lie below Options.Path, by their whole names.
func (r *Repo) Outside(a, b string) ([]string, error) { return nil, errStub }

// MergedFiles gives what the files below directories would be if head were merged into base: those of base, with what
// head changed since the two parted. conflicts lists the files that both changed, differently; they are as base has
// them.
func (r *Repo) MergedFiles(ctx context.Context, base, head string, dirs ...string) (files mirror.Files, conflicts []string, err error) {
	return nil, nil, errStub
}
