package testenv

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// Push commits to a branch as somebody who pushes does; a new branch starts at main. An empty text deletes a file. A
// branch with an owner and a colon before it is one of a fork.
func (f *Forge) Push(branch, message string, files map[string]string) (string, error) {
	f.mu.Lock()
	at, fork := f.forks[branch], strings.Contains(branch, ":")
	if !fork {
		at = f.branch(branch)
	}
	f.mu.Unlock()
	from := at
	if from == "" {
		from = f.git.Head()
	}
	tree, err := f.git.edited(from, files)
	if err != nil {
		return "", fmt.Errorf("testenv: push %s: %w", branch, err)
	}
	commit, err := f.git.PutCommit(message, tree, from)
	if err != nil {
		return "", err
	}
	if fork {
		f.mu.Lock()
		f.forks[branch] = commit
		f.follow(branch, commit)
		f.mu.Unlock()
		return commit, nil
	}
	if err := f.git.move(plumbing.NewBranchReferenceName(branch), plumbing.NewHash(at), plumbing.NewHash(commit)); err != nil {
		return "", fmt.Errorf("testenv: push %s: %w", branch, err)
	}
	f.look("")
	return commit, nil
}

// SetStatus sets a status of a commit, as a CI system does: pending, success or failure.
func (f *Forge) SetStatus(commit, by, context, state string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addStatus(commit, ForgeStatus{Context: context, State: state, By: by})
}

func (f *Forge) addStatus(commit string, s ForgeStatus) ForgeStatus {
	s.id, s.At = f.nextID(), f.now()
	f.statuses[commit] = append(f.statuses[commit], s)
	f.tellStatus(commit, s)
	return s
}

// Review says something of an open proposal, at its head: approved, changes-requested, commented; or dismissed, which
// takes back what by said.
func (f *Forge) Review(number int, by, verdict string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.proposal(number)
	if err == nil {
		_, err = f.review(p, by, verdict, "", "")
	}
	if err != nil {
		return fmt.Errorf("testenv: review %d: %w", number, err)
	}
	return nil
}

func (f *Forge) review(p *ForgeProposal, by, verdict, body, commit string) (ForgeReview, error) {
	if verdict == "dismissed" {
		i := len(p.Reviews) - 1
		for ; i >= 0 && p.Reviews[i].By != by; i-- {
		}
		if i < 0 {
			return ForgeReview{}, ErrForgeMissing
		}
		p.Reviews[i].Verdict = "dismissed"
		f.tellReview(p, p.Reviews[i])
		return p.Reviews[i], nil
	}
	if !p.Open || f.kind != "gitlab" && p.Author == by && verdict != "commented" {
		return ForgeReview{}, ErrForgeOver
	}
	if commit == "" {
		commit = p.HeadCommit
	}
	r := ForgeReview{By: by, Verdict: verdict, Body: body, Commit: commit, At: f.now(), id: f.nextID()}
	p.Reviews, p.Updated = append(p.Reviews, r), r.At
	f.tellReview(p, r)
	return r, nil
}

// Comment comments on a proposal.
func (f *Forge) Comment(number int, by, body string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.proposal(number)
	if err != nil {
		return fmt.Errorf("testenv: comment on %d: %w", number, err)
	}
	f.comment(p, by, body)
	return nil
}

func (f *Forge) comment(p *ForgeProposal, by, body string) ForgeComment {
	now := f.now()
	c := ForgeComment{ID: f.nextID(), By: by, Body: body, Created: now, Updated: now}
	p.Comments, p.Updated = append(p.Comments, c), now
	f.tellComment("created", p, c)
	return c
}

// Edit changes title or body of a proposal, as people do; an empty text stays.
func (f *Forge) Edit(number int, by, title, body string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.proposal(number)
	if err != nil {
		return fmt.Errorf("testenv: edit %d: %w", number, err)
	}
	if title != "" {
		p.Title = title
	}
	if body != "" {
		p.Body = body
	}
	p.Updated = f.now()
	f.tellProposal("edited", p, by)
	return nil
}

// Close declines an open proposal.
func (f *Forge) Close(number int, by string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.proposal(number)
	if err == nil {
		err = f.end(p, by)
	}
	if err != nil {
		return fmt.Errorf("testenv: close %d: %w", number, err)
	}
	return nil
}

func (f *Forge) end(p *ForgeProposal, by string) error {
	if !p.Open {
		return ErrForgeOver
	}
	p.Open, p.EndedBy, p.Ended = false, by, f.now()
	p.Updated, p.baseAt = p.Ended, f.branch(p.Base)
	f.tellProposal("closed", p, by)
	return nil
}

// Reopen opens a declined proposal again.
func (f *Forge) Reopen(number int, by string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.proposal(number)
	if err == nil && (p.Open || p.Merged) {
		err = ErrForgeOver
	}
	if err != nil {
		return fmt.Errorf("testenv: reopen %d: %w", number, err)
	}
	p.Open, p.EndedBy, p.Ended, p.Updated = true, "", time.Time{}, f.now()
	f.tellProposal("reopened", p, by)
	return nil
}

// Merge merges a proposal as people do by a button: by merge, squash or rebase. It gives the commit that the base is
// at after it.
func (f *Forge) Merge(number int, by, method string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.proposal(number)
	if err == nil {
		err = f.merge(p, by, method, "")
	}
	if err != nil {
		return "", fmt.Errorf("testenv: merge %d: %w", number, err)
	}
	return p.MergeCommit, nil
}
