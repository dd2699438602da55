package forge

import (
	"context"
	"slices"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

// What GitLab itself notes on a merge request when somebody reviews it. Nobody else can write such notes.
const (
	noteApproved   = "approved this merge request"
	noteUnapproved = "unapproved this merge request"
	noteRequested  = "requested changes"
	noteCommented  = "left review comments"
)

// Reviews puts together what GitLab keeps in three places: who approves now, when each of them did, and which commit
// was the head then. An approval says neither of the last two itself. Of one whose time is not noted the commit is
// not known.
func (g *gitLab) Reviews(ctx context.Context, number int) ([]Review, error) {
	state, _, err := g.api.MergeRequestApprovals.GetConfiguration(g.project, int64(number), gitlab.WithContext(ctx))
	if err != nil {
		return nil, g.fail(err, "list the approvals of proposal %d", number)
	}
	approvers := map[string]bool{}
	for _, a := range state.ApprovedBy {
		if a.User != nil {
			approvers[a.User.Username] = true
		}
	}
	var all []Review
	for n, err := range g.notes(ctx, number) {
		if err != nil {
			return nil, g.fail(err, "list the reviews of proposal %d", number)
		}
		if r := reviewOf(n); r.Verdict != "" && r.By != "" {
			all = append(all, r)
		}
	}
	if !slices.ContainsFunc(all, func(r Review) bool { return r.Verdict != Commented }) && len(approvers) == 0 {
		return byTime(all), nil
	}
	heads, err := g.heads(ctx, number)
	if err != nil {
		return nil, err
	}
	all = byTime(all)
	for i := len(all) - 1; i >= 0; i-- { // of the approvals of somebody the newest is the one that stands
		r := &all[i]
		r.Commit = headAt(heads, r.At)
		if r.Verdict != Approved {
			continue
		}
		if !approvers[r.By] {
			r.Verdict = Dismissed
		}
		delete(approvers, r.By)
	}
	for by := range approvers {
		all = append(all, Review{By: by, Verdict: Approved})
	}
	slices.SortStableFunc(all, func(a, b Review) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.By, b.By)
	})
	return all, nil
}

func reviewOf(n *gitlab.Note) Review {
	r := Review{By: n.Author.Username, At: at(n.CreatedAt)}
	switch {
	case !n.System:
		r.Verdict = Commented
	case n.Body == noteApproved:
		r.Verdict = Approved
	case n.Body == noteUnapproved:
		r.Verdict = Dismissed
	case n.Body == noteCommented:
		r.Verdict = Commented
	case strings.HasPrefix(n.Body, noteRequested):
		r.Verdict = Requested
	}
	return r
}

// head is a commit that was the head of a proposal from a moment on.
type head struct {
	commit string
	from   time.Time
}

// heads gives the heads that a proposal had, oldest first.
func (g *gitLab) heads(ctx context.Context, number int) ([]head, error) {
	var all []head
	for v, err := range each(func(page int) ([]*gitlab.MergeRequestDiffVersion, int, error) {
		some, resp, err := g.api.MergeRequests.GetMergeRequestDiffVersions(g.project, int64(number),
			&gitlab.GetMergeRequestDiffVersionsOptions{ListOptions: gitlab.ListOptions{Page: int64(page), PerPage: 100}}, gitlab.WithContext(ctx))
		return some, gitlabNext(resp, err), err
	}) {
		if err != nil {
			return nil, g.fail(err, "list the versions of proposal %d", number)
		}
		all = append(all, head{v.HeadCommitSHA, at(v.CreatedAt)})
	}
	slices.SortStableFunc(all, func(a, b head) int { return a.from.Compare(b.from) })
	return all, nil
}

// headAt gives the newest head that was there at a moment; "" where none was, and where another one came in that very
// moment, so that nobody knows which was seen.
func headAt(heads []head, moment time.Time) string {
	found := ""
	for i, h := range heads {
		if h.from.After(moment) {
			break
		}
		other := i > 0 && heads[i-1].commit != h.commit
		if found = h.commit; other && (h.from.Equal(moment) || h.from.Equal(heads[i-1].from)) {
			found = ""
		}
	}
	return found
}
