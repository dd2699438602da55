package forge

import (
	"context"
	"errors"

	"github.com/google/go-github/v76/github"
)

var githubResults = map[string]Result{"success": Success, "failure": Failure, "error": Failure, "pending": Pending}

func (g *gitHub) SetStatus(ctx context.Context, commit string, s Status) error {
	s.Text = text(s.Text, githubStatus)
	have, err := g.commitStatuses(ctx, commit)
	if err != nil {
		return err
	}
	if have[s.Context] == s {
		return nil
	}
	_, _, err = g.api.Repositories.CreateStatus(ctx, g.owner, g.name, commit,
		&github.RepoStatus{State: github.Ptr(string(s.Result)), Context: &s.Context, Description: &s.Text, TargetURL: nonEmpty(s.URL)})
	return g.fail(err, "set the status %s of %.10s", s.Context, commit)
}

// Statuses tells of commit statuses and of the runs of checks, which is what GitHub Actions makes.
func (g *gitHub) Statuses(ctx context.Context, commit string) ([]Status, error) {
	all, err := g.commitStatuses(ctx, commit)
	if err != nil {
		return nil, err
	}
	latest := "latest"
	for run, err := range each(func(page int) ([]*github.CheckRun, int, error) {
		some, resp, err := g.api.Checks.ListCheckRunsForRef(ctx, g.owner, g.name, commit,
			&github.ListCheckRunsOptions{Filter: &latest, ListOptions: github.ListOptions{Page: page, PerPage: 100}})
		if err != nil {
			return nil, 0, err
		}
		return some.CheckRuns, resp.NextPage, nil
	}) {
		if errors.Is(err, ErrForbidden) || errors.Is(err, ErrNotFound) {
			break // a credential that sees statuses alone, or a server without them: what is not seen does not count
		}
		if err != nil {
			return nil, g.fail(err, "list the checks of %.10s", commit)
		}
		worst(all, Status{Context: run.GetName(), Result: checkResult(run), Text: text(run.GetOutput().GetTitle(), githubStatus), URL: run.GetDetailsURL()})
	}
	return sorted(all), nil
}

// checkResult reads how a run of a check ended. One that was skipped says nothing good.
func checkResult(run *github.CheckRun) Result {
	switch {
	case run.GetStatus() != "completed":
		return Pending
	case run.GetConclusion() == "success":
		return Success
	}
	return Failure
}

// commitStatuses gives the newest commit status of each context.
func (g *gitHub) commitStatuses(ctx context.Context, commit string) (map[string]Status, error) {
	all := map[string]Status{}
	for s, err := range each(func(page int) ([]*github.RepoStatus, int, error) {
		c, resp, err := g.api.Repositories.GetCombinedStatus(ctx, g.owner, g.name, commit, &github.ListOptions{Page: page, PerPage: 100})
		if err != nil {
			return nil, 0, err
		}
		return c.Statuses, resp.NextPage, nil
	}) {
		if err != nil {
			return nil, g.fail(err, "list the statuses of %.10s", commit)
		}
		all[s.GetContext()] = Status{Context: s.GetContext(), Result: resultOf(githubResults, s.GetState()), Text: s.GetDescription(), URL: s.GetTargetURL()}
	}
	return all, nil
}

// resultOf reads a state; one that is not known is no success.
func resultOf(known map[string]Result, state string) Result {
	if r, ok := known[state]; ok {
		return r
	}
	return Failure
}

func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
