package git

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/utils/diff"

	"github.com/poundlock/poundlock/internal/mirror"
)

// MergeBase gives the newest commit that both have in their histories; "" for none.
func (r *Repo) MergeBase(ctx context.Context, a, b string) (string, error) {
	ids := make([]plumbing.Hash, 0, 2)
	for _, commit := range []string{a, b} {
		if !r.Holds(commit) {
			return "", fmt.Errorf("%w: %s", ErrUnknownCommit, printable(commit))
		}
		ids = append(ids, plumbing.NewHash(commit))
	}
	w := &history{repo: r, nodes: map[plumbing.Hash]*node{}}
	forks, err := w.forks(ctx, ids)
	if err != nil || len(forks) == 0 {
		return "", err
	}
	return forks[0].String(), nil
}

// MergedFiles gives what the files below directories would be if head were merged into base: those of base, with what
// head changed since the two parted. Where both changed one file, the lines are merged as Git does. conflicts lists
// the files that need a person, sorted; they are as base has them.
func (r *Repo) MergedFiles(ctx context.Context, base, head string, dirs ...string) (files mirror.Files, conflicts []string, err error) {
	parted, err := r.MergeBase(ctx, base, head)
	if err != nil {
		return nil, nil, err
	}
	ours, err := r.Files(base, dirs...)
	if err != nil {
		return nil, nil, err
	}
	theirs, err := r.Files(head, dirs...)
	if err != nil {
		return nil, nil, err
	}
	before := mirror.Files{}
	if parted != "" {
		if before, err = r.Files(parted, dirs...); err != nil {
			return nil, nil, err
		}
	}
	files = maps.Clone(ours)
	for _, name := range namesOf(before, ours, theirs) {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		switch {
		case same(theirs, before, name), same(ours, theirs, name): // nothing that base does not have
		case same(ours, before, name):
			set(files, name, theirs)
		default:
			text, ok := mergeText(before[name], ours[name], theirs[name])
			if !ok || !has(ours, name) || !has(theirs, name) || !has(before, name) {
				conflicts = append(conflicts, name)
				continue
			}
			files[name] = text
		}
	}
	return files, conflicts, nil
}

func namesOf(all ...mirror.Files) []string {
	names := map[string]bool{}
	for _, files := range all {
		for name := range files {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func has(files mirror.Files, name string) bool { _, ok := files[name]; return ok }

func same(a, b mirror.Files, name string) bool {
	return has(a, name) == has(b, name) && bytes.Equal(a[name], b[name])
}

// set makes a file of one tree what it is in another.
func set(files mirror.Files, name string, as mirror.Files) {
	if body, ok := as[name]; ok {
		files[name] = body
		return
	}
	delete(files, name)
}

// comparing bounds the comparison of two files that somebody made to be slow. What is not compared by then counts as
// changed, which can only make a conflict of it.
const (
	comparing = 2 * time.Second
	maxLines  = 50_000 // of a file: go-diff tells lines apart by characters, of which there are not many more
)

// hunk is a run of lines that one side replaced.
type hunk struct {
	from, to int // lines of the file before: from is the first, to the one after the last
	lines    []string
}

// mergeText merges the lines that two sides changed. false where both changed the same lines in different ways, or
// lines with none between them: then Git asks a person, too.
func mergeText(before, ours, theirs []byte) ([]byte, bool) {
	for _, text := range [][]byte{before, ours, theirs} {
		if bytes.IndexByte(text, 0) >= 0 || bytes.Count(text, []byte("\n")) > maxLines {
			return nil, false
		}
	}
	lines := linesOf(string(before))
	a, wellA := hunks(string(before), string(ours))
	b, wellB := hunks(string(before), string(theirs))
	if !wellA || !wellB {
		return nil, false
	}
	var out []string
	at := 0
	for len(a) > 0 || len(b) > 0 {
		next, other := &a, &b
		if len(a) == 0 || len(b) > 0 && b[0].from < a[0].from {
			next, other = &b, &a
		}
		h := (*next)[0]
		if len(*other) > 0 {
			switch o := (*other)[0]; {
			case o.from == h.from && o.to == h.to && slices.Equal(o.lines, h.lines):
				*other = (*other)[1:] // both did the same
			case o.from <= h.to:
				return nil, false
			}
		}
		out = append(append(out, lines[at:h.from]...), h.lines...)
		at = h.to
		*next = (*next)[1:]
	}
	out = append(out, lines[at:]...)
	var merged bytes.Buffer
	for _, line := range out {
		merged.WriteString(line)
	}
	return merged.Bytes(), true
}

// hunks gives what makes one text another, in the order of the lines; false where the comparison lost something.
func hunks(before, after string) ([]hunk, bool) {
	const deleted, equal = -1, 0 // as go-diff numbers them
	var all []hunk
	at, open := 0, false
	changes := diff.DoWithTimeout(before, after, comparing)
	if diff.Src(changes) != before || diff.Dst(changes) != after {
		return nil, false
	}
	for _, d := range changes {
		lines := linesOf(d.Text)
		if d.Type == equal {
			at, open = at+len(lines), false
			continue
		}
		if !open {
			all, open = append(all, hunk{from: at, to: at}), true
		}
		last := &all[len(all)-1]
		if d.Type == deleted {
			at += len(lines)
			last.to = at
		} else {
			last.lines = append(last.lines, lines...)
		}
	}
	return all, true
}

// linesOf splits a text into lines with their ends.
func linesOf(text string) []string {
	var lines []string
	for line := range bytes.Lines([]byte(text)) {
		lines = append(lines, string(line))
	}
	return lines
}
