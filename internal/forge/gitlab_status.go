package forge

import (
	"context"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

var (
	gitlabResults = map[string]Result{"success": Success, "failed": Failure, "canceled": Failure, "skipped": Failure,
		"pending": Pending, "running": Pending, "created": Pending, "waiting_for_resource": Pending, "preparing": Pending, "scheduled": Pending, "manual": Pending}
	gitlabStates = map[Result]gitlab.BuildStateValue{Success: gitlab.Success, Failure: gitlab.Failed, Pending: gitlab.Pending}
)

func (g *gitLab) SetStatus(ctx context.Context, commit string, s Status) error {
	s.Text = text(s.Text, gitlabStatus)
	all, err := g.newest(ctx, commit)
	if err != nil {
		return err
	}
	have := all[s.Context]
	if have == s {
		return nil
	}
	_, _, err = g.api.Commits.SetCommitStatus(g.project, commit, &gitlab.SetCommitStatusOptions{State: gitlabStates[s.Result], Name: &s.Context,
		Description: &s.Text, TargetURL: nonEmpty(s.URL)}, gitlab.WithContext(ctx))
	if transition(err) && have.Result == s.Result {
		return nil // only its words differ, and those of a status that is set GitLab does not change
	}
	return g.fail(err, "set the status %s of %.10s", s.Context, commit)
}

func (g *gitLab) Statuses(ctx context.Context, commit string) ([]Status, error) {
	all, err := g.newest(ctx, commit)
	if err != nil {
		return nil, err
	}
	return sorted(all), nil
}

// newest gives the newest status of each name, whichever pipeline it is of.
func (g *gitLab) newest(ctx context.Context, commit string) (map[string]Status, error) {
	all, ids := map[string]Status{}, map[string]int64{}
	for s, err := range each(func(page int) ([]*gitlab.CommitStatus, int, error) {
		some, resp, err := g.api.Commits.GetCommitStatuses(g.project, commit, &gitlab.GetCommitStatusesOptions{ListOptions: gitlab.ListOptions{Page: int64(page), PerPage: 100}}, gitlab.WithContext(ctx))
		return some, gitlabNext(resp, err), err
	}) {
		if err != nil {
			return nil, g.fail(err, "list the statuses of %.10s", commit)
		}
		if s.ID >= ids[s.Name] {
			ids[s.Name] = s.ID
			all[s.Name] = Status{Context: s.Name, Result: resultOf(gitlabResults, s.Status), Text: s.Description, URL: s.TargetURL}
		}
	}
	return all, nil
}
