package testenv

import (
	"maps"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

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
