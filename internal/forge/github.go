package forge

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-github/v76/github"
)

func init() { kinds["github"] = dialGitHub }

// Limits of GitHub, in characters.
const (
	githubComment = 65536
	githubStatus  = 140
)

// gitHub speaks version 3 of the API of GitHub and GitHub Enterprise Server.
type gitHub struct {
	*rest
	api *github.Client
	app *app // nil: a token of somebody
}

func dialGitHub(o Options) (Forge, error) {
	g := &gitHub{}
	token, refuse := o.Token, func() {}
	if o.App != nil {
		var err error
		if g.app, err = newApp(o); err != nil {
			return nil, err
		}
		token, refuse = g.app.token, g.app.forget
	}
	var err error
	if g.rest, err = newRest(o, token, refuse); err != nil {
		return nil, err
	}
	g.api = githubClient(g.rest)
	return g, nil
}

func githubClient(r *rest) *github.Client {
	c := github.NewClient(r.client)
	c.BaseURL, c.UploadURL = r.guard.api, r.guard.api
	c.DisableRateLimitCheck = true // the guard does that, for all kinds alike
	return c
}

func (g *gitHub) HeadRef(number int) string { return fmt.Sprintf("refs/pull/%d/head", number) }

func (g *gitHub) MaxComment() int { return githubComment - markerRoom }

func (g *gitHub) Self(ctx context.Context) (string, error) {
	return g.me(ctx, func(ctx context.Context) (string, error) {
		if g.app != nil {
			return g.app.login(ctx)
		}
		u, _, err := g.api.Users.Get(ctx, "")
		return u.GetLogin(), g.fail(err, StepSelf)
	})
}

func (g *gitHub) Proposals(ctx context.Context, q Query) ([]Proposal, error) {
	list := func(state, sort string) iter.Seq2[Proposal, error] {
		o := &github.PullRequestListOptions{State: state, Base: q.Base, Sort: sort, Direction: "desc", ListOptions: github.ListOptions{PerPage: 100}}
		if q.Head != "" {
			o.Head = g.owner + ":" + q.Head
		}
		return each(func(page int) ([]Proposal, int, error) {
			o.Page = page
			some, resp, err := g.api.PullRequests.List(ctx, g.owner, g.name, o)
			if err != nil {
				return nil, 0, err
			}
			all := make([]Proposal, len(some))
			for i, pr := range some {
				all[i] = githubProposal(pr)
			}
			return all, resp.NextPage, nil
		})
	}
	all, err := q.gather(list("open", "created"), list("closed", "updated"))
	return all, g.fail(err, "list proposals")
}

func githubProposal(pr *github.PullRequest) Proposal {
	p := Proposal{Number: pr.GetNumber(), URL: pr.GetHTMLURL(), State: Open, Title: pr.GetTitle(), Body: pr.GetBody(),
		Author: pr.GetUser().GetLogin(), Head: pr.GetHead().GetRef(), HeadCommit: pr.GetHead().GetSHA(),
		Foreign: pr.GetHead().GetRepo().GetID() != pr.GetBase().GetRepo().GetID(), Base: pr.GetBase().GetRef(), Draft: pr.GetDraft(),
		Created: pr.GetCreatedAt().UTC(), Updated: pr.GetUpdatedAt().UTC()}
	for _, l := range pr.Labels {
		p.Labels = append(p.Labels, l.GetName())
	}
	p.Labels = labelsOf(p.Labels)
	switch {
	case pr.MergedAt != nil:
		// While a proposal is open, its merge commit is one that GitHub tries out.
		p.State, p.Ended, p.MergeCommit, p.MergedBy = Merged, pr.GetMergedAt().UTC(), pr.GetMergeCommitSHA(), pr.GetMergedBy().GetLogin()
	case pr.GetState() != "open":
		p.State, p.Ended = Declined, pr.GetClosedAt().UTC()
	}
	return p
}

func (g *gitHub) Proposal(ctx context.Context, number int) (Proposal, error) {
	pr, _, err := g.api.PullRequests.Get(ctx, g.owner, g.name, number)
	if err != nil {
		return Proposal{}, g.fail(err, "read proposal %d", number)
	}
	return g.whole(githubProposal(pr), number)
}

func (g *gitHub) Propose(ctx context.Context, n New) (Proposal, error) {
	pr, _, err := g.api.PullRequests.Create(ctx, g.owner, g.name, &github.NewPullRequest{Title: &n.Title, Head: &n.Head, Base: &n.Base, Body: &n.Body})
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusUnprocessableEntity && strings.Contains(e.Message, "already exists") {
		e.Err = ErrExists
	}
	if err != nil {
		return Proposal{}, g.fail(err, "open a proposal of %s", n.Head)
	}
	p, err := g.whole(githubProposal(pr), 0)
	if err == nil && len(n.Labels) > 0 { // GitHub makes those that it does not know
		if labels, _, err := g.api.Issues.AddLabelsToIssue(ctx, g.owner, g.name, p.Number, bounded(n.Labels)); err == nil {
			p.Labels = nil
			for _, l := range labels {
				p.Labels = append(p.Labels, l.GetName())
			}
			p.Labels = labelsOf(p.Labels)
		}
	}
	return p, err
}

func (g *gitHub) Change(ctx context.Context, number int, c Change) error {
	if c.Title != nil || c.Body != nil {
		if _, _, err := g.api.PullRequests.Edit(ctx, g.owner, g.name, number, &github.PullRequest{Title: c.Title, Body: c.Body}); err != nil {
			return g.fail(err, "edit proposal %d", number)
		}
	}
	if c.Labels == nil {
		return nil
	}
	_, _, err := g.api.Issues.ReplaceLabelsForIssue(ctx, g.owner, g.name, number, bounded(c.Labels))
	return g.fail(err, "set the labels of proposal %d", number)
}

func (g *gitHub) Close(ctx context.Context, number int) error {
	_, _, err := g.api.PullRequests.Edit(ctx, g.owner, g.name, number, &github.PullRequest{State: github.Ptr("closed")})
	return g.fail(err, "close proposal %d", number)
}

func (g *gitHub) Reviews(ctx context.Context, number int) ([]Review, error) {
	verdicts := map[string]Verdict{"APPROVED": Approved, "CHANGES_REQUESTED": Requested, "DISMISSED": Dismissed, "COMMENTED": Commented}
	may := map[string]bool{}
	var all []Review
	for r, err := range each(func(page int) ([]*github.PullRequestReview, int, error) {
		some, resp, err := g.api.PullRequests.ListReviews(ctx, g.owner, g.name, number, &github.ListOptions{Page: page, PerPage: 100})
		return some, nextOf(resp, err), err
	}) {
		if err != nil {
			return nil, g.fail(err, "list the reviews of proposal %d", number)
		}
		by := r.GetUser().GetLogin()
		v := verdicts[r.GetState()]
		if v == "" || by == "" {
			continue
		}
		if v == Approved {
			weighs, err := g.weighs(ctx, r.GetUser(), may)
			if err != nil {
				return nil, err
			}
			if !weighs {
				v = Commented
			}
		}
		all = append(all, Review{By: by, Verdict: v, Commit: r.GetCommitID(), At: r.GetSubmittedAt().UTC()})
	}
	return byTime(all), nil
}

// weighs says whether the approval of somebody is more than an opinion: GitHub lets everybody approve who can read the
// repository, and programs, too. may is what was found out of others before.
func (g *gitHub) weighs(ctx context.Context, u *github.User, may map[string]bool) (bool, error) {
	login := u.GetLogin()
	if u.GetType() == "Bot" {
		return false, nil
	}
	if known, ok := may[login]; ok {
		return known, nil
	}
	level, _, err := g.api.Repositories.GetPermissionLevel(ctx, g.owner, g.name, login)
	if err = g.fail(err, "ask what %s may do with the repository", login); err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	may[login] = err == nil && slices.Contains([]string{"admin", "write"}, level.GetPermission())
	return may[login], nil
}

func nextOf(resp *github.Response, err error) int {
	if err != nil {
		return 0
	}
	return resp.NextPage
}

func (g *gitHub) By(ctx context.Context, commit string) (Proposal, error) {
	some, _, err := g.api.PullRequests.ListPullRequestsWithCommit(ctx, g.owner, g.name, commit, &github.ListOptions{PerPage: 100})
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusUnprocessableEntity {
		e.Err = ErrNotFound // no such commit
	}
	if err != nil {
		return Proposal{}, g.fail(err, "ask which proposal brought %.10s", commit)
	}
	var all []Proposal
	for _, pr := range some {
		all = append(all, githubProposal(pr))
	}
	p, ok := g.brought(all, commit)
	if !ok {
		return Proposal{}, g.fail(ErrNotFound, "ask which proposal brought %.10s", commit)
	}
	return g.Proposal(ctx, p.Number) // who merged it stands in no list
}

func (g *gitHub) Comment(ctx context.Context, number int, marker, body string) (bool, error) {
	self, err := g.Self(ctx)
	if err != nil {
		return false, err
	}
	hidden := hiddenMarker(marker)
	body = hidden + cut(body, g.MaxComment())
	for c, err := range each(func(page int) ([]*github.IssueComment, int, error) {
		some, resp, err := g.api.Issues.ListComments(ctx, g.owner, g.name, number, &github.IssueListCommentsOptions{ListOptions: github.ListOptions{Page: page, PerPage: 100}})
		return some, nextOf(resp, err), err
	}) {
		if err != nil {
			return false, g.fail(err, "list the comments of proposal %d", number)
		}
		if !isOurs(c.GetUser().GetLogin(), self, c.GetBody(), hidden) {
			continue
		}
		if sameText(c.GetBody(), body) {
			return false, nil
		}
		_, _, err := g.api.Issues.EditComment(ctx, g.owner, g.name, c.GetID(), &github.IssueComment{Body: &body})
		return err == nil, g.fail(err, "edit our comment on proposal %d", number)
	}
	_, _, err = g.api.Issues.CreateComment(ctx, g.owner, g.name, number, &github.IssueComment{Body: &body})
	return err == nil, g.fail(err, "comment on proposal %d", number)
}

// isOurs says whether a comment is the one of ours with a marker, which stands at its very beginning.
func isOurs(author, self, body, hidden string) bool {
	return strings.EqualFold(author, self) && strings.HasPrefix(strings.ReplaceAll(body, "\r\n", "\n"), hidden)
}

// sameText compares a comment with what we would write: forges trim what they take and may change line ends.
func sameText(have, want string) bool {
	return strings.TrimSpace(strings.ReplaceAll(have, "\r\n", "\n")) == strings.TrimSpace(want)
}

func (g *gitHub) Members(ctx context.Context, team string) ([]string, error) {
	org, slug, ok := strings.Cut(team, "/")
	if !ok {
		return nil, g.fail(ErrNotFound, "list the members of %s", team)
	}
	var all []string
	for u, err := range each(func(page int) ([]*github.User, int, error) {
		some, resp, err := g.api.Teams.ListTeamMembersBySlug(ctx, org, slug, &github.TeamListTeamMembersOptions{ListOptions: github.ListOptions{Page: page, PerPage: 100}})
		return some, nextOf(resp, err), err
	}) {
		if err != nil {
			return nil, g.fail(err, "list the members of %s", team)
		}
		all = append(all, u.GetLogin())
	}
	slices.Sort(all)
	return all, nil
}
