package daemon

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/sources"
	"github.com/poundlock/poundlock/sync/publish"
	"github.com/poundlock/poundlock/sync/render"
)

// fleet is the fleet repository as it was read at one commit.
type fleet struct {
	head    string // the commit that our commits build on
	inputs  string // identity of desired/ and stages/
	desired mirror.Desired
	policy  policy.Policy
}

// at gives the same fleet on a later head whose inputs are the same, such as after our own commit.
func (f fleet) at(head string) *fleet { f.head = head; return &f }

// refresh looks whether the fleet repository moved, by one ref listing, and reads it when its inputs did.
// A commit with mistakes gives mirror.Problems and leaves the last good one in force.
func (l *Line) refresh(ctx context.Context) (*fleet, error) {
	remote, err := l.git.Remote(ctx)
	if err != nil {
		return nil, fmt.Errorf("fleet repository: %w", err)
	}
	last := l.fleet.Load()
	if last != nil && last.head == remote {
		return last, nil
	}
	head, err := l.git.Fetch(ctx)
	if err != nil {
		return nil, fmt.Errorf("fleet repository: %w", err)
	}
	inputs, err := l.git.Inputs(head)
	if err != nil {
		return nil, fmt.Errorf("fleet repository: %w", err)
	}
	if last != nil && last.inputs == inputs {
		next := last.at(head)
		l.fleet.Store(next)
		return next, nil
	}
	next, err := l.read(head, inputs)
	if err != nil {
		return nil, err
	}
	l.fleet.Store(next)
	return next, nil
}

// read parses everything that people wrote at a commit and reports all mistakes of it in one pass.
func (l *Line) read(head, inputs string) (*fleet, error) {
	desired, problems, err := l.parse(head)
	if err != nil {
		return nil, err
	}
	if desired.Files == nil { // not read at all: what is missing then is no mistake of its own
		return nil, problems.Err()
	}
	rules, more := policy.Load(desired.Files, head)
	problems = append(problems, more...)
	for _, set := range desired.Sets {
		problems = append(problems, render.Check(set)...)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return &fleet{head: head, inputs: inputs, desired: desired, policy: rules}, nil
}

func (l *Line) parse(commit string) (mirror.Desired, mirror.Problems, error) {
	files, err := l.git.Files(commit, "desired", "stages")
	var problems mirror.Problems
	if errors.As(err, &problems) {
		return mirror.Desired{}, problems, nil
	}
	if err != nil {
		return mirror.Desired{}, nil, fmt.Errorf("fleet repository at %s: %w", commit, err)
	}
	desired, problems := mirror.ParseDesired(commit, files)
	for i := range desired.Sets {
		if desired.Sets[i].Source.Kind != "" {
			problems = append(problems, sources.Read(&desired.Sets[i], files)...)
		}
	}
	return desired, problems, nil
}

// past reads desired/ of an earlier commit of our history; nil when the commit is not one of it or has
// mistakes: then it vouches for nothing.
func (l *Line) past(ctx context.Context, head, commit string) (*mirror.Desired, error) {
	if !commitID.MatchString(commit) {
		return nil, nil // an edited record can say anything
	}
	l.mu.Lock()
	old, ok := l.history[commit]
	l.mu.Unlock()
	if ok {
		return old, nil
	}
	ancestor, err := l.git.Ancestor(ctx, commit, head)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", commit, err)
	}
	if ancestor {
		desired, problems, err := l.parse(commit)
		if err != nil {
			return nil, err
		}
		if len(problems) == 0 {
			old = &desired
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.history) >= keptHistory {
		clear(l.history)
	}
	l.history[commit] = old
	return old, nil
}

var commitID = regexp.MustCompile("^[0-9a-f]{40}$")

// keptHistory bounds how many earlier commits are kept parsed.
const keptHistory = 16

// fence gives the check that stands before each batch of tag writes: the inputs are still those that were
// planned for. No registry has compare-and-swap on tags, so the commit in Git is the fence.
func (l *Line) fence(f *fleet) func(context.Context) error {
	return func(ctx context.Context) error {
		remote, err := l.git.Remote(ctx)
		if err != nil {
			return fmt.Errorf("fence: %w", err)
		}
		if remote == f.head {
			return nil
		}
		if remote, err = l.git.Fetch(ctx); err != nil {
			return fmt.Errorf("fence: %w", err)
		}
		inputs, err := l.git.Inputs(remote)
		if err != nil {
			return fmt.Errorf("fence: %w", err)
		}
		if inputs != f.inputs {
			return fmt.Errorf("fence: %w", publish.ErrSuperseded)
		}
		return nil
	}
}
