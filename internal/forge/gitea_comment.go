package forge

import (
	"context"

	"code.gitea.io/sdk/gitea"
)

func (g *giteaForge) Comment(ctx context.Context, number int, marker, body string) (bool, error) {
	self, err := g.Self(ctx)
	if err != nil {
		return false, err
	}
	hidden := hiddenMarker(marker)
	body = hidden + cut(body, g.MaxComment())
	// Gitea gives all comments at once; the library asks for pages all the same, and is told of no further one.
	for c, err := range each(func(page int) ([]*gitea.Comment, int, error) {
		some, resp, err := g.api(ctx).ListIssueComments(g.owner, g.name, int64(number), gitea.ListIssueCommentOptions{ListOptions: gitea.ListOptions{Page: page, PageSize: giteaPage}})
		return some, giteaNext(resp, err), err
	}) {
		if err != nil {
			return false, g.fail(err, "list the comments of proposal %d", number)
		}
		if c.Poster == nil || !isOurs(c.Poster.UserName, self, c.Body, hidden) {
			continue
		}
		if sameText(c.Body, body) {
			return false, nil
		}
		_, _, err := g.api(ctx).EditIssueComment(g.owner, g.name, c.ID, gitea.EditIssueCommentOption{Body: body})
		return err == nil, g.fail(err, "edit our comment on proposal %d", number)
	}
	_, _, err = g.api(ctx).CreateIssueComment(g.owner, g.name, int64(number), gitea.CreateIssueCommentOption{Body: body})
	return err == nil, g.fail(err, "comment on proposal %d", number)
}

var giteaResults = map[string]Result{"success": Success, "failure": Failure, "error": Failure, "warning": Failure, "pending": Pending}

func (g *giteaForge) SetStatus(ctx context.Context, commit string, s Status) error {
	s.Text = text(s.Text, giteaStatus)
	all, err := g.newest(ctx, commit)
	if err != nil {
		return err
	}
	if all[s.Context] == s {
		return nil
	}
	_, _, err = g.api(ctx).CreateStatus(g.owner, g.name, commit, gitea.CreateStatusOption{State: gitea.StatusState(s.Result), Context: s.Context, Description: s.Text, TargetURL: s.URL})
	return g.fail(err, "set the status %s of %.10s", s.Context, commit)
}

func (g *giteaForge) Statuses(ctx context.Context, commit string) ([]Status, error) {
	all, err := g.newest(ctx, commit)
	if err != nil {
		return nil, err
	}
	return sorted(all), nil
}

// newest gives the newest status of each context. Two that came within a second are told apart by their numbers.
func (g *giteaForge) newest(ctx context.Context, commit string) (map[string]Status, error) {
	all, ids := map[string]Status{}, map[string]int64{}
	for s, err := range each(func(page int) ([]*gitea.Status, int, error) {
		some, resp, err := g.api(ctx).ListStatuses(g.owner, g.name, commit, gitea.ListStatusesOption{ListOptions: gitea.ListOptions{Page: page, PageSize: giteaPage}})
		return some, giteaNext(resp, err), err
	}) {
		if err != nil {
			return nil, g.fail(err, "list the statuses of %.10s", commit)
		}
		if s.ID >= ids[s.Context] {
			ids[s.Context] = s.ID
			all[s.Context] = Status{Context: s.Context, Result: resultOf(giteaResults, string(s.State)), Text: s.Description, URL: s.TargetURL}
		}
	}
	return all, nil
}
