package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

// apart says whether rendered/ stands in a branch of its own, since the one that people write to is protected.
func (l *Line) apart() bool { return l.config.Git.State() != "" }

// renderedAt gives the commit at which rendered/ stands; "" where it has a branch of its own that nobody made yet.
func (l *Line) renderedAt(f *fleet) string {
	if l.apart() {
		return f.state
	}
	return f.head
}

// withRendered gives the same fleet with rendered/ as a later commit has it, such as one of ours.
func (l *Line) withRendered(f *fleet, commit string) *fleet {
	if !l.apart() {
		return f.at(commit)
	}
	next := *f
	next.state = commit
	return &next
}

// editable are the files below rendered/ that people may change, too.
func (l *Line) editable() []string { return []string{l.suspensionFile(), l.holdsFile()} }

// renderedFiles reads files and folders of rendered/ as the daemons wrote them, and people may have edited them.
func (l *Line) renderedFiles(f *fleet, names ...string) (mirror.Files, error) {
	return l.filesAt(l.renderedAt(f), names...)
}

// filesAt reads what lies below folders at a commit that renderedAt gave.
func (l *Line) filesAt(commit string, names ...string) (mirror.Files, error) {
	if commit == "" {
		return mirror.Files{}, nil
	}
	return l.git.Files(commit, names...)
}

// outlineAt reads like filesAt what is to be written anew whatever it holds: a file that is too large to be read is empty.
func (l *Line) outlineAt(commit string, names ...string) (mirror.Files, error) {
	if commit == "" {
		return mirror.Files{}, nil
	}
	return l.git.Outline(commit, names...)
}

// walkRendered calls each for the commits that changed something below a folder of rendered/, newest first.
func (l *Line) walkRendered(ctx context.Context, f *fleet, dir string, each func(git.Step) (more bool, err error)) error {
	at := l.renderedAt(f)
	if at == "" {
		return nil
	}
	return l.git.Walk(ctx, at, []string{dir}, each)
}

// renderer is the branch that takes rendered/, in the words of publish: on top of the commits of that branch, and for
// as long as desired/ and stages/ are what they are in one fleet.
type renderer struct {
	line *Line
	of   *fleet
	head string // of the branch that people write to, as it was seen last
}

// rendering gives the branch for commits that belong to a fleet. They are built on what renderedAt gives.
func (l *Line) rendererOf(f *fleet) *renderer { return &renderer{l, f, f.head} }

// Fetch gives the newest commit to build upon, where its head counts by its signatures.
func (r *renderer) Fetch(ctx context.Context) (string, error) {
	head, err := r.line.fetchTrusted(ctx, r.of)
	if err != nil {
		return "", err
	}
	r.head = head
	if !r.line.apart() {
		return head, nil
	}
	state, err := r.line.git.StateHead()
	if err != nil {
		return "", err
	}
	wrong, err := r.line.acceptsState(ctx, state)
	if err == nil && len(wrong) > 0 {
		err = publish.ErrSuperseded // the next look tells why
	}
	return state, err
}

// Inputs identifies desired/ and stages/ as they are beside a commit that Fetch gave.
func (r *renderer) Inputs(commit string) (string, error) {
	if r.line.apart() {
		commit = r.head
	}
	return r.line.git.Inputs(commit)
}

// Files reads what lies below folders at a commit that Fetch gave.
func (r *renderer) Files(commit string, dirs ...string) (mirror.Files, error) {
	return r.line.filesAt(commit, dirs...)
}

// Commit makes a commit on one that Fetch gave. Where the branch moved, or the one that people write to did, it is
// git.ErrRejected.
func (r *renderer) Commit(ctx context.Context, parent string, c publish.Change) (commit string, err error) {
	if r.line.apart() {
		commit, err = r.line.git.CommitState(ctx, r.head, parent, git.Change(c))
	} else {
		commit, err = r.line.git.Commit(ctx, parent, git.Change(c))
	}
	if errors.Is(err, git.ErrRejected) {
		r.line.metrics.conflicts.Inc()
	}
	return commit, err
}

// changeRendered makes one commit to rendered/ on the newest state of it, such as people ask for. change is given the
// commit that it builds on, "" for none, and gives the files and the message, none where there is nothing to do.
// It gives the commit. The caller holds publishing, and advances the fleet.
func (l *Line) changeRendered(ctx context.Context, f *fleet, change func(at string) (mirror.Files, string, error)) (string, error) {
	r, at := l.rendererOf(f), l.renderedAt(f)
	for range supersedes {
		files, message, err := change(at)
		if err != nil || files == nil {
			return at, err
		}
		commit, err := r.Commit(ctx, at, publish.Change{Files: files, Message: message, At: l.now()})
		if err == nil || !errors.Is(err, git.ErrRejected) {
			return commit, err
		}
		if at, err = r.Fetch(ctx); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("the branch moved %d times in a row: %w", supersedes, git.ErrRejected)
}
