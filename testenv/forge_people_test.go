package testenv

import (
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"code.gitea.io/sdk/gitea"
	"github.com/google/go-github/v76/github"
	gitlab "gitlab.com/gitlab-org/api/client-go"
)

func newForge(t *testing.T, kind string) *Forge {
	t.Helper()
	g, err := NewGit(filepath.Join(t.TempDir(), "fleet"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	if _, err := g.Commit(t.Context(), "first", map[string]string{"a": "one\n", "dir/b": "two\n"}); err != nil {
		t.Fatal(err)
	}
	f, err := NewForge(g, kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Stop)
	for _, name := range []string{"alice", "bob"} {
		f.AddUser(name, false)
	}
	return f
}

// person is somebody who works with a forge by its own client library, as far as the tests need.
type person struct {
	open    func(head, title string) (int, error)
	approve func(n int) error
	merge   func(n int) error
	comment func(n int, body string) error
	status  func(commit, state string) error
	numbers func(state string) ([]int, error)
	by      func(commit string) (int, error)
	head    func(n int) (string, error)
	members func(team string) ([]string, error)
}

func eachForge(t *testing.T, test func(t *testing.T, f *Forge, as func(user string) person)) {
	for kind, dial := range map[string]func(*testing.T, *Forge, string) person{"github": onGitHub, "gitlab": onGitLab, "gitea": onGitea} {
		t.Run(kind, func(t *testing.T) {
			f := newForge(t, kind)
			test(t, f, func(user string) person { return dial(t, f, user) })
		})
	}
}

func onGitHub(t *testing.T, f *Forge, user string) person {
	c, err := github.NewClient(nil).WithAuthToken(f.Token(user)).WithEnterpriseURLs(f.URL(), f.URL())
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	return person{
		open: func(head, title string) (int, error) {
			p, _, err := c.PullRequests.Create(ctx, "platform", "fleet", &github.NewPullRequest{Title: &title, Head: &head, Base: github.Ptr("main")})
			return p.GetNumber(), err
		},
		approve: func(n int) error {
			_, _, err := c.PullRequests.CreateReview(ctx, "platform", "fleet", n, &github.PullRequestReviewRequest{Event: github.Ptr("APPROVE")})
			return err
		},
		merge: func(n int) error {
			_, _, err := c.PullRequests.Merge(ctx, "platform", "fleet", n, "", nil)
			return err
		},
		comment: func(n int, body string) error {
			_, _, err := c.Issues.CreateComment(ctx, "platform", "fleet", n, &github.IssueComment{Body: &body})
			return err
		},
		status: func(commit, state string) error {
			_, _, err := c.Repositories.CreateStatus(ctx, "platform", "fleet", commit, &github.RepoStatus{State: &state, Context: github.Ptr("ci/e2e")})
			return err
		},
		numbers: func(state string) (all []int, err error) {
			o := &github.PullRequestListOptions{State: state, ListOptions: github.ListOptions{PerPage: 2}}
			for {
				some, answer, err := c.PullRequests.List(ctx, "platform", "fleet", o)
				if err != nil {
					return nil, err
				}
				for _, p := range some {
					all = append(all, p.GetNumber())
				}
				if o.Page = answer.NextPage; o.Page == 0 {
					return all, nil
				}
			}
		},
		by: func(commit string) (int, error) {
			all, _, err := c.PullRequests.ListPullRequestsWithCommit(ctx, "platform", "fleet", commit, nil)
			if err != nil || len(all) == 0 {
				return 0, err
			}
			return all[0].GetNumber(), nil
		},
		head: func(n int) (string, error) {
			p, _, err := c.PullRequests.Get(ctx, "platform", "fleet", n)
			return p.GetHead().GetSHA(), err
		},
		members: func(team string) (all []string, err error) {
			us, _, err := c.Teams.ListTeamMembersBySlug(ctx, "platform", team, nil)
			for _, u := range us {
				all = append(all, u.GetLogin())
			}
			return all, err
		},
	}
}

func onGitea(t *testing.T, f *Forge, user string) person {
	c, err := gitea.NewClient(f.URL(), gitea.SetToken(f.Token(user)))
	if err != nil {
		t.Fatal(err)
	}
	return person{
		open: func(head, title string) (int, error) {
			p, _, err := c.CreatePullRequest("platform", "fleet", gitea.CreatePullRequestOption{Head: head, Base: "main", Title: title})
			return int(p.Index), err
		},
		approve: func(n int) error {
			_, _, err := c.CreatePullReview("platform", "fleet", int64(n), gitea.CreatePullReviewOptions{State: gitea.ReviewStateApproved})
			return err
		},
		merge: func(n int) error {
			ok, _, err := c.MergePullRequest("platform", "fleet", int64(n), gitea.MergePullRequestOption{Style: gitea.MergeStyleMerge})
			if err == nil && !ok {
				err = errors.New("not merged")
			}
			return err
		},
		comment: func(n int, body string) error {
			_, _, err := c.CreateIssueComment("platform", "fleet", int64(n), gitea.CreateIssueCommentOption{Body: body})
			return err
		},
		status: func(commit, state string) error {
			_, _, err := c.CreateStatus("platform", "fleet", commit, gitea.CreateStatusOption{State: gitea.StatusState(state), Context: "ci/e2e"})
			return err
		},
		numbers: func(state string) (all []int, err error) {
			o := gitea.ListPullRequestsOptions{State: gitea.StateType(state), ListOptions: gitea.ListOptions{Page: 1, PageSize: 2}}
			for {
				some, answer, err := c.ListRepoPullRequests("platform", "fleet", o)
				if err != nil {
					return nil, err
				}
				for _, p := range some {
					all = append(all, int(p.Index))
				}
				if o.Page = answer.NextPage; o.Page == 0 {
					return all, nil
				}
			}
		},
		by: func(commit string) (int, error) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL()+"/api/v1/repos/platform/fleet/commits/"+commit+"/pull", nil)
			if err != nil {
				return 0, err
			}
			r.Header.Set("Authorization", "token "+f.Token(user))
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				return 0, err
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if _, after, ok := strings.Cut(string(body), `"number":`); ok {
				return int(after[0] - '0'), err
			}
			return 0, err
		},
		head: func(n int) (string, error) {
			p, _, err := c.GetPullRequest("platform", "fleet", int64(n))
			return p.Head.Sha, err
		},
		members: func(team string) (all []string, err error) {
			found, _, err := c.SearchOrgTeams("platform", &gitea.SearchTeamsOptions{Query: team})
			if err != nil || len(found) != 1 {
				return nil, err
			}
			us, _, err := c.ListTeamMembers(found[0].ID, gitea.ListTeamMembersOptions{})
			for _, u := range us {
				all = append(all, u.UserName)
			}
			return all, err
		},
	}
}

func onGitLab(t *testing.T, f *Forge, user string) person {
	c, err := gitlab.NewClient(f.Token(user), gitlab.WithBaseURL(f.URL()))
	if err != nil {
		t.Fatal(err)
	}
	const id = "platform/fleet"
	return person{
		open: func(head, title string) (int, error) {
			p, _, err := c.MergeRequests.CreateMergeRequest(id, &gitlab.CreateMergeRequestOptions{Title: &title, SourceBranch: &head, TargetBranch: gitlab.Ptr("main")})
			if err != nil {
				return 0, err
			}
			return int(p.IID), nil
		},
		approve: func(n int) error {
			_, _, err := c.MergeRequestApprovals.ApproveMergeRequest(id, int64(n), nil)
			return err
		},
		merge: func(n int) error {
			_, _, err := c.MergeRequests.AcceptMergeRequest(id, int64(n), nil)
			return err
		},
		comment: func(n int, body string) error {
			_, _, err := c.Notes.CreateMergeRequestNote(id, int64(n), &gitlab.CreateMergeRequestNoteOptions{Body: &body})
			return err
		},
		status: func(commit, state string) error {
			_, _, err := c.Commits.SetCommitStatus(id, commit, &gitlab.SetCommitStatusOptions{State: gitlab.BuildStateValue(state), Name: gitlab.Ptr("ci/e2e")})
			return err
		},
		numbers: func(state string) (all []int, err error) {
			state = strings.Replace(state, "open", "opened", 1)
			o := &gitlab.ListProjectMergeRequestsOptions{State: &state, ListOptions: gitlab.ListOptions{PerPage: 2}}
			for {
				some, answer, err := c.MergeRequests.ListProjectMergeRequests(id, o)
				if err != nil {
					return nil, err
				}
				for _, p := range some {
					all = append(all, int(p.IID))
				}
				if o.Page = answer.NextPage; o.Page == 0 {
					return all, nil
				}
			}
		},
		by: func(commit string) (int, error) {
			all, _, err := c.Commits.ListMergeRequestsByCommit(id, commit, nil)
			if err != nil || len(all) == 0 {
				return 0, err
			}
			return int(all[0].IID), nil
		},
		head: func(n int) (string, error) {
			p, _, err := c.MergeRequests.GetMergeRequest(id, int64(n), nil)
			if err != nil {
				return "", err
			}
			return p.SHA, nil
		},
		members: func(team string) (all []string, err error) {
			us, _, err := c.Groups.ListAllGroupMembers("platform/"+team, nil)
			for _, u := range us {
				all = append(all, u.Username)
			}
			return all, err
		},
	}
}

func need[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
