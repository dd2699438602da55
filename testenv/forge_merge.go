package testenv

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// merge merges a proposal onto its base as it is now. message is the title of the commit; empty takes the forge's.
func (f *Forge) merge(p *ForgeProposal, by, method, message string) error {
	base := f.branches()[p.Base]
	if !p.Open || p.Draft {
		return ErrForgeOver
	}
	if f.approvals(p) < f.protected[p.Base].approvals {
		return ErrForgeRefused
	}
	p.brought = nil
	at, err := f.merged(p, base, by, method, message)
	if err != nil {
		return err
	}
	if err := f.git.move(plumbing.NewBranchReferenceName(p.Base), plumbing.NewHash(base), plumbing.NewHash(at)); err != nil {
		return err
	}
	p.Open, p.Merged, p.MergeCommit, p.EndedBy, p.Ended = false, true, at, by, f.now()
	p.Updated, p.method, p.baseAt = p.Ended, method, base
	if method == "rebase" && f.kind == "gitlab" { // it moves the branch first
		p.HeadCommit = at
		_ = f.pointHead(p) // nobody else moves that ref
	}
	if f.DeleteMerged {
		if from := f.branches()[p.Head]; from != "" {
			_ = f.git.move(plumbing.NewBranchReferenceName(p.Head), plumbing.NewHash(from), plumbing.ZeroHash) // somebody pushed to it: it stays
		}
	}
	f.tellProposal("merged", p, by)
	f.lookLocked(by)
	return nil
}

// merged makes the commit that base is to be at.
func (f *Forge) merged(p *ForgeProposal, base, by, method, message string) (string, error) {
	who := f.signature(by)
	tree, err := f.mergedTree(base, p.HeadCommit)
	if err != nil {
		return "", err
	}
	switch method {
	case "merge":
		return f.git.putCommit(who, who, cmp.Or(message, f.mergeMessage(p)), tree, base, p.HeadCommit)
	case "squash":
		return f.git.putCommit(f.signature(p.Author), who, cmp.Or(message, fmt.Sprintf("%s (#%d)\n\n%s", p.Title, p.Number, p.Body)), tree, base)
	case "rebase":
		return f.rebased(p, base, who)
	}
	return "", fmt.Errorf("unknown way to merge %q", method)
}

func (f *Forge) mergeMessage(p *ForgeProposal) string {
	switch f.kind {
	case "github":
		return fmt.Sprintf("Merge pull request #%d from %s\n\n%s", p.Number, p.Head, p.Title)
	case "gitlab":
		return fmt.Sprintf("Merge branch '%s' into '%s'\n\n%s\n\nSee merge request %s!%d", p.Head, p.Base, p.Title, forgeRepository, p.Number)
	}
	return fmt.Sprintf("Merge pull request '%s' (#%d) from %s into %s\n\nReviewed-on: %s", p.Title, p.Number, p.Head, p.Base, f.page(p))
}

// rebased makes the commits of a proposal anew on top of base, by their authors.
func (f *Forge) rebased(p *ForgeProposal, base string, who object.Signature) (string, error) {
	store, onto := f.git.store(), base
	var commits []*object.Commit
	for id := plumbing.NewHash(p.HeadCommit); !f.contains(base, id.String()); {
		c, err := object.GetCommit(store, id)
		if err != nil {
			return "", err
		}
		if c.NumParents() != 1 {
			return "", errors.New("a merge commit cannot be rebased")
		}
		commits, id = append(commits, c), c.ParentHashes[0]
	}
	for _, c := range slices.Backward(commits) {
		tree, err := f.threeWay(c.ParentHashes[0].String(), onto, c.Hash.String())
		if err != nil {
			return "", err
		}
		if onto, err = f.git.putCommit(c.Author, who, c.Message, tree, onto); err != nil {
			return "", err
		}
		p.brought = append(p.brought, onto)
	}
	return onto, nil
}

// mergedTree gives the tree of both, or ErrForgeConflict.
func (f *Forge) mergedTree(base, head string) (string, error) {
	from, err := f.mergeBase(base, head)
	if err != nil {
		return "", err
	}
	return f.threeWay(from, base, head)
}

// mergeBase gives the newest commit that both have; empty for none.
func (f *Forge) mergeBase(a, b string) (string, error) {
	store := f.git.store()
	one, err := object.GetCommit(store, plumbing.NewHash(a))
	if err != nil {
		return "", err
	}
	other, err := object.GetCommit(store, plumbing.NewHash(b))
	if err != nil {
		return "", err
	}
	common, err := one.MergeBase(other)
	if err != nil || len(common) == 0 {
		return "", err
	}
	return common[0].Hash.String(), nil
}

// threeWay gives base with what head changed since from, file by file.
func (f *Forge) threeWay(from, base, head string) (string, error) {
	before, err := f.git.entries(from)
	if err != nil {
		return "", err
	}
	ours, err := f.git.entries(base)
	if err != nil {
		return "", err
	}
	theirs, err := f.git.entries(head)
	if err != nil {
		return "", err
	}
	all := maps.Clone(before)
	maps.Copy(all, theirs)
	for name := range all {
		switch {
		case theirs[name] == before[name] || theirs[name] == ours[name]:
		case ours[name] != before[name]:
			return "", fmt.Errorf("%w: %s", ErrForgeConflict, name)
		case theirs[name] == GitEntry{}:
			delete(ours, name)
		default:
			ours[name] = theirs[name]
		}
	}
	return f.git.assemble(ours)
}

// entries gives the files of a commit by path; none for an empty commit.
func (g *Git) entries(commit string) (map[string]GitEntry, error) {
	all := map[string]GitEntry{}
	if commit == "" {
		return all, nil
	}
	c, err := object.GetCommit(g.store(), plumbing.NewHash(commit))
	if err != nil {
		return nil, err
	}
	return all, g.flatten(c.TreeHash, "", all)
}

// contains says whether a commit is in the history of another, or is it.
func (f *Forge) contains(tip, commit string) bool {
	if tip == commit {
		return true
	}
	store := f.git.store()
	a, err := object.GetCommit(store, plumbing.NewHash(commit))
	if err != nil {
		return false
	}
	b, err := object.GetCommit(store, plumbing.NewHash(tip))
	if err != nil {
		return false
	}
	is, err := a.IsAncestor(b)
	return err == nil && is
}

func (f *Forge) signature(user string) object.Signature {
	return object.Signature{Name: user, Email: user + "@fleet.example", When: f.now()}
}

// look sees what moved in the repository, and does what a forge does about it.
func (f *Forge) look(by string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookLocked(by)
}

func (f *Forge) lookLocked(by string) {
	now := f.branches()
	for _, b := range slices.Sorted(maps.Keys(now)) {
		if from := f.seen[b]; from != now[b] {
			f.seen[b] = now[b]
			f.follow(b, now[b])
			f.tellPush(b, from, now[b], by)
			f.landed(b, now[b], by)
		}
	}
	for b, from := range f.seen {
		if now[b] != "" {
			continue
		}
		delete(f.seen, b)
		f.tellPush(b, from, "", by)
		for _, p := range f.proposals {
			if p.Open && p.Head == b && f.kind != "gitlab" {
				_ = f.end(p, by) // it is open
			}
		}
	}
}

// follow has the open proposals of a branch be at its new commit.
func (f *Forge) follow(branch, commit string) {
	for _, p := range f.proposals {
		if !p.Open || p.Head != branch || p.HeadCommit == commit {
			continue
		}
		p.HeadCommit, p.Updated = commit, f.now()
		p.versions = append(p.versions, forgeHead{f.nextID(), commit, p.Updated})
		_ = f.pointHead(p) // nobody else moves that ref
		f.tellProposal("synchronize", p, "")
	}
}

// landed has open proposals be merged whose head somebody brought onto the base by a push. Gitea does not do so by
// itself.
func (f *Forge) landed(base, commit, by string) {
	for _, p := range f.proposals {
		if f.kind == "gitea" || !p.Open || p.Base != base || !f.contains(commit, p.HeadCommit) {
			continue
		}
		p.Open, p.Merged, p.MergeCommit, p.EndedBy, p.Ended = false, true, commit, by, f.now()
		p.Updated, p.method = p.Ended, "push"
		f.tellProposal("merged", p, by)
	}
}

// stamp writes a time as JSON of forges has it; nil for none.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}
