package forge

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"code.gitea.io/sdk/gitea"
)

func init() { kinds["gitea"] = dialGitea }

// Limits of Gitea. It takes longer comments where its database does; MySQL in its older form has this one.
const (
	giteaComment = 65000
	giteaStatus  = 255
	giteaPage    = 50 // it gives no more at once, unless told to
)

// giteaForge speaks version 1 of the API of Gitea, which Forgejo has from it.
type giteaForge struct {
	*rest
	address string
}

func dialGitea(o Options) (Forge, error) {
	r, err := newRest(o, o.Token, nil)
	if err != nil {
		return nil, err
	}
	return &giteaForge{rest: r, address: strings.TrimSuffix(r.guard.api.String(), "/api/v1/")}, nil
}

// api gives a client for one exchange: the library ties it to a context. It asks for no version.
func (g *giteaForge) api(ctx context.Context) *gitea.Client {
	c, err := gitea.NewClient(g.address, gitea.SetGiteaVersion(""), gitea.SetHTTPClient(g.client), gitea.SetContext(ctx))
	if err != nil {
		panic("forge: " + err.Error()) // without a version nothing of it can fail
	}
	return c
}

func (g *giteaForge) HeadRef(number int) string { return fmt.Sprintf("refs/pull/%d/head", number) }

func (g *giteaForge) MaxComment() int { return giteaComment - markerRoom }

func (g *giteaForge) Self(ctx context.Context) (string, error) {
	return g.me(ctx, func(ctx context.Context) (string, error) {
		u, _, err := g.api(ctx).GetMyUserInfo()
		if err != nil {
			return "", g.fail(err, StepSelf)
		}
		return u.UserName, nil
	})
}

func (g *giteaForge) Access(ctx context.Context) (Access, error) {
	login, err := g.Self(ctx)
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusForbidden && e.Needs != "" {
		return Access{Missing: []string{e.Needs}}, nil
	}
	if err != nil {
		return Access{}, err
	}
	a := Access{User: login}
	repo, _, err := g.api(ctx).GetRepo(g.owner, g.name)
	if err != nil {
		return a, g.fail(err, "read the repository %s/%s", g.owner, g.name)
	}
	if repo.Permissions == nil || !repo.Permissions.Push {
		a.Missing = append(a.Missing, "write access of "+text(login, maxMessage)+" to the repository")
		return a, nil
	}
	more, err := missingByTrial(map[string]func() error{
		"write:repository": func() error { // of a branch onto itself
			_, _, err := g.api(ctx).CreatePullRequest(g.owner, g.name, gitea.CreatePullRequestOption{Head: repo.DefaultBranch, Base: repo.DefaultBranch, Title: "poundlock"})
			return err
		},
		"write:issue": func() error { // a comment that there is not
			_, _, err := g.api(ctx).EditIssueComment(g.owner, g.name, 0, gitea.EditIssueCommentOption{Body: "poundlock"})
			return err
		},
	})
	a.Missing = append(a.Missing, more...)
	return a, g.fail(err, "try what the credential may do")
}

func (g *giteaForge) Proposals(ctx context.Context, q Query) ([]Proposal, error) {
	list := func(state gitea.StateType) iter.Seq2[Proposal, error] {
		return each(func(page int) ([]Proposal, int, error) {
			some, resp, err := g.api(ctx).ListRepoPullRequests(g.owner, g.name, gitea.ListPullRequestsOptions{State: state, Sort: "recentupdate",
				ListOptions: gitea.ListOptions{Page: page, PageSize: giteaPage}})
			if err != nil {
				return nil, 0, err
			}
			all := make([]Proposal, len(some))
			for i, pr := range some {
				all[i] = giteaProposal(pr)
			}
			return all, resp.NextPage, nil
		})
	}
	all, err := q.gather(list(gitea.StateOpen), list(gitea.StateClosed))
	return all, g.fail(err, "list proposals")
}

func giteaProposal(pr *gitea.PullRequest) Proposal {
	p := Proposal{Number: int(pr.Index), URL: pr.HTMLURL, State: Open, Title: pr.Title, Body: pr.Body, Draft: pr.Draft,
		Created: at(pr.Created), Updated: at(pr.Updated)}
	if pr.Poster != nil {
		p.Author = pr.Poster.UserName
	}
	for _, l := range pr.Labels {
		p.Labels = append(p.Labels, l.Name)
	}
	p.Labels = labelsOf(p.Labels)
	if pr.Base != nil {
		p.Base = pr.Base.Ref
	}
	if pr.Head != nil {
		p.HeadCommit, p.Head = pr.Head.Sha, pr.Head.Ref
		if strings.HasPrefix(p.Head, "refs/") { // its branch is gone
			p.Head = pr.Head.Name
		}
	}
	// One that was made by a push to refs/for/ has no branch, and whoever may read can make it.
	p.Foreign = pr.Head == nil || pr.Base == nil || pr.Head.RepoID != pr.Base.RepoID || p.Head == ""
	switch {
	case pr.HasMerged:
		p.State, p.Ended = Merged, at(pr.Merged)
		if pr.MergedCommitID != nil {
			p.MergeCommit = *pr.MergedCommitID
		}
		if pr.MergedBy != nil {
			p.MergedBy = pr.MergedBy.UserName
		}
	case pr.State != gitea.StateOpen:
		p.State, p.Ended = Declined, at(pr.Closed)
	}
	return p
}

func (g *giteaForge) Proposal(ctx context.Context, number int) (Proposal, error) {
	pr, _, err := g.api(ctx).GetPullRequest(g.owner, g.name, int64(number))
	if err != nil {
		return Proposal{}, g.fail(err, "read proposal %d", number)
	}
	return g.whole(giteaProposal(pr), number)
}

func (g *giteaForge) Propose(ctx context.Context, n New) (Proposal, error) {
	labels, _ := g.labels(ctx, bounded(n.Labels)) // without labels a proposal is one as well
	pr, _, err := g.api(ctx).CreatePullRequest(g.owner, g.name, gitea.CreatePullRequestOption{Head: n.Head, Base: n.Base, Title: n.Title, Body: n.Body, Labels: labels})
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusConflict {
		e.Err = ErrExists
	}
	if err != nil {
		return Proposal{}, g.fail(err, "open a proposal of %s", n.Head)
	}
	return g.whole(giteaProposal(pr), 0)
}

// labelColour is that of labels that we make.
const labelColour = "#0f6ab4"

// labels gives the numbers of labels; those that the repository does not have are made.
func (g *giteaForge) labels(ctx context.Context, names []string) ([]int64, error) {
	numbers := []int64{}
	if len(names) == 0 {
		return numbers, nil
	}
	known := map[string]int64{}
	for l, err := range each(func(page int) ([]*gitea.Label, int, error) {
		some, resp, err := g.api(ctx).ListRepoLabels(g.owner, g.name, gitea.ListLabelsOptions{ListOptions: gitea.ListOptions{Page: page, PageSize: giteaPage}})
		return some, giteaNext(resp, err), err
	}) {
		if err != nil {
			return nil, g.fail(err, "list the labels")
		}
		known[l.Name] = l.ID
	}
	for _, name := range names {
		if known[name] == 0 {
			l, _, err := g.api(ctx).CreateLabel(g.owner, g.name, gitea.CreateLabelOption{Name: name, Color: labelColour})
			if err != nil {
				return numbers, g.fail(err, "make the label %s", name)
			}
			known[name] = l.ID
		}
		numbers = append(numbers, known[name])
	}
	return numbers, nil
}

func giteaNext(resp *gitea.Response, err error) int {
	if err != nil {
		return 0
	}
	return resp.NextPage
}

func (g *giteaForge) Change(ctx context.Context, number int, c Change) error {
	o := gitea.EditPullRequestOption{Body: c.Body}
	if c.Title != nil {
		o.Title = *c.Title
	}
	if c.Labels != nil {
		var err error
		if o.Labels, err = g.labels(ctx, bounded(c.Labels)); err != nil {
			return err
		}
	}
	_, _, err := g.api(ctx).EditPullRequest(g.owner, g.name, int64(number), o)
	return g.fail(err, "edit proposal %d", number)
}

func (g *giteaForge) Close(ctx context.Context, number int) error {
	closed := gitea.StateClosed
	_, _, err := g.api(ctx).EditPullRequest(g.owner, g.name, int64(number), gitea.EditPullRequestOption{State: &closed})
	return g.fail(err, "close proposal %d", number)
}
