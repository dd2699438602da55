package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

// back makes the stage file what it was at a commit, or before it was changed last. Only named entries go back where
// some are named.
func (l *Line) back(ctx context.Context, f *fleet, a *ascent, commit string) error {
	files, at, err := l.earlier(ctx, f, a, commit)
	if err != nil {
		return err
	}
	name := mirror.StageName(a.set.Name, a.stage)
	wanted, listed, problems := mirror.ParseLines(files, name)
	if len(problems) > 0 || !listed {
		return mirror.Problems{{Code: "PRM004", What: fmt.Sprintf("stage %s of set %s cannot go back to %s: it has no stage file there that can be read", a.stage, a.set.Name, brief(at)),
			Fix: "name another commit with --to; `git log " + name + ".yaml` lists them"}}
	}
	lines := listedLines(wanted)
	a.file.Source = sourceOf(files, a.set.Name, a.stage)
	if len(a.entries) > 0 {
		before := lines
		lines = listedLines(a.set.Wanted[a.stage])
		for _, entry := range a.entries {
			image, ok := before[entry]
			if !ok {
				return mirror.Problems{Unknown("entry", entry, sortedKeys(before))}
			}
			lines[entry] = image
		}
		a.file.Source = sourceOf(f.desired.Files, a.set.Name, a.stage)
	}
	a.file.Lines = lines
	a.mark(at)
	return nil
}

// mark says in the stage file that it is a rollback where the record alone does not show that.
func (a *ascent) mark(at string) {
	for entry, image := range a.file.Lines {
		if !a.record.Stood(a.stage, entry, image) {
			if a.file.Rollback = a.reason; a.reason == "" {
				a.file.Rollback = "to " + brief(at)
			}
			return
		}
	}
}

// earlier gives desired/ and stages/ of the commit that is asked for, else of the newest one at which the stage file
// listed something else than it does.
func (l *Line) earlier(ctx context.Context, f *fleet, a *ascent, commit string) (mirror.Files, string, error) {
	if commit != "" {
		return l.namedEarlier(ctx, f, commit)
	}
	name := mirror.StageName(a.set.Name, a.stage)
	now := listedLines(a.set.Wanted[a.stage])
	var files mirror.Files
	var at string
	err := l.git.Walk(ctx, f.head, stagePaths(a.set.Name, a.stage), func(s git.Step) (bool, error) {
		if len(s.Parents) == 0 {
			return false, nil
		}
		before, err := l.git.Files(s.Parents[0], "stages/"+a.set.Name)
		if errors.As(err, new(mirror.Problems)) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		_, listed, problems := mirror.ParseLines(before, name)
		if !listed || len(problems) > 0 || mirror.Lists(before, name, now) {
			return true, nil
		}
		files, at = before, s.Parents[0]
		return false, nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("history of %s: %w", name, err)
	}
	if files == nil {
		return nil, "", mirror.Problems{{Code: "PRM003", What: fmt.Sprintf("stage %s of set %s has nothing to go back to: its stage file never listed anything else", a.stage, a.set.Name),
			Fix: "promote something else to it"}}
	}
	return files, at, nil
}

// namedEarlier gives the stage files of a commit of our history that somebody names, by its id or the beginning of it.
func (l *Line) namedEarlier(ctx context.Context, f *fleet, commit string) (mirror.Files, string, error) {
	const least = 7
	unknown := mirror.Problems{{Code: "PRM004", What: fmt.Sprintf("%s is no commit of the branch %s", mirror.OneLine(commit), l.config.Git.Branch),
		Fix: "name one that `git log --first-parent` lists, by at least 7 digits"}}
	commit = strings.ToLower(commit)
	if len(commit) < least {
		return nil, "", unknown
	}
	found := ""
	err := l.git.Walk(ctx, f.head, []string{""}, func(s git.Step) (bool, error) {
		for _, id := range append([]string{s.Commit}, s.Parents...) {
			if strings.HasPrefix(id, commit) {
				found = id
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("history of %s: %w", brief(f.head), err)
	}
	if found == "" {
		return nil, "", unknown
	}
	files, err := l.git.Files(found, "stages")
	if err != nil && !errors.As(err, new(mirror.Problems)) {
		return nil, "", fmt.Errorf("stage files at %s: %w", brief(found), err)
	}
	return files, found, nil
}
