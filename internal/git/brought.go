package git

import (
	"context"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// ours says whether a commit that is signed with our key may have changed what it changed: OwnFiles; and stages/ in a
// proposal of ours, once it was merged by somebody who may change them. What we push to the branch itself changes
// neither desired/ nor stages/.
func (w *history) ours(ctx context.Context, n *node, changed []string) (bool, error) {
	stages := false
	for _, name := range changed {
		if !slices.Contains(w.trust.OwnFiles, name) {
			if name != "stages/" {
				return false, nil
			}
			stages = true
		}
	}
	if !stages {
		return true, nil
	}
	return w.brought(ctx, n.id)
}

// brought says whether a commit came to the branch by a merge: on the line of first parents from the head there is one
// that has it below another parent than its first, and that was made by whom trust allows, or by the forge.
func (w *history) brought(ctx context.Context, id plumbing.Hash) (bool, error) {
	accepted := map[plumbing.Hash]bool{}
	for _, one := range w.accepted() {
		accepted[one] = true
	}
	for at := w.head; at != id && !accepted[at]; {
		n, err := w.node(at)
		if err != nil || len(n.raw.parents) == 0 {
			return false, err
		}
		before, err := w.reaches(ctx, n.raw.parents[0], id, accepted)
		if err != nil {
			return false, err
		}
		if !before {
			return w.sealed(ctx, n)
		}
		at = n.raw.parents[0]
	}
	return false, nil
}

// reaches says whether a commit is another or was built upon it. What is accepted is not searched.
func (w *history) reaches(ctx context.Context, from, id plumbing.Hash, accepted map[plumbing.Hash]bool) (bool, error) {
	seen := map[plumbing.Hash]bool{from: true}
	for queue := []plumbing.Hash{from}; len(queue) > 0; {
		at := queue[len(queue)-1]
		if queue = queue[:len(queue)-1]; at == id {
			return true, nil
		}
		if accepted[at] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := w.node(at)
		if err != nil {
			return false, err
		}
		for _, p := range n.raw.parents {
			if !seen[p] {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	return false, nil
}

// sealed says whether a merge counts: it is signed by whom trust allows, or by the forge and brings nothing of its own.
func (w *history) sealed(ctx context.Context, n *node) (bool, error) {
	if len(n.raw.parents) < 2 {
		return false, nil
	}
	if _, err := w.trust.Allowed.verify(n.raw, w.trust.At); err == nil {
		return true, nil
	}
	if _, err := w.trust.Forge.verify(n.raw, w.trust.At); err != nil {
		return false, nil
	}
	return w.tame(ctx, n)
}
