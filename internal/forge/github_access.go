package forge

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-github/v76/github"
)

// noCommit is the name of no commit: what is set on it is refused whoever asks, so that asking tells who may.
const noCommit = "0000000000000000000000000000000000000000"

func (g *gitHub) Access(ctx context.Context) (Access, error) {
	login, err := g.Self(ctx)
	if err != nil {
		return Access{}, err
	}
	a := Access{User: login}
	repo, resp, err := g.api.Repositories.Get(ctx, g.owner, g.name)
	if err != nil {
		return a, g.fail(err, "read the repository %s/%s", g.owner, g.name)
	}
	a.Expires = resp.TokenExpiration.UTC()
	if g.app != nil {
		a.Missing = g.app.missing()
		return a, nil
	}
	if !repo.GetPermissions()["push"] {
		a.Missing = append(a.Missing, "write access of "+text(login, maxMessage)+" to the repository")
	}
	if scopes := resp.Header.Get("X-OAuth-Scopes"); len(resp.Header.Values("X-OAuth-Scopes")) > 0 {
		has := strings.Split(strings.ReplaceAll(scopes, " ", ""), ",")
		if !slices.Contains(has, "repo") && (repo.GetPrivate() || !slices.Contains(has, "public_repo")) {
			a.Missing = append(a.Missing, "scope repo")
		}
		return a, nil
	}
	more, err := missingByTrial(map[string]func() error{
		"commit statuses: write": func() error {
			_, _, err := g.api.Repositories.CreateStatus(ctx, g.owner, g.name, noCommit, &github.RepoStatus{State: github.Ptr("pending"), Context: github.Ptr("poundlock")})
			return err
		},
		"pull requests: write": func() error {
			_, _, err := g.api.PullRequests.Create(ctx, g.owner, g.name, &github.NewPullRequest{})
			return err
		},
	})
	a.Missing = append(a.Missing, more...)
	return a, g.fail(err, "try what the credential may do")
}

// missingByTrial tries writes that cannot succeed: they name nothing that there is. Whoever may not do them is told
// so first; every other refusal says that they would be let through. The names of those that are missing come sorted.
func missingByTrial(trials map[string]func() error) ([]string, error) {
	var missing []string
	for name, try := range trials {
		err := try()
		var e *Error
		switch {
		case err == nil || errors.As(err, &e) && e.Status >= 400 && e.Status < 500 && !errors.Is(err, ErrForbidden) && !errors.Is(err, ErrLimited):
		case errors.As(err, &e) && e.Status == http.StatusForbidden && !errors.Is(err, ErrLimited):
			if e.Needs != "" && e.Needs != name {
				name += " (" + e.Needs + ")"
			}
			missing = append(missing, name)
		default:
			return nil, err
		}
	}
	slices.Sort(missing)
	return missing, nil
}
