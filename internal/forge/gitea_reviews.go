package forge

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"code.gitea.io/sdk/gitea"
)

func (g *giteaForge) Reviews(ctx context.Context, number int) ([]Review, error) {
	verdicts := map[gitea.ReviewStateType]Verdict{gitea.ReviewStateApproved: Approved, gitea.ReviewStateRequestChanges: Requested, gitea.ReviewStateComment: Commented}
	var all []Review
	for r, err := range each(func(page int) ([]*gitea.PullReview, int, error) {
		some, resp, err := g.api(ctx).ListPullReviews(g.owner, g.name, int64(number), gitea.ListPullReviewsOptions{ListOptions: gitea.ListOptions{Page: page, PageSize: giteaPage}})
		return some, giteaNext(resp, err), err
	}) {
		if err != nil {
			return nil, g.fail(err, "list the reviews of proposal %d", number)
		}
		v := verdicts[r.State]
		if v == "" || r.Reviewer == nil {
			continue // a request for one, or one that is being written
		}
		switch {
		case r.Dismissed:
			v = Dismissed
		case v == Approved && !r.Official:
			v = Commented // of somebody who may only read: an opinion
		}
		all = append(all, Review{By: r.Reviewer.UserName, Verdict: v, Commit: r.CommitID, At: at(&r.Submitted)})
	}
	return byTime(all), nil
}

// By asks for the proposal whose merge a commit is. The library does not have that question. A commit in the middle
// of a proposal that was rebased onto its base is not found: Gitea remembers the last one alone.
func (g *giteaForge) By(ctx context.Context, commit string) (Proposal, error) {
	step := func(err error) error { return g.fail(err, "ask which proposal brought %.10s", commit) }
	to := g.guard.api.JoinPath("repos", g.owner, g.name, "commits", commit, "pull")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return Proposal{}, step(err)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return Proposal{}, step(err)
	}
	defer resp.Body.Close()
	pr := &gitea.PullRequest{}
	if err := json.NewDecoder(resp.Body).Decode(pr); err != nil {
		return Proposal{}, step(err)
	}
	p, ok := g.brought([]Proposal{giteaProposal(pr)}, commit)
	if !ok {
		return Proposal{}, step(ErrNotFound)
	}
	return p, nil
}

func (g *giteaForge) Members(ctx context.Context, team string) ([]string, error) {
	step := func(err error) error { return g.fail(err, "list the members of %s", team) }
	org, name, ok := strings.Cut(team, "/")
	if !ok {
		return nil, step(ErrNotFound)
	}
	id := int64(0)
	for t, err := range each(func(page int) ([]*gitea.Team, int, error) {
		some, resp, err := g.api(ctx).ListOrgTeams(org, gitea.ListTeamsOptions{ListOptions: gitea.ListOptions{Page: page, PageSize: giteaPage}})
		return some, giteaNext(resp, err), err
	}) {
		if err != nil {
			return nil, step(err)
		}
		if strings.EqualFold(t.Name, name) {
			id = t.ID
		}
	}
	if id == 0 {
		return nil, step(ErrNotFound)
	}
	var all []string
	for u, err := range each(func(page int) ([]*gitea.User, int, error) {
		some, resp, err := g.api(ctx).ListTeamMembers(id, gitea.ListTeamMembersOptions{ListOptions: gitea.ListOptions{Page: page, PageSize: giteaPage}})
		return some, giteaNext(resp, err), err
	}) {
		if err != nil {
			return nil, step(err)
		}
		all = append(all, u.UserName)
	}
	slices.Sort(all)
	return all, nil
}
