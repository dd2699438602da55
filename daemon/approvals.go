package daemon

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
	"github.com/poundlock/poundlock/policy"
)

// forgeWithin bounds how long a step of a set waits for what a gate wants to know of the forge.
const forgeWithin = 15 * time.Second

// proposalSays asks the forge and others about a proposal that is not merged, for those who are to see what it lacks.
// The fleet is as it would be after the merge, on the head that it would be merged into.
func (l *Line) proposalSays(ctx context.Context, q question, p forge.Proposal) policy.Asking {
	wants := q.fleet.policy.Wants(q.set.Name, q.stage)
	a := policy.Asking{At: q.at, Marked: q.set.Marked[q.stage], Proposal: p.Number}
	asked, cancel := context.WithTimeout(ctx, forgeWithin)
	defer cancel()
	if wants.Proposal || len(wants.Statuses) > 0 {
		err := l.reviewed(asked, q, p, []string{q.fleet.head}, documentOf(q.fleet.desired.Files, q.set.Name, q.stage), wants, &a)
		if err == nil {
			err = l.checks(asked, &a, wants.Statuses, p.HeadCommit)
		}
		a.Unknown = notAnswered(err)
	}
	a.Answers = l.answers(ctx, q, a, wants.Calls)
	return a
}

// mergedSays asks the forge and others about a commit of the branch.
func (l *Line) mergedSays(ctx context.Context, q question, a *policy.Asking) {
	wants := q.fleet.policy.Wants(q.set.Name, q.stage)
	if l.forge != nil {
		a.Proposal = proposalIn(q.step.Message)
	}
	if wants.Proposal || len(wants.Statuses) > 0 {
		a.Proposal = 0 // a message can say anything
		asked, cancel := context.WithTimeout(ctx, forgeWithin)
		defer cancel()
		if err := l.silent.lately(l.now()); err != nil {
			a.Unknown = notAnswered(err)
		} else {
			err = l.forgeSays(asked, q, wants, a)
			l.silent.note(ctx, asked, err, l.now())
			a.Unknown = notAnswered(err)
		}
	}
	a.Answers = l.answers(ctx, q, *a, wants.Calls)
}

var errNoForge = errors.New("no forge is configured, so nobody can be asked")

// notAnswered says why the forge could not be asked, in words that are fit to be shown; "" where it could.
func notAnswered(err error) string {
	if err == nil {
		return ""
	}
	return mirror.OneLine(wire.Mask(err.Error()))
}

func (l *Line) forgeSays(ctx context.Context, q question, wants policy.Wants, a *policy.Asking) error {
	switch {
	case l.offline:
		return mirror.ErrOffline
	case l.forge == nil:
		return errNoForge
	}
	p, err := l.forge.By(ctx, q.step.Commit)
	direct := errors.Is(err, forge.ErrNotFound) || err == nil && (p.State != forge.Merged || p.Base != l.config.Git.Branch)
	switch {
	case direct:
		return l.checks(ctx, a, wants.Statuses, q.step.Commit)
	case err != nil:
		return fmt.Errorf("ask which proposal brought %.12s: %w", q.step.Commit, err)
	}
	a.Proposal = p.Number
	l.progress(q.set.Name).gates.saw(p.Number, p.URL)
	document, err := l.mergedDocument(ctx, q, p)
	if err != nil {
		return err
	}
	if err := l.git.Bring(ctx, l.forge.HeadRef(p.Number), p.HeadCommit); err != nil {
		return fmt.Errorf("read what was proposed: %w", err)
	}
	bases, err := l.basesOf(ctx, q, p)
	if err != nil {
		return fmt.Errorf("what proposal #%d was merged onto: %w", p.Number, err)
	}
	if err := l.reviewed(ctx, q, p, bases, document, wants, a); err != nil {
		return err
	}
	return l.checks(ctx, a, wants.Statuses, q.step.Commit, p.HeadCommit)
}

// mergedDocument gives the stage document as the proposal left it. A proposal may have been merged as several commits:
// then it is that of the last, where the lines that this one brought are still the same.
func (l *Line) mergedDocument(ctx context.Context, q question, p forge.Proposal) (mirror.Files, error) {
	commit := q.step.Commit
	if p.MergeCommit != "" && p.MergeCommit != commit && l.git.Holds(p.MergeCommit) {
		after, err := l.git.Ancestor(ctx, commit, p.MergeCommit)
		if err != nil {
			return nil, err
		}
		of, err := l.git.Ancestor(ctx, p.MergeCommit, q.fleet.head)
		if err != nil {
			return nil, err
		}
		lines, err := l.stageLines(p.MergeCommit, q.set.Name, q.stage)
		if err != nil {
			return nil, err
		}
		same := !slices.ContainsFunc(q.moves, func(m callMove) bool { return lines[m.Entry] != m.image })
		if after && of && same {
			commit = p.MergeCommit
		}
	}
	return l.stageDocument(commit, q.set.Name, q.stage)
}

// reviewed adds who proposed and who approved: those whose newest word is an approval, of a commit at which the stage
// document was as it was merged. bases are the commits at which CODEOWNERS is read.
func (l *Line) reviewed(ctx context.Context, q question, p forge.Proposal, bases []string, merged mirror.Files, wants policy.Wants, a *policy.Asking) error {
	if l.forge == nil {
		return errNoForge
	}
	a.Author = p.Author
	if !wants.Proposal {
		return nil
	}
	if err := l.git.Bring(ctx, l.forge.HeadRef(p.Number), p.HeadCommit); err != nil {
		return fmt.Errorf("read what was proposed: %w", err)
	}
	self, err := l.forge.Self(ctx)
	if err != nil {
		return fmt.Errorf("ask whom our credential is of: %w", err)
	}
	if err := l.whoAsked(ctx, q, p, self, a); err != nil {
		return err
	}
	reviews, err := l.forge.Reviews(ctx, p.Number)
	if err != nil {
		return fmt.Errorf("ask who approved proposal #%d: %w", p.Number, err)
	}
	owns := func(string) (bool, error) { return false, nil }
	if wants.Owners {
		if owns, err = l.owners(ctx, bases, sortedKeys(merged)); err != nil {
			return err
		}
	}
	for _, r := range standingReviews(reviews) {
		if strings.EqualFold(r.By, self) || r.Commit == "" || !l.git.Holds(r.Commit) {
			continue
		}
		seen, err := l.stageDocument(r.Commit, q.set.Name, q.stage)
		if err != nil {
			return err
		}
		if !maps.EqualFunc(seen, merged, bytes.Equal) {
			continue
		}
		owner, err := owns(r.By)
		if err != nil {
			return err
		}
		a.Approvals = append(a.Approvals, policy.Approval{By: r.By, Owner: owner})
	}
	return nil
}

// standingReviews gives the approvals that are the newest word of who gave them. A comment takes nothing back.
func standingReviews(reviews []forge.Review) []forge.Review {
	last, order := map[string]forge.Review{}, []string{}
	for _, r := range reviews { // oldest first
		who := strings.ToLower(r.By)
		if r.Verdict == forge.Commented || who == "" {
			continue
		}
		if _, known := last[who]; !known {
			order = append(order, who)
		}
		last[who] = r
	}
	var standing []forge.Review
	for _, who := range order {
		if last[who].Verdict == forge.Approved {
			standing = append(standing, last[who])
		}
	}
	return standing
}

var requestedLine = regexp.MustCompile(`(?m)^` + requestedBy + `:[ \t]*(\S+)[ \t\r]*$`)

// whoAsked adds to a proposal of our own who asked for it, and whether people pushed to it: then what is proposed is
// not what we proposed.
func (l *Line) whoAsked(ctx context.Context, q question, p forge.Proposal, us string, a *policy.Asking) error {
	if !strings.EqualFold(p.Author, us) {
		return nil
	}
	step, err := l.git.Step(p.HeadCommit)
	if err != nil {
		return err
	}
	ours, err := l.git.Made(p.HeadCommit, "stages/"+q.set.Name)
	if err != nil {
		return err
	}
	made := ours && len(step.Parents) == 1
	if made { // ours is one commit on a commit of the branch
		if made, err = l.git.Ancestor(ctx, step.Parents[0], q.fleet.head); err != nil {
			return err
		}
	}
	a.Touched, a.RequestedBy = !made, requester(p, step.Message, ours)
	return nil
}

// requester gives who asked for a proposal of ours, as the message of its head says where that commit is ours, else as
// the text of the proposal does: what people pushed can say anything.
func requester(p forge.Proposal, message string, ours bool) string {
	if !ours {
		message = ""
	}
	mark, _, _ := markOf(p.Body)
	line := func(text string) string {
		if m := requestedLine.FindStringSubmatch(text); m != nil {
			return m[1]
		}
		return ""
	}
	return mirror.OneLine(cmp.Or(line(message), mark.By, line(html.UnescapeString(p.Body))))
}

// checks adds how the wanted checks of some commits ended, as the first of the commits has it on which they ended, and
// which go on.
func (l *Line) checks(ctx context.Context, a *policy.Asking, wanted []string, commits ...string) error {
	if len(wanted) == 0 {
		return nil
	}
	if l.forge == nil {
		return errNoForge
	}
	ended, running := map[string]bool{}, map[string]bool{}
	for _, commit := range commits {
		all, err := l.forge.Statuses(ctx, commit)
		if err != nil && !errors.Is(err, forge.ErrNotFound) {
			return fmt.Errorf("ask for the checks of %.12s: %w", commit, err)
		}
		for _, s := range all {
			switch _, known := ended[s.Context]; {
			case known, !slices.Contains(wanted, s.Context):
			case s.Result == forge.Pending:
				running[s.Context] = true
			default:
				ended[s.Context] = s.Result == forge.Success
			}
		}
	}
	a.Statuses, a.Running = ended, running
	return nil
}
