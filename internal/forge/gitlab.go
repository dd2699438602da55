package forge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go"
	"golang.org/x/time/rate"
)

func init() { kinds["gitlab"] = dialGitLab }

// Limits of GitLab, in characters.
const (
	gitlabComment = 1_000_000
	gitlabStatus  = 255
)

// gitLab speaks version 4 of the API of GitLab.
type gitLab struct {
	*rest
	api     *gitlab.Client
	project string // its whole path
}

func dialGitLab(o Options) (Forge, error) {
	r, err := newRest(o, o.Token, nil)
	if err != nil {
		return nil, err
	}
	// The guard adds the credential, and what is tried again is left to the way out.
	api, err := gitlab.NewAuthSourceClient(gitlab.Unauthenticated{}, gitlab.WithBaseURL(r.guard.api.String()), gitlab.WithHTTPClient(r.client),
		gitlab.WithoutRetries(), gitlab.WithCustomLimiter(rate.NewLimiter(rate.Inf, 1)), gitlab.WithURLWarningLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	if err != nil {
		return nil, fmt.Errorf("the address of the forge: %w", err)
	}
	return &gitLab{rest: r, api: api, project: o.Repository}, nil
}

func (g *gitLab) HeadRef(number int) string {
	return fmt.Sprintf("refs/merge-requests/%d/head", number)
}

func (g *gitLab) MaxComment() int { return gitlabComment - markerRoom }

func (g *gitLab) Self(ctx context.Context) (string, error) {
	return g.me(ctx, func(ctx context.Context) (string, error) {
		u, _, err := g.api.Users.CurrentUser(gitlab.WithContext(ctx))
		if err != nil {
			return "", g.fail(err, StepSelf)
		}
		return u.Username, nil
	})
}

// developer is the least role that may open merge requests and set statuses.
const developer = gitlab.DeveloperPermissions

func (g *gitLab) Access(ctx context.Context) (Access, error) {
	login, err := g.Self(ctx)
	if err != nil {
		return Access{}, err
	}
	a := Access{User: login}
	p, _, err := g.api.Projects.GetProject(g.project, nil, gitlab.WithContext(ctx))
	if err != nil {
		return a, g.fail(err, "read the project %s", g.project)
	}
	level := gitlab.NoPermissions
	if may := p.Permissions; may != nil {
		if may.ProjectAccess != nil {
			level = max(level, may.ProjectAccess.AccessLevel)
		}
		if may.GroupAccess != nil {
			level = max(level, may.GroupAccess.AccessLevel)
		}
	}
	if level < developer {
		a.Missing = append(a.Missing, "role Developer of "+text(login, maxMessage)+" in the project")
	}
	token, _, err := g.api.PersonalAccessTokens.GetSinglePersonalAccessToken(gitlab.WithContext(ctx))
	switch {
	case errors.Is(err, ErrForbidden), errors.Is(err, ErrNotFound):
		return a, nil // a token of another kind, which does not tell of itself
	case err != nil:
		return a, g.fail(err, "ask what the token may do")
	}
	if !slices.Contains(token.Scopes, "api") {
		a.Missing = append(a.Missing, "scope api")
	}
	if token.ExpiresAt != nil {
		a.Expires = time.Time(*token.ExpiresAt)
	}
	return a, nil
}

func (g *gitLab) Proposals(ctx context.Context, q Query) ([]Proposal, error) {
	list := func(state, order string) iter.Seq2[Proposal, error] {
		o := &gitlab.ListProjectMergeRequestsOptions{State: &state, OrderBy: &order, Sort: gitlab.Ptr("desc"), ListOptions: gitlab.ListOptions{PerPage: 100},
			TargetBranch: nonEmpty(q.Base), SourceBranch: nonEmpty(q.Head)}
		return each(func(page int) ([]Proposal, int, error) {
			o.Page = int64(page)
			some, resp, err := g.api.MergeRequests.ListProjectMergeRequests(g.project, o, gitlab.WithContext(ctx))
			if err != nil {
				return nil, 0, err
			}
			all := make([]Proposal, len(some))
			for i, mr := range some {
				all[i] = gitlabProposal(mr)
			}
			return all, int(resp.NextPage), nil
		})
	}
	all, err := q.gather(list("opened", "created_at"), list("closed", "updated_at"), list("merged", "updated_at"))
	return all, g.fail(err, "list proposals")
}

func gitlabProposal(mr *gitlab.BasicMergeRequest) Proposal {
	p := Proposal{Number: int(mr.IID), URL: mr.WebURL, State: Open, Title: mr.Title, Body: mr.Description, Labels: labelsOf(mr.Labels),
		Head: mr.SourceBranch, HeadCommit: mr.SHA, Foreign: mr.SourceProjectID != mr.TargetProjectID, Base: mr.TargetBranch, Draft: mr.Draft,
		Created: at(mr.CreatedAt), Updated: at(mr.UpdatedAt)}
	if mr.Author != nil {
		p.Author = mr.Author.Username
	}
	switch mr.State { // one that is locked is being merged right now
	case "merged":
		p.State, p.Ended = Merged, at(mr.MergedAt)
		p.MergeCommit = mr.SHA // a fast-forward has no commit of its own
		for _, made := range []string{mr.SquashCommitSHA, mr.MergeCommitSHA} {
			if made != "" {
				p.MergeCommit = made
			}
		}
		if mr.MergeUser != nil {
			p.MergedBy = mr.MergeUser.Username
		}
	case "closed":
		p.State, p.Ended = Declined, at(mr.ClosedAt)
	}
	return p
}

func (g *gitLab) Proposal(ctx context.Context, number int) (Proposal, error) {
	mr, _, err := g.api.MergeRequests.GetMergeRequest(g.project, int64(number), nil, gitlab.WithContext(ctx))
	if err != nil {
		return Proposal{}, g.fail(err, "read proposal %d", number)
	}
	return g.whole(gitlabProposal(&mr.BasicMergeRequest), number)
}

func (g *gitLab) Propose(ctx context.Context, n New) (Proposal, error) {
	labels := gitlab.LabelOptions(bounded(n.Labels))
	mr, _, err := g.api.MergeRequests.CreateMergeRequest(g.project, &gitlab.CreateMergeRequestOptions{Title: &n.Title, Description: &n.Body,
		SourceBranch: &n.Head, TargetBranch: &n.Base, Labels: &labels}, gitlab.WithContext(ctx))
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusConflict {
		e.Err = ErrExists
	}
	if err != nil {
		return Proposal{}, g.fail(err, "open a proposal of %s", n.Head)
	}
	return g.whole(gitlabProposal(&mr.BasicMergeRequest), 0)
}

func (g *gitLab) Change(ctx context.Context, number int, c Change) error {
	o := &gitlab.UpdateMergeRequestOptions{Title: c.Title, Description: c.Body}
	if c.Labels != nil {
		labels := gitlab.LabelOptions(bounded(c.Labels))
		o.Labels = &labels
	}
	_, _, err := g.api.MergeRequests.UpdateMergeRequest(g.project, int64(number), o, gitlab.WithContext(ctx))
	return g.fail(err, "edit proposal %d", number)
}

func (g *gitLab) Close(ctx context.Context, number int) error {
	_, _, err := g.api.MergeRequests.UpdateMergeRequest(g.project, int64(number), &gitlab.UpdateMergeRequestOptions{StateEvent: gitlab.Ptr("close")}, gitlab.WithContext(ctx))
	return g.fail(err, "close proposal %d", number)
}

func (g *gitLab) By(ctx context.Context, commit string) (Proposal, error) {
	some, _, err := g.api.Commits.ListMergeRequestsByCommit(g.project, commit, gitlab.WithContext(ctx))
	if err != nil {
		return Proposal{}, g.fail(err, "ask which proposal brought %.10s", commit)
	}
	var all []Proposal
	for _, mr := range some {
		all = append(all, gitlabProposal(mr))
	}
	p, ok := g.brought(all, commit)
	if !ok {
		return Proposal{}, g.fail(ErrNotFound, "ask which proposal brought %.10s", commit)
	}
	return p, nil
}

func (g *gitLab) Comment(ctx context.Context, number int, marker, body string) (bool, error) {
	self, err := g.Self(ctx)
	if err != nil {
		return false, err
	}
	hidden := hiddenMarker(marker)
	body = hidden + cut(body, g.MaxComment())
	for n, err := range g.notes(ctx, number) {
		if err != nil {
			return false, g.fail(err, "list the comments of proposal %d", number)
		}
		if n.System || !isOurs(n.Author.Username, self, n.Body, hidden) {
			continue
		}
		if sameText(n.Body, body) {
			return false, nil
		}
		_, _, err := g.api.Notes.UpdateMergeRequestNote(g.project, int64(number), n.ID, &gitlab.UpdateMergeRequestNoteOptions{Body: &body}, gitlab.WithContext(ctx))
		return err == nil, g.fail(err, "edit our comment on proposal %d", number)
	}
	_, _, err = g.api.Notes.CreateMergeRequestNote(g.project, int64(number), &gitlab.CreateMergeRequestNoteOptions{Body: &body}, gitlab.WithContext(ctx))
	return err == nil, g.fail(err, "comment on proposal %d", number)
}

// notes gives all that was written on a proposal, by people and by GitLab, oldest first.
func (g *gitLab) notes(ctx context.Context, number int) iter.Seq2[*gitlab.Note, error] {
	return each(func(page int) ([]*gitlab.Note, int, error) {
		some, resp, err := g.api.Notes.ListMergeRequestNotes(g.project, int64(number), &gitlab.ListMergeRequestNotesOptions{OrderBy: gitlab.Ptr("created_at"),
			Sort: gitlab.Ptr("asc"), ListOptions: gitlab.ListOptions{Page: int64(page), PerPage: 100}}, gitlab.WithContext(ctx))
		return some, gitlabNext(resp, err), err
	})
}

func gitlabNext(resp *gitlab.Response, err error) int {
	if err != nil {
		return 0
	}
	return int(resp.NextPage)
}

// Members lists those of a group, and of the groups above it, as GitLab counts them for CODEOWNERS.
func (g *gitLab) Members(ctx context.Context, team string) ([]string, error) {
	var all []string
	for m, err := range each(func(page int) ([]*gitlab.GroupMember, int, error) {
		some, resp, err := g.api.Groups.ListAllGroupMembers(team, &gitlab.ListGroupMembersOptions{ListOptions: gitlab.ListOptions{Page: int64(page), PerPage: 100}}, gitlab.WithContext(ctx))
		return some, gitlabNext(resp, err), err
	}) {
		if err != nil {
			return nil, g.fail(err, "list the members of %s", team)
		}
		if m.State == "active" {
			all = append(all, m.Username)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// transition is how GitLab refuses to set a status to what it is.
func transition(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusBadRequest && strings.Contains(e.Message, "Cannot transition status")
}
