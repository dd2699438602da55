// Package publish writes what a cycle found into the fleet repository: the record and the overrides of one
// set as one commit on the head that was read.
//
// It promises that no commit lands on a head whose desired/ or stages/ differ from those that were planned
// for, that nothing is forced, and that nothing changed means no commit. It leaves the Git protocol to its
// caller's Repository.
package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// tries bounds how often one commit is made on a newer head before the cycle fails and is repeated later.
const tries = 5

// ErrSuperseded means that desired/ or stages/ moved meanwhile: the plan is to be computed again.
var ErrSuperseded = errors.New("desired/ or stages/ moved since the plan was made")

// Change is what one commit makes of a tree. Below the directories of Owned, Files is the whole truth: what
// it does not name is deleted.
type Change struct {
	Owned   []string
	Files   mirror.Files
	Message string
	At      time.Time
}

// Repository is the fleet repository as far as it is written to.
type Repository interface {
	// Fetch gives the head of the branch.
	Fetch(ctx context.Context) (commit string, err error)
	// Inputs identifies desired/ and stages/ of a commit.
	Inputs(commit string) (string, error)
	// Files reads the files below directories of a commit.
	Files(commit string, dirs ...string) (mirror.Files, error)
	// Commit makes a commit on parent and pushes it onto exactly parent. It gives parent back when nothing
	// differs.
	Commit(ctx context.Context, parent string, c Change) (commit string, err error)
}

// Request is one commit to be made.
type Request struct {
	Head     string // the commit that was planned from
	Inputs   string // identity of its desired/ and stages/
	Change   Change
	Kept     []string // directories below Owned whose files keep the bytes that they have
	Rejected error    // what Commit wraps when the branch is not at parent any more

	// Beside gives what belongs to the same commit and depends on what its parent holds; nil for nothing.
	Beside func(head string) (Beside, error)
}

// Beside is what a commit holds besides the files of its Change.
type Beside struct {
	Owned []string     // further directories of which Files is the whole truth
	Files mirror.Files // there and outside of all that is owned
}

// Publish makes the commit and gives the head that holds the change; changed says whether there was anything
// to commit. When the branch moved while its inputs did not, only the commit is made again on the new head;
// when the inputs moved the error is ErrSuperseded. What stands in the registry is right in either case: the
// next cycle reads it there.
func Publish(ctx context.Context, repo Repository, r Request) (head string, changed bool, err error) {
	head = r.Head
	for range tries {
		change, err := carry(repo, head, r)
		if err != nil {
			return head, false, err
		}
		commit, err := repo.Commit(ctx, head, change)
		if err == nil {
			return commit, commit != head, nil
		}
		if r.Rejected == nil || !errors.Is(err, r.Rejected) {
			return head, false, fmt.Errorf("publish: %w", err)
		}
		if head, err = repo.Fetch(ctx); err != nil {
			return r.Head, false, fmt.Errorf("publish: %w", err)
		}
		inputs, err := repo.Inputs(head)
		if err != nil {
			return head, false, fmt.Errorf("publish: %w", err)
		}
		if inputs != r.Inputs {
			return head, false, fmt.Errorf("publish on %s: %w", head, ErrSuperseded)
		}
	}
	return head, false, fmt.Errorf("publish: the branch moved %d times in a row: %w", tries, r.Rejected)
}

// carry adds what the commit has besides, and the files of the kept directories as they are at head, so that owning a
// directory does not delete an override that must not change now.
func carry(repo Repository, head string, r Request) (Change, error) {
	change := r.Change
	change.Files = maps.Clone(change.Files)
	if change.Files == nil {
		change.Files = mirror.Files{}
	}
	if r.Beside != nil {
		beside, err := r.Beside(head)
		if err != nil {
			return change, fmt.Errorf("publish: %w", err)
		}
		maps.Copy(change.Files, beside.Files)
		change.Owned = slices.Concat(change.Owned, beside.Owned)
	}
	if len(r.Kept) == 0 {
		return change, nil
	}
	kept, err := repo.Files(head, r.Kept...)
	if err != nil {
		return change, fmt.Errorf("publish: read what is kept: %w", err)
	}
	for name, body := range kept {
		if _, written := change.Files[name]; !written {
			change.Files[name] = body
		}
	}
	return change, nil
}
