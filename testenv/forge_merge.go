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
	base := f.branch(p.Base)
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
		if from := f.branch(p.Head); from != "" {
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
		return f.git.putCommit(f.signature(p.Author), who, cmp.Or(message, f.squashMessage(p)), tree, base)
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

func (f *Forge) squashMessage(p *ForgeProposal) string {
	switch f.kind {
	case "github":
		return fmt.Sprintf("%s (#%d)\n\n%s", p.Title, p.Number, p.Body)
	case "gitlab":
		return p.Title
	}
	return fmt.Sprintf("%s (#%d)\n\nCo-authored-by: %[3]s <%[3]s@fleet.example>\n", p.Title, p.Number, p.Author)
}

// rebased makes the commits of a proposal anew on top of base, by their authors. GitHub does so too where the base has
// not moved.
func (f *Forge) rebased(p *ForgeProposal, base string, who object.Signature) (string, error) {
	if f.kind != "github" && f.contains(p.HeadCommit, base) {
		return p.HeadCommit, nil
	}
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

func (f *Forge) signature(user string) object.Signature {
	return object.Signature{Name: user, Email: user + "@fleet.example", When: f.now()}
}

// stamp writes a time as JSON of forges has it; nil for none.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}
