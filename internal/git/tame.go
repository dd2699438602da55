package git

import (
	"context"
	"errors"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// maxSides is how many parents a merge may have that a forge makes; none makes more than two.
const maxSides = 16

// tame says whether a merge brings nothing of its own into desired/, stages/ and OwnFiles: every file is as it is on the side
// that changed it since the sides parted. Where both sides changed one file in different ways, nobody but a person
// can say what it should be. A forge also signs merges whose files somebody made up, in the editor for conflicts or
// through its API; and a merge can throw away all that one side did.
func (w *history) tame(ctx context.Context, n *node) (bool, error) {
	if len(n.raw.parents) < 2 || len(n.raw.parents) > maxSides {
		return false, nil
	}
	forks, err := w.forks(ctx, n.raw.parents)
	if err != nil {
		return false, err
	}
	bases := []inputTrees{w.none()} // histories that have nothing in common
	if len(forks) > 0 {
		bases = nil
	}
	for _, id := range forks {
		fork, err := w.node(id)
		if err != nil {
			return false, err
		}
		base, err := w.inputs(fork)
		if err != nil {
			return false, err
		}
		bases = append(bases, base)
	}
	is, err := w.inputs(n)
	if err != nil {
		return false, err
	}
	sides := make([]inputTrees, len(n.raw.parents))
	for i, id := range n.raw.parents {
		parent, err := w.node(id)
		if err == nil {
			sides[i], err = w.inputs(parent)
		}
		if err != nil {
			return false, err
		}
	}
	for _, base := range bases {
		for i := range is {
			var at []entry
			for _, s := range sides {
				at = append(at, s[i])
			}
			if ok, err := w.merged(is[i], base[i], at, 0); err != nil || !ok {
				return false, err
			}
		}
	}
	return true, nil
}

// merged says whether an entry is what comes of its sides, each of which may have changed it since base.
func (w *history) merged(is, base entry, sides []entry, depth int) (bool, error) {
	var changed []entry
	for _, s := range sides {
		if s != base && !slices.Contains(changed, s) {
			changed = append(changed, s)
		}
	}
	switch {
	case len(changed) == 0:
		return is == base, nil
	case len(changed) == 1:
		return is == changed[0], nil
	case depth > maxDepth:
		return false, nil
	}
	if slices.ContainsFunc(append(slices.Clone(sides), is, base), func(e entry) bool { return !e.id.IsZero() && !e.isTree() }) {
		return false, nil
	}
	// Both sides changed something in one folder: each name in it is asked for itself.
	isIn, err := w.folder(is)
	if err != nil {
		return false, notTree(err)
	}
	baseIn, err := w.folder(base)
	if err != nil {
		return false, notTree(err)
	}
	names := map[string]bool{}
	all := []map[string]entry{isIn, baseIn}
	for _, s := range sides {
		in, err := w.folder(s)
		if err != nil {
			return false, notTree(err)
		}
		all = append(all, in)
	}
	for _, in := range all {
		for name := range in {
			names[name] = true
		}
	}
	for name := range names {
		var at []entry
		for _, in := range all[2:] {
			at = append(at, in[name])
		}
		if ok, err := w.merged(isIn[name], baseIn[name], at, depth+1); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// notTree forgives a tree that nobody can read: then the merge is not tame, which is no trouble of the clone.
func notTree(err error) error {
	var size *sizeError
	if errors.Is(err, errTree) || errors.As(err, &size) {
		return nil
	}
	return err
}

// folder gives what lies in a folder, by name; nothing for one that is not there.
func (w *history) folder(e entry) (map[string]entry, error) {
	in := map[string]entry{}
	if e.id == plumbing.ZeroHash {
		return in, nil
	}
	w.repo.mu.Lock()
	defer w.repo.mu.Unlock()
	entries, err := w.repo.tree(e.id)
	for _, one := range entries {
		in[one.name] = one
	}
	return in, err
}
